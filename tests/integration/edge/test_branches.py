"""Another answer, a prompt edited and sent again, alternatives, switching; files of prompts."""

from typing import Any

import pytest

from contracts.events import MessageDelta
from tests.integration.edge.conftest import EdgeStack
from tests.integration.edge.sse_client import SseReader


async def answered(
    stack: EdgeStack, me: dict[str, str], path: str, text: str, **body: Any
) -> dict[str, Any]:
    """Send a prompt, or ask for another answer, and let the answer be `text`."""
    answer = await stack.client.post(path, json=body, headers=me)
    assert answer.status_code == 202, answer.text
    run = await stack.peers.begin()
    await run.write(MessageDelta(delta=text))
    await stack.peers.finish(run)
    accepted: dict[str, Any] = answer.json()
    return accepted


async def shown(stack: EdgeStack, me: dict[str, str], chat_id: str) -> list[dict[str, Any]]:
    page = await stack.client.get(f"/chats/{chat_id}/messages?order=asc", headers=me)
    data: list[dict[str, Any]] = page.json()["data"]
    return data


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for message in messages]


async def test_another_answer_is_shown_and_the_first_is_kept(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    path = f"/chats/{chat_id}/messages"
    first = await answered(stack, me, path, "one", content="why?")
    assert "alternatives" not in (await shown(stack, me, chat_id))[1]
    again = f"{path}/{first['messageId']}/regenerate"
    second = await answered(stack, me, again, "two", model="tiny")
    command = stack.peers.submitted[-1]
    assert (command.regenerate, command.content) == (True, "")
    assert command.prompt_id == first["promptId"] == second["promptId"]
    prompt, answer = await shown(stack, me, chat_id)
    assert (prompt["content"], answer["content"]) == ("why?", "two")
    assert [a["messageId"] for a in answer["alternatives"]] == [
        first["messageId"],
        second["messageId"],
    ]
    assert {"createdAt", "model", "status"} <= answer["alternatives"][0].keys()
    assert "alternatives" not in prompt
    switched = await stack.client.patch(
        f"/chats/{chat_id}", json={"leafId": first["messageId"]}, headers=me
    )
    assert switched.json()["leafId"] == first["messageId"]
    assert texts(await shown(stack, me, chat_id)) == ["why?", "one"]


async def test_edited_prompt_begins_a_path_of_its_own(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    path = f"/chats/{chat_id}/messages"
    first = await answered(stack, me, path, "one", content="a")
    second = await answered(stack, me, path, "two", content="b")
    messages = await shown(stack, me, chat_id)
    assert [m["parentId"] for m in messages] == [
        None,
        first["promptId"],
        first["messageId"],
        second["promptId"],
    ]
    await answered(stack, me, path, "three", content="c", parentId=messages[2]["parentId"])
    assert stack.peers.submitted[-1].parent_id == first["messageId"]
    assert texts(await shown(stack, me, chat_id)) == ["a", "one", "c", "three"]
    await answered(stack, me, path, "four", content="d", parentId=None)
    assert stack.peers.submitted[-1].parent_id == ""
    messages = await shown(stack, me, chat_id)
    assert texts(messages) == ["d", "four"]
    assert messages[0]["alternatives"][0]["messageId"] == first["promptId"]
    for picked, leaf, expected in (
        (first["promptId"], None, ["a", "one", "c", "three"]),
        (second["promptId"], second["messageId"], ["a", "one", "b", "two"]),
    ):
        answer = await stack.client.patch(f"/chats/{chat_id}", json={"leafId": picked}, headers=me)
        assert leaf in (None, answer.json()["leafId"])
        assert texts(await shown(stack, me, chat_id)) == expected
    page = (await stack.client.get(f"{path}?limit=3", headers=me)).json()
    rest = (
        await stack.client.get(f"{path}?limit=3&cursor={page['nextCursor']}", headers=me)
    ).json()
    assert texts(page["data"] + rest["data"]) == ["two", "b", "one", "a"]


async def test_regeneration_streams_as_a_prompt_does(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    path = f"/chats/{chat_id}/messages"
    first = await answered(stack, me, path, "one", content="why?")
    key = {**me, "Idempotency-Key": "again", "Accept": "text/event-stream"}
    again = f"{path}/{first['messageId']}/regenerate"
    accepted = await answered(stack, {**me, "Idempotency-Key": "again"}, again, "two")
    async with stack.client.stream("POST", again, json={}, headers=key) as answer:
        events = await SseReader(answer).rest()
    named = (answer.headers["x-run-id"], answer.headers["x-message-id"])
    assert named == (accepted["runId"], accepted["messageId"])
    assert events[-1].data["type"] == "run.completed"
    assert events[-1].data["messageId"] == accepted["messageId"]
    assert len(stack.peers.submitted) == 3
    assert len(await shown(stack, me, chat_id)) == 2


@pytest.mark.parametrize("which", ["prompt", "unknown"])
async def test_only_an_answer_is_made_again(stack: EdgeStack, which: str) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    path = f"/chats/{chat_id}/messages"
    first = await answered(stack, me, path, "one", content="why?")
    message_id = first["promptId"] if which == "prompt" else "msg_" + "0" * 26
    answer = await stack.client.post(f"{path}/{message_id}/regenerate", json={}, headers=me)
    assert answer.status_code == (409 if which == "prompt" else 404)
    bad = await stack.client.post(path, json={"content": "x", "parentId": "x"}, headers=me)
    assert bad.status_code == 404
    gone = await stack.client.patch(
        f"/chats/{chat_id}", json={"leafId": "msg_" + "0" * 26}, headers=me
    )
    assert gone.status_code == 404
    assert len(stack.peers.submitted) == 1


async def test_settings_are_used_where_the_prompt_says_nothing(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    wanted = {"systemPrompt": "Be brief.", "temperature": 0.5, "model": "tiny"}
    await stack.client.put("/me/settings", json=wanted, headers=me)
    path = f"/chats/{chat_id}/messages"
    first = await answered(stack, me, path, "one", content="a")
    command = stack.peers.submitted[-1]
    assert (command.user_prompt, command.sampling.temperature) == ("Be brief.", 0.5)
    assert command.model == "tiny"
    again = f"{path}/{first['messageId']}/regenerate"
    await answered(stack, me, again, "two", temperature=1.5)
    assert stack.peers.submitted[-1].sampling.temperature == 1.5
    assert stack.peers.submitted[-1].user_prompt == "Be brief."

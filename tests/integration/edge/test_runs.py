"""Prompts and runs: acceptance, refusal, idempotency, cancelling, how a run stands."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from contracts.errors import Problem
from contracts.runs import Usage
from contracts.scheduling import RunView
from contracts.session import CancelReply
from tests.integration.edge.conftest import EdgeStack
from tests.integration.edge.sse_client import reading, text_of

SSE = {"Accept": "text/event-stream"}
RUN = "run_" + "0" * 26


@pytest.fixture
def edge_settings() -> dict[str, Any]:
    return {"submit_timeout_s": 0.6, "command_margin_s": 0.1, "cancel_wait_s": 1.0}


async def test_prompt_is_accepted_with_where_to_follow_it(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    accepted = await stack.prompt(me, chat_id)
    submit = stack.peers.submitted[0]
    assert accepted == {
        "runId": submit.run_id,
        "messageId": submit.answer_id,
        "promptId": submit.prompt_id,
        "eventsUrl": f"/chats/{chat_id}/runs/{submit.run_id}/events",
    }
    assert submit.sampling.max_tokens == 0
    assert submit.expires_at_ms == submit.submitted_at_ms + 500


async def test_second_prompt_of_a_busy_chat_is_refused_with_the_run(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    accepted = await stack.prompt(me, chat_id)
    for headers in (me, me | SSE):
        answer = await stack.client.post(
            f"/chats/{chat_id}/messages", json={"content": "more"}, headers=headers
        )
        assert answer.status_code == 409
        assert answer.json()["code"] == "run_active"
        assert answer.json()["runId"] == accepted["runId"]


async def test_same_key_and_body_is_the_same_run_and_another_body_is_refused(
    stack: EdgeStack,
) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    keyed = me | {"Idempotency-Key": "k-1"}
    first = await stack.prompt(keyed, chat_id, content="hi")
    assert await stack.prompt(keyed, chat_id, content="hi") == first
    other = await stack.client.post(
        f"/chats/{chat_id}/messages", json={"content": "ho"}, headers=keyed
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")

    run = await stack.peers.begin(0)
    await run.say("answer")
    await stack.peers.finish(run, index=0)
    async with reading(
        stack.client,
        "POST",
        f"/chats/{chat_id}/messages",
        json={"content": "hi"},
        headers=keyed | SSE,
    ) as reader:
        events = await reader.rest()
    assert text_of(events) == "answer"
    assert {event.data["runId"] for event in events} == {first["runId"]}
    for bad in ("", "x" * 256):
        answer = await stack.client.post(
            f"/chats/{chat_id}/messages",
            json={"content": "hi"},
            headers=me | {"Idempotency-Key": bad},
        )
        assert answer.status_code == 400


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"content": ""}, "content"),
        ({"content": " \n"}, "content"),
        ({"content": None}, "content"),
        ({"maxTokens": 0}, "maxTokens"),
        ({"maxTokens": 1.5}, "maxTokens"),
        ({"maxTokens": "5"}, "maxTokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**70}, "seed"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"attachments": ["file_x"] * 11}, "attachments"),
        ({"userId": "me"}, "userId"),
    ],
)
async def test_prompt_out_of_range_is_refused_by_its_field(
    stack: EdgeStack, change: dict[str, Any], field: str
) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    answer = await stack.client.post(
        f"/chats/{chat_id}/messages", json={"content": "x", **change}, headers=me
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"].startswith(field)
    assert stack.peers.submitted == []


async def test_prompt_for_an_unknown_model_is_refused(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    answer = await stack.client.post(
        f"/chats/{chat_id}/messages", json={"content": "x", "model": "gpt-x"}, headers=me
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")


async def test_prompt_too_large_for_a_command_is_refused(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    answer = await stack.client.post(
        f"/chats/{chat_id}/messages", json={"content": "x" * 950_000}, headers=me
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert stack.peers.submitted == []


async def test_full_pool_refuses_with_a_computed_wait_before_storing(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    assert stack.peers.status is not None
    stack.peers.status = replace(stack.peers.status, admit={"free": False}, retry_after_ms=6_200)
    stack.peers.say_status()
    await asyncio.sleep(0)
    answer = await stack.client.post(
        f"/chats/{chat_id}/messages", json={"content": "x"}, headers=me
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "at_capacity")
    assert answer.headers["retry-after"] == "7"
    assert stack.peers.submitted == []


async def test_refusal_of_the_session_is_served_as_it_is(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    detail = "The prompt has 90 tokens, the window 64."
    stack.peers.refuse = Problem(code="prompt_too_long", detail=detail)
    for headers in (me, me | SSE):
        answer = await stack.client.post(
            f"/chats/{chat_id}/messages", json={"content": "x"}, headers=headers
        )
        assert answer.status_code == 422
        assert answer.json()["detail"] == detail


async def test_silent_session_is_answered_unavailable_after_the_command_expired(
    stack: EdgeStack,
) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    stack.peers.mute = True
    answer = await stack.client.post(
        f"/chats/{chat_id}/messages", json={"content": "x"}, headers=me
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert stack.peers.clock.now_ms() > stack.peers.submitted[0].expires_at_ms


async def test_unreachable_bus_refuses_at_once(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    stack.server.cut(stack.bus)
    prompt = await stack.client.post(
        f"/chats/{chat_id}/messages", json={"content": "x"}, headers=me
    )
    cancel = await stack.client.post(f"/chats/{chat_id}/runs/{RUN}/cancel", headers=me)
    for answer in (prompt, cancel):
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"


async def test_cancel_answers_how_the_run_ended(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    accepted = await stack.prompt(me, chat_id)
    stack.peers.cancel_reply = CancelReply(status="ended", state="cancelled")
    path = f"/chats/{chat_id}/runs/{accepted['runId']}/cancel"
    for _ in range(2):
        answer = await stack.client.post(path, json={}, headers=me)
        assert answer.status_code == 200
        assert answer.json() == {"runId": accepted["runId"], "status": "cancelled"}
    assert stack.peers.cancelled[0].chat_id == chat_id


async def test_cancel_that_is_not_confirmed_in_time_is_accepted(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    answer = await stack.client.post(f"/chats/{chat_id}/runs/{RUN}/cancel", headers=me)
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelling")
    stack.peers.cancel_reply = CancelReply(status="unknown")
    answer = await stack.client.post(f"/chats/{chat_id}/runs/{RUN}/cancel", headers=me)
    assert answer.status_code == 404


async def test_run_is_described_by_the_scheduler_then_by_history(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    accepted = await stack.prompt(me, chat_id)
    path = f"/chats/{chat_id}/runs/{accepted['runId']}"
    assert (await stack.client.get(path, headers=me)).json()["status"] == "active"
    stack.peers.view = RunView(
        run_id=accepted["runId"],
        state="queued",
        user_id="u",
        tier="free",
        position=4,
        eta_ms=800,
        usage=Usage(prompt_tokens=5),
    )
    queued = (await stack.client.get(path, headers=me)).json()
    assert (queued["status"], queued["position"], queued["etaMs"]) == ("queued", 4, 800)

    run = await stack.peers.begin()
    await stack.peers.finish(run, "failed")
    ended = (await stack.client.get(path, headers=me)).json()
    assert (ended["status"], ended["finishReason"]) == ("failed", "error")
    assert ended["error"]["code"] == "worker_lost"
    assert ended["usage"]["completionTokens"] == 3
    missing = await stack.client.get(f"/chats/{chat_id}/runs/{RUN}", headers=me)
    assert missing.status_code == 404


async def test_forged_reply_to_an_unknown_command_is_ignored(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    await stack.prompt(me, chat_id)
    inbox = stack.peers.submitted[0].reply_to
    stack.peers.bus.publish(inbox, b"{}")
    stack.peers.bus.publish(inbox.rpartition(".")[0] + ".999", b"garbage")
    other = await stack.chat(me)
    await stack.prompt(me, other)
    assert len(stack.peers.submitted) == 2

"""Chats, their messages, pages, ownership, and what bad requests get."""

from typing import Any

import pytest

from contracts.events import MessageDelta
from contracts.records import Message, RunRecord
from tests.integration.edge.conftest import EdgeStack

JSON = {"Content-Type": "application/json"}
NOBODYS_CHAT = "chat_" + "0" * 26


async def test_chat_created_renamed_pinned_and_deleted(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    path = f"/chats/{chat_id}"
    changed = await stack.client.patch(path, json={"title": "Trip", "pinned": True}, headers=me)
    assert changed.status_code == 200
    chat = (await stack.client.get(path, headers=me)).json()
    assert (chat["title"], chat["pinned"], chat["activeRunId"]) == ("Trip", True, None)
    assert chat["createdAt"].endswith("Z")
    assert (await stack.client.delete(path, headers=me)).status_code == 204
    assert (await stack.client.get(path, headers=me)).status_code == 404


async def test_chat_is_made_on_either_path_without_a_body(stack: EdgeStack) -> None:
    me = await stack.guest()
    for path in ("/chat", "/chats"):
        answer = await stack.client.post(path, headers=me)
        assert answer.status_code == 201
        assert answer.json()["chatId"].startswith("chat_")


async def test_chat_of_another_is_not_found_by_any_route(stack: EdgeStack) -> None:
    owner, other = await stack.guest(), await stack.guest()
    chat_id = await stack.chat(owner)
    accepted = await stack.prompt(owner, chat_id)
    run = f"/chats/{chat_id}/runs/{accepted['runId']}"
    attempts: list[tuple[str, str, Any]] = [
        ("GET", f"/chats/{chat_id}", None),
        ("POST", f"/chats/{chat_id}/messages", {"content": "hi"}),
        ("GET", f"{run}/events", None),
    ]
    for method, path, body in attempts:
        answer = await stack.client.request(method, path, json=body, headers=other)
        assert answer.status_code == 404, (method, path)
        assert answer.json()["code"] == "not_found"
    assert len(stack.peers.submitted) == 1
    assert stack.peers.cancelled == []
    own = await stack.chat(other)
    stolen = f"/chats/{own}/runs/{accepted['runId']}"
    assert (await stack.client.get(f"{stolen}/events", headers=other)).status_code == 404


@pytest.mark.parametrize("chat_id", [NOBODYS_CHAT, "x", "chat_*", "chat_..%2F", "run_" + "0" * 26])
async def test_chat_id_that_is_none_is_not_found(stack: EdgeStack, chat_id: str) -> None:
    me = await stack.guest()
    assert (await stack.client.get(f"/chats/{chat_id}", headers=me)).status_code == 404
    answer = await stack.client.post(
        f"/chats/{chat_id}/messages", json={"content": "hi"}, headers=me
    )
    assert answer.status_code == 404
    assert stack.peers.submitted == []


async def test_chats_page_by_recent_activity_with_signed_cursors(stack: EdgeStack) -> None:
    me = await stack.guest()
    made = [await stack.chat(me, title=str(n)) for n in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await stack.client.get("/chats", params=params, headers=me)).json()
        seen += [chat["chatId"] for chat in page["data"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
        last_cursor = cursor
    assert sorted(seen) == sorted(made)
    assert len(seen) == len(set(seen))

    other = await stack.guest()
    for bad in ("x", last_cursor[:-1], last_cursor[:-3] + "AAA", "é", "A" * 600):
        answer = await stack.client.get("/chats", params={"cursor": bad}, headers=me)
        assert answer.status_code == 400, bad
    foreign = await stack.client.get("/chats", params={"cursor": last_cursor}, headers=other)
    assert foreign.status_code == 400
    for bad in ("0", "101", "-1", "x", "1.5", "٣"):
        answer = await stack.client.get("/chats", params={"limit": bad}, headers=me)
        assert answer.status_code == 400, bad


async def test_chats_page_without_loss_while_new_ones_arrive(stack: EdgeStack) -> None:
    me = await stack.guest()
    made = [await stack.chat(me, title=str(n)) for n in range(6)]
    seen: list[str] = []
    params = {"limit": "2"}
    while True:
        page = (await stack.client.get("/chats", params=params, headers=me)).json()
        seen += [chat["chatId"] for chat in page["data"]]
        if page["nextCursor"] is None:
            break
        params["cursor"] = page["nextCursor"]
        await stack.chat(me)  # Before all pages that follow.
        await stack.prompt(me, seen[-1])  # Seen, and moves to the front.
    assert seen == made[::-1]


async def _turns(stack: EdgeStack, chat_id: str, turns: int) -> None:
    for turn in range(turns):
        run_id = f"run_{turn:026d}"
        base: dict[str, Any] = {
            "chat_id": chat_id,
            "created_at_ms": 1_700_000_000_000 + turn,
            "run_id": run_id,
        }
        prompt = Message(
            message_id=f"p{turn}", position=2 * turn, role="user", content=f"q{turn}", **base
        )
        answer = Message(
            message_id=f"a{turn}", position=2 * turn + 1, role="assistant", content="", **base
        )
        run = RunRecord(
            run_id=run_id,
            chat_id=chat_id,
            user_id="u",
            prompt_id=f"p{turn}",
            answer_id=f"a{turn}",
            created_at_ms=1,
        )
        await stack.history.accept_prompt(chat_id, prompt=prompt, answer=answer, run=run)
        await stack.history.finish_run(chat_id, answer=answer, run=run)


@pytest.mark.parametrize("order", ["desc", "asc"])
async def test_messages_page_in_both_orders_without_gap(stack: EdgeStack, order: str) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    await _turns(stack, chat_id, 4)
    seen: list[str] = []
    params: dict[str, str] = {"limit": "3", "order": order}
    while True:
        path = f"/chats/{chat_id}/messages"
        page = (await stack.client.get(path, params=params, headers=me)).json()
        seen += [message["messageId"] for message in page["data"]]
        if page["nextCursor"] is None:
            break
        params["cursor"] = page["nextCursor"]
    ascending = [f"{kind}{turn}" for turn in range(4) for kind in ("p", "a")]
    assert seen == (ascending if order == "asc" else ascending[::-1])
    swapped = {"order": "asc" if order == "desc" else "desc", "cursor": params["cursor"]}
    answer = await stack.client.get(path, params=swapped, headers=me)
    assert answer.status_code == 400


async def test_messages_name_the_run_in_flight(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    accepted = await stack.prompt(me, chat_id, content="why?")
    page = (await stack.client.get(f"/chats/{chat_id}/messages", headers=me)).json()
    assert page["activeRun"] == {
        "runId": accepted["runId"],
        "messageId": accepted["messageId"],
        "eventsUrl": accepted["eventsUrl"],
    }
    answer, prompt = page["data"]
    assert (prompt["content"], prompt["role"], prompt["status"]) == ("why?", "user", "complete")
    assert (answer["status"], answer["parentId"]) == ("pending", prompt["messageId"])
    deleted = await stack.client.delete(f"/chats/{chat_id}", headers=me)
    assert deleted.status_code == 409
    assert deleted.json()["runId"] == accepted["runId"]


async def test_messages_say_why_an_answer_failed(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    for state in ("completed", "failed"):
        await stack.prompt(me, chat_id)
        run = await stack.peers.begin()
        await run.write(MessageDelta(delta="Half a"))
        await stack.peers.finish(run, state)
    page = (await stack.client.get(f"/chats/{chat_id}/messages", headers=me)).json()["data"]
    failed, *others = page
    assert (failed["status"], failed["content"]) == ("failed", "Half a")
    error = failed["error"]
    assert (error["code"], error["status"]) == ("worker_lost", 500)
    assert error["detail"] == "three workers died"
    assert {"type", "title"} <= error.keys()
    assert all("error" not in message for message in others)


async def test_chat_with_an_unknown_model_is_refused(stack: EdgeStack) -> None:
    me = await stack.guest()
    answer = await stack.client.post("/chats", json={"model": "gpt-x"}, headers=me)
    assert answer.status_code == 404
    assert answer.json()["code"] == "unknown_model"
    assert (await stack.client.get("/chats", headers=me)).json()["data"] == []


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", JSON, 400),
        (b"[" * 200_000, JSON, 422),
        (b'{"title":' + b"[" * 100_000 + b"]" * 100_000 + b"}", JSON, 422),
        (b'{"title": "\xff"}', JSON, 400),
        (b"[]", JSON, 422),
        (b"null", JSON, 422),
        (b'{"title": 5}', JSON, 422),
        (b'{"title": "x", "colour": "red"}', JSON, 422),
        (b'{"title": "' + b"x" * 201 + b'"}', JSON, 422),
        (b"title=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b'{"title": "x"}', {"Content-Type": "text/plain"}, 415),
        (b'{"title": "' + b"x" * 1_100_000 + b'"}', JSON, 413),
    ],
)
async def test_bad_bodies_get_problem_documents_and_store_nothing(
    stack: EdgeStack, body: bytes, headers: dict[str, str], status: int
) -> None:
    me = await stack.guest()
    answer = await stack.client.post("/chats", content=body, headers={**me, **headers})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["requestId"] == answer.headers["x-request-id"]
    assert {"type", "title", "detail", "code", "errors"} <= problem.keys()
    assert (await stack.client.get("/chats", headers=me)).json()["data"] == []


async def test_unknown_routes_and_methods_get_problem_documents(stack: EdgeStack) -> None:
    missing = await stack.client.get("/nowhere")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert missing.headers["x-request-id"]
    wrong = await stack.client.put("/chats")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    absent = await stack.client.get("/chats/of/nobody")
    assert absent.status_code == 404


async def test_history_that_is_gone_refuses_and_recovers(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    stack.history.available = False
    answer = await stack.client.get(f"/chats/{chat_id}", headers=me)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    stack.history.available = True
    assert (await stack.client.get(f"/chats/{chat_id}", headers=me)).status_code == 200

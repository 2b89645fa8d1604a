"""Every route that takes an id, tried with another's: not found, and nothing happens.

The routes are those of the application, so one that is added is tried too; a path parameter
that this test does not know fails it.
"""

import asyncio
import re
from typing import Any

import httpx
import pytest

from contracts.events import MessageDelta
from edge.app import create_app
from tests.integration.edge.conftest import EdgeStack, WordCodec

BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/chats/{chat_id}"): {"title": "mine", "pinned": True},
    ("POST", "/chats/{chat_id}/messages"): {"content": "hi"},
    ("POST", "/v1/responses"): {"model": "tiny", "input": "hi"},
}
OPEN = {
    "/shared/{share_id}": "whoever has the link may read it",
    "/v1/models/{model}": "a model is everybody's",
}


def routes_with_ids(stack: EdgeStack) -> list[tuple[str, str]]:
    """Return method and path of every route of the application whose path names something."""
    app = create_app(
        stack.config,
        bus=stack.bus,
        log=stack.peers.log,
        history=stack.history,
        files=stack.files,
        codecs={"tiny": WordCodec()},
        clock=stack.peers.clock,
    )
    found = []
    for route in app.routes:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path_format)
        if "{" in path and not path.startswith("/assets/"):
            methods = set(getattr(route, "methods", ())) - {"OPTIONS", "HEAD"}
            found += [(method, path) for method in sorted(methods)]
    return sorted(found)


class Owned:
    """What somebody has, by the name of the path parameter that names it."""

    def __init__(self, headers: dict[str, str], ids: dict[str, str]) -> None:
        self.headers = headers
        self.ids = ids


async def owned(stack: EdgeStack) -> Owned:
    """Let a guest have one of everything; the chat has an ended and an active run."""
    me = await stack.guest()
    chat_id = await stack.chat(me)
    await stack.prompt(me, chat_id)
    run = await stack.peers.begin()
    await run.write(MessageDelta(delta="secret words"))
    await stack.peers.finish(run)
    messages = (await stack.client.get(f"/chats/{chat_id}/messages", headers=me)).json()
    await stack.client.post(f"/chats/{chat_id}/share", headers=me)
    key = (await stack.client.post("/api-keys", json={}, headers=me)).json()
    file = await stack.client.post(
        "/uploads", files={"file": ("a.txt", b"secret words")}, headers=me
    )
    assert file.status_code == 201, file.text
    active = await stack.prompt(me, chat_id)
    return Owned(
        me,
        {
            "chat_id": chat_id,
            "run_id": active["runId"],
            "message_id": messages["data"][0]["messageId"],
            "key_id": key["id"],
            "file_id": file.json()["fileId"],
            "response_id": "resp_" + "0" * 26,
        },
    )


async def attempt(
    stack: EdgeStack, method: str, path: str, who: dict[str, str], ids: dict[str, str]
) -> httpx.Response:
    body = BODIES.get((method, path), {} if method in ("POST", "PATCH", "PUT") else None)
    return await stack.client.request(method, path.format(**ids), json=body, headers=who)


async def test_every_id_of_another_is_not_found_by_any_route(stack: EdgeStack) -> None:
    routes = [route for route in routes_with_ids(stack) if route[1] not in OPEN]
    assert len(routes) > 12
    mine, theirs = await owned(stack), await owned(stack)
    submitted, cancelled = len(stack.peers.submitted), len(stack.peers.cancelled)
    before = repr(vars(stack.history)), dict(stack.files.stored)
    for method, path in routes:
        answer = await attempt(stack, method, path, mine.headers, theirs.ids)
        assert answer.status_code == 404, (method, path, answer.text)
        assert "secret" not in answer.text
        names = re.findall(r"\{(\w+)\}", path)
        if len(names) > 1:  # One's own chat, and something that belongs to another.
            mixed = {**theirs.ids, names[0]: mine.ids[names[0]]}
            if not path.endswith("/cancel"):
                answer = await attempt(stack, method, path, mine.headers, mixed)
                assert answer.status_code == 404, (method, path, answer.text)
    assert len(stack.peers.submitted) == submitted
    assert len(stack.peers.cancelled) == cancelled
    assert (repr(vars(stack.history)), dict(stack.files.stored)) == before


async def test_every_route_with_ids_asks_who_it_is(stack: EdgeStack) -> None:
    theirs = await owned(stack)
    for method, path in routes_with_ids(stack):
        if path in OPEN:
            continue
        answer = await attempt(stack, method, path, {}, theirs.ids)
        assert answer.status_code == 401, (method, path, answer.text)


async def test_every_route_with_ids_serves_its_owner(stack: EdgeStack) -> None:
    reads = [route for route in routes_with_ids(stack) if route[0] == "GET"]
    mine = await owned(stack)
    run = await stack.peers.begin()
    await stack.peers.finish(run)
    for method, path in reads:
        if path in OPEN or "response" in path:
            continue
        answer = await asyncio.wait_for(
            attempt(stack, method, path, mine.headers, mine.ids), timeout=10
        )
        assert answer.status_code == 200, (method, path, answer.text)


@pytest.mark.parametrize("bad", ["x", "chat_*", "msg_..%2F", "run_" + "0" * 25, "é", "%00"])
async def test_what_can_be_no_id_is_not_found(stack: EdgeStack, bad: str) -> None:
    mine = await owned(stack)
    for method, path in routes_with_ids(stack):
        if method == "DELETE":
            continue
        ids = dict.fromkeys((*mine.ids, "share_id", "model"), bad)
        answer = await attempt(stack, method, path, mine.headers, ids)
        assert answer.status_code == 404, (method, path, answer.text)

"""Keys: shown once, scoped, with their last use, refused everywhere once deleted."""

import asyncio
from typing import Any

import httpx

from tests.integration.edge.conftest import EdgeStack, serving, until_healthy


async def made(stack: EdgeStack, me: dict[str, str], **body: Any) -> dict[str, Any]:
    answer = await stack.client.post("/api-keys", json=body, headers=me)
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return key


def by(key: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {key['key']}"}


async def listed(stack: EdgeStack, me: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await stack.client.get("/api-keys", headers=me)).json()["data"]
    return found


async def test_key_is_shown_once_and_stored_as_a_hash(stack: EdgeStack) -> None:
    me = await stack.guest()
    key = await made(stack, me, name="laptop")
    assert key["scopes"] == ["chat", "responses", "models:read", "app"]
    (shown,) = await listed(stack, me)
    assert "key" not in shown
    (stored,) = await stack.history.list_api_keys(
        (await stack.client.get("/me", headers=me)).json()["user"]["id"]
    )
    assert key["key"] not in str(stored)


async def test_key_is_held_to_its_scopes(stack: EdgeStack) -> None:
    me = await stack.guest()
    key = await made(stack, me, scopes=["models:read"])
    assert (await stack.client.get("/v1/models", headers=by(key))).status_code == 200
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/responses"):
        answer = await stack.client.post(path, json={"model": "tiny"}, headers=by(key))
        assert answer.status_code == 403, path
        assert answer.json()["error"]["code"] == "insufficient_permissions"
    assert (await stack.client.get("/chats", headers=by(key))).status_code == 403
    bad = await stack.client.post("/api-keys", json={"scopes": ["all"]}, headers=me)
    assert bad.status_code == 422


async def test_last_use_is_told_and_not_written_again_within_a_minute(stack: EdgeStack) -> None:
    me = await stack.guest()
    key = await made(stack, me)
    assert key["lastUsedAt"] is None
    told = set()
    for _ in range(5):
        assert (await stack.client.get("/v1/models", headers=by(key))).status_code == 200
        told.add((await listed(stack, me))[0]["lastUsedAt"])
        await asyncio.sleep(0.005)
    assert len(told) == 1
    assert told != {None}


async def test_deleted_key_is_refused_at_once_on_every_edge(stack: EdgeStack) -> None:
    me = await stack.guest()
    key = await made(stack, me)
    bus = await stack.server.connect("edge_2")
    async with (
        serving(stack, bus) as (_, address),
        httpx.AsyncClient(base_url=address, timeout=20) as other,
    ):
        await until_healthy(other)
        for client in (stack.client, other):
            assert (await client.get("/v1/models", headers=by(key))).status_code == 200
        path = f"/api-keys/{key['id']}"
        assert (await stack.client.delete(path, headers=me)).status_code == 204
        for client in (stack.client, other):
            answer = await client.get("/v1/models", headers=by(key))
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
    await bus.close()

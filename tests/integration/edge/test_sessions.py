"""Sessions that end, guests that become accounts, passwords, settings, exports, leaving."""

import asyncio
from typing import Any

import httpx
import jwt
import pytest
from msgspec.structs import replace

from contracts.events import MessageDelta
from contracts.ids import make_id
from contracts.records import Upload
from contracts.session import CancelReply
from contracts.subjects import EDGE_TRIES
from edge.config import PasswordCost
from edge.passwords import Passwords
from tests.integration.edge.conftest import EdgeStack, serving
from tests.support.waiting import until

ANN = {"email": "ann@example.org", "password": "correct horse"}
CLIENT = {"X-Parley-Client": "test"}
ELSEWHERE = {"X-Parley-Client": "test", "Origin": "https://evil.example"}


@pytest.fixture
def edge_settings() -> dict[str, Any]:
    return {"login_failures_max": 3, "deletion_sweep_s": 0.05}


def bearer(answer: httpx.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer.json()['token']}"}


async def account(stack: EdgeStack, **changes: str) -> dict[str, str]:
    answer = await stack.client.post("/auth/signup", json={**ANN, **changes})
    stack.client.cookies.clear()
    return bearer(answer)


async def log_in(stack: EdgeStack, **changes: str) -> httpx.Response:
    answer = await stack.client.post("/auth/login", json={**ANN, **changes})
    stack.client.cookies.clear()
    return answer


async def status(stack: EdgeStack, headers: dict[str, str], address: str = "") -> int:
    return (await stack.client.get(f"{address}/me", headers=headers)).status_code


async def test_logout_ends_the_session_on_every_edge_and_no_other(stack: EdgeStack) -> None:
    one, two = await account(stack), bearer(await log_in(stack))
    async with serving(stack, await stack.server.connect("other")) as (_, address):
        assert await status(stack, one, address) == 200
        assert (await stack.client.post("/auth/logout", headers=one)).status_code == 204
        assert await status(stack, one) == 401

        async def refused_there() -> None:
            while await status(stack, one, address) != 401:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        await asyncio.wait_for(refused_there(), stack.config.lookup_ttl_s / 2)
        assert await status(stack, two, address) == 200
    assert (await stack.client.post("/auth/logout", headers=one)).status_code == 204


async def test_wrong_passwords_count_on_every_edge_together(stack: EdgeStack) -> None:
    await account(stack)

    async def wrong(address: str) -> int:
        body = {**ANN, "password": "none of hers"}
        return (await stack.client.post(f"{address}/auth/login", json=body)).status_code

    async with serving(stack, await stack.server.connect("other")) as (_, address):
        assert [await wrong(""), await wrong(address), await wrong("")] == [401] * 3
        assert await wrong(address) == await wrong("") == 429


async def test_right_password_is_known_on_every_edge(stack: EdgeStack) -> None:
    await account(stack)

    async def tried(address: str, **changes: str) -> int:
        answer = await stack.client.post(f"{address}/auth/login", json={**ANN, **changes})
        stack.client.cookies.clear()
        return answer.status_code

    async with serving(stack, await stack.server.connect("other")) as (_, address):
        for _ in range(2):
            assert await tried("", password="none of hers") == 401
            assert await tried(address, password="nor this one") == 401
            assert await tried(address) == 200


async def test_bad_news_of_log_ins_are_counted_and_change_nothing(stack: EdgeStack) -> None:
    await account(stack)
    for data in (b"{", b"{}", b'{"edge": 1}'):
        stack.bus.publish(EDGE_TRIES, data)
    await stack.bus.flush()
    assert (await log_in(stack)).status_code == 200


async def test_logout_of_a_cookie_ends_its_session(stack: EdgeStack) -> None:
    entered = await stack.client.post("/auth/guest", json={})
    refused = await stack.client.post("/auth/logout", headers=ELSEWHERE)
    assert refused.status_code == 403
    assert (await stack.client.get("/me")).status_code == 200
    await stack.client.post("/auth/logout")
    assert await status(stack, bearer(entered)) == 401


async def test_token_of_before_sessions_had_names_ends_with_all_of_its_user(
    stack: EdgeStack,
) -> None:
    headers = await account(stack)
    token = headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    key = stack.config.token_keys[0]
    del claims["jti"]
    old = jwt.encode(claims, key.secret, "HS256", headers={"kid": key.key_id})
    by_old = {"Authorization": f"Bearer {old}"}
    assert await status(stack, by_old) == 200
    assert (await stack.client.post("/auth/logout", headers=by_old)).status_code == 204
    assert await status(stack, by_old) == 401
    assert await status(stack, headers) == 401
    assert (await log_in(stack)).status_code == 200


async def test_guest_made_an_account_keeps_its_chats(stack: EdgeStack) -> None:
    guest = await stack.guest()
    chat_id = await stack.chat(guest)
    answer = await stack.client.post("/auth/upgrade", json=ANN, headers=guest)
    stack.client.cookies.clear()
    assert answer.status_code == 201
    assert answer.json()["user"]["email"] == ANN["email"]
    assert not answer.json()["user"]["guest"]
    assert await status(stack, guest) == 401
    logged_in = bearer(await log_in(stack))
    assert (await stack.client.get(f"/chats/{chat_id}", headers=logged_in)).status_code == 200
    again = await stack.client.post("/auth/upgrade", json=ANN, headers=logged_in)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    other = await stack.guest()
    taken = await stack.client.post("/auth/upgrade", json=ANN, headers=other)
    assert (taken.status_code, taken.json()["code"]) == (409, "email_taken")


async def test_new_password_ends_all_other_sessions(stack: EdgeStack) -> None:
    one, two = await account(stack), bearer(await log_in(stack))
    change = {"current": ANN["password"], "new": "battery staple"}
    wrong = {**change, "current": "wrong"}
    assert (await stack.client.post("/auth/password", json=wrong, headers=one)).status_code == 401
    changed = await stack.client.post("/auth/password", json=change, headers=one)
    stack.client.cookies.clear()
    assert changed.status_code == 200
    assert [await status(stack, h) for h in (one, two, bearer(changed))] == [401, 401, 200]
    assert (await log_in(stack)).status_code == 401
    assert (await log_in(stack, password="battery staple")).status_code == 200


async def test_new_password_by_cookie_goes_on_in_the_cookie(stack: EdgeStack) -> None:
    await account(stack)
    await stack.client.post("/auth/login", json=ANN)
    change = {"current": ANN["password"], "new": "battery staple"}
    from_evil = await stack.client.post("/auth/password", json=change, headers=ELSEWHERE)
    assert from_evil.status_code == 403
    answer = await stack.client.post("/auth/password", json=change, headers=CLIENT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await stack.client.get("/me")).status_code == 200


async def test_guest_and_key_can_not_change_the_password(stack: EdgeStack) -> None:
    change = {"current": "", "new": "battery staple"}
    guest = await stack.guest()
    refused = await stack.client.post("/auth/password", json=change, headers=guest)
    assert refused.status_code == 409
    key = (await stack.client.post("/api-keys", json={}, headers=guest)).json()["key"]
    by_key = {"Authorization": f"Bearer {key}"}
    for method, path, body in (
        ("POST", "/auth/password", change),
        ("POST", "/auth/upgrade", ANN),
        ("DELETE", "/me", {}),
    ):
        answer = await stack.client.request(method, path, json=body, headers=by_key)
        assert answer.status_code == 403, path


async def test_hash_of_an_older_cost_is_renewed_at_login(stack: EdgeStack) -> None:
    await account(stack)
    user = await stack.history.user_by_email(ANN["email"])
    assert user is not None
    older = Passwords(PasswordCost(time_cost=2, memory_kib=16, lanes=1))
    old = await older.hash(ANN["password"])
    older.close()
    await stack.history.update_user(user.user_id, password_hash=old)
    assert (await log_in(stack)).status_code == 200
    renewed = await stack.history.user_by_email(ANN["email"])
    assert renewed is not None and renewed.password_hash not in (None, old)
    assert (await log_in(stack)).status_code == 200


async def test_attempts_at_once_are_counted_before_they_are_checked(stack: EdgeStack) -> None:
    await account(stack)
    answers = await asyncio.gather(*(log_in(stack, password=f"guess {n}") for n in range(9)))
    counts = sorted(answer.status_code for answer in answers)
    assert counts == [401] * 3 + [429] * 6


async def test_settings_are_kept_and_checked(stack: EdgeStack) -> None:
    me = await stack.guest()
    empty = {"systemPrompt": "", "temperature": None, "model": None}
    assert (await stack.client.get("/me/settings", headers=me)).json() == empty
    wanted = {"systemPrompt": "Be brief.", "temperature": 0.5, "model": "tiny"}
    answer = await stack.client.put("/me/settings", json=wanted, headers=me)
    assert (answer.status_code, answer.json()) == (200, wanted)
    assert (await stack.client.get("/me/settings", headers=me)).json() == wanted
    for bad in ({"temperature": 3}, {"systemPrompt": "x" * 4_001}, {"mood": "good"}):
        answer = await stack.client.put("/me/settings", json=bad, headers=me)
        assert answer.status_code == 422, bad
    unknown = await stack.client.put("/me/settings", json={"model": "gpt-9"}, headers=me)
    assert unknown.status_code == 404
    assert (await stack.client.put("/me/settings", json={}, headers=me)).json() == empty


async def answered(stack: EdgeStack, me: dict[str, str], chat_id: str, text: str) -> None:
    await stack.prompt(me, chat_id, content=f"ask {text}")
    run = await stack.peers.begin()
    await run.write(MessageDelta(delta=f"say {text}"))
    await stack.peers.finish(run)


async def test_export_has_all_chats_and_nothing_of_others(stack: EdgeStack) -> None:
    me, other = await account(stack), await stack.guest()
    for number in range(3):
        chat_id = await stack.chat(me, title=f"Chat {number}")
        await answered(stack, me, chat_id, f"mine {number}")
    await answered(stack, other, await stack.chat(other), "theirs")
    answer = await stack.client.get("/me/export", headers=me)
    assert "attachment" in answer.headers["content-disposition"]
    document = answer.json()
    assert document["user"]["email"] == ANN["email"]
    assert [chat["title"] for chat in document["chats"]] == ["Chat 2", "Chat 1", "Chat 0"]
    said = [m["content"] for m in document["chats"][0]["messages"]]
    assert said == ["ask mine 2", "say mine 2"]
    assert "theirs" not in answer.text
    text = (await stack.client.get("/me/export?format=markdown", headers=me)).text
    assert text.index("## Chat 2") < text.index("ask mine 2") < text.index("## Chat 1")
    assert "theirs" not in text
    refused = await stack.client.get("/me/export?format=pdf", headers=me)
    assert refused.status_code == 422
    stack.history.available = False
    assert (await stack.client.get("/me/export", headers=other)).status_code == 503


async def leave(stack: EdgeStack, headers: dict[str, str], **body: str) -> httpx.Response:
    return await stack.client.request("DELETE", "/me", json=body, headers=headers)


async def test_deleted_account_is_gone_with_its_chats_keys_and_files(stack: EdgeStack) -> None:
    me, kept = await account(stack), await stack.guest()
    stack.peers.cancel_reply = CancelReply(status="ended", state="cancelled")
    user_id = (await stack.client.get("/me", headers=me)).json()["user"]["id"]
    chat_id, kept_chat = await stack.chat(me), await stack.chat(kept)
    await answered(stack, me, await stack.chat(me), "something")
    accepted = await stack.prompt(me, chat_id)
    key = (await stack.client.post("/api-keys", json={}, headers=me)).json()["key"]
    file_id = make_id("file", 1, b"0123456789")
    await stack.files.put(f"{file_id}.data", b"bytes")
    await stack.history.create_upload(
        Upload(
            file_id=file_id,
            user_id=user_id,
            created_at_ms=1,
            name="a",
            media_type="text/plain",
            kind="text",
            size_bytes=5,
        )
    )
    assert (await leave(stack, me)).status_code == 401
    assert (await leave(stack, me, password="wrong")).status_code == 401
    assert await status(stack, me) == 200
    assert (await leave(stack, me, password=ANN["password"])).status_code == 204
    # Perhaps twice: the sweep finishes what it finds begun, here as at any other edge.
    assert {run.run_id for run in stack.peers.cancelled} == {accepted["runId"]}
    assert await status(stack, me) == 401
    assert await status(stack, {"Authorization": f"Bearer {key}"}) == 401
    assert (await log_in(stack)).status_code == 401
    assert stack.files.stored == {}
    assert await stack.history.chat(chat_id) is None
    assert user_id not in repr(vars(stack.history))
    assert (await stack.client.get(f"/chats/{kept_chat}", headers=kept)).status_code == 200
    assert (await stack.client.post("/auth/signup", json=ANN)).status_code == 201


async def test_deletion_that_was_cut_off_is_finished_later(stack: EdgeStack) -> None:
    me = await stack.guest()
    user_id = (await stack.client.get("/me", headers=me)).json()["user"]["id"]
    chat_id = await stack.chat(me)
    stack.files.available = False
    await stack.history.create_upload(
        replace(
            Upload(
                file_id=make_id("file", 1, b"0123456789"),
                user_id=user_id,
                created_at_ms=1,
                name="a",
                media_type="text/plain",
                kind="text",
                size_bytes=5,
            )
        )
    )
    answer = await leave(stack, me)
    assert (answer.status_code, answer.json()) == (202, {"status": "deleting"})
    assert await status(stack, me) == 401
    assert await stack.history.chat(chat_id) is not None
    stack.files.available = True
    await until(lambda: user_id not in repr(vars(stack.history)))

"""Accounts, sessions and API keys over HTTP."""

from typing import Any

import httpx
import jwt
import pytest

from tests.integration.edge.conftest import EdgeStack

ANN = {"email": "ann@example.org", "password": "correct horse"}
CLIENT = {"X-Parley-Client": "test"}


@pytest.fixture
def edge_settings() -> dict[str, Any]:
    return {"login_failures_max": 3}


async def test_signup_answers_with_token_user_and_cookie(stack: EdgeStack) -> None:
    answer = await stack.client.post("/auth/signup", json=ANN)
    assert answer.status_code == 201
    body = answer.json()
    user = {"id": body["user"]["id"], "email": ANN["email"], "tier": "free", "guest": False}
    assert body["user"] == user
    cookie = answer.headers["set-cookie"]
    assert "parley_session=" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie

    me = await stack.client.get("/me")
    assert me.json() == {"user": body["user"]}


async def test_signup_with_a_taken_address_is_refused_in_any_case(stack: EdgeStack) -> None:
    await stack.client.post("/auth/signup", json=ANN)
    again = await stack.client.post("/auth/signup", json={**ANN, "email": "ANN@Example.org"})
    assert again.status_code == 409
    assert again.json()["code"] == "email_taken"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "no-address", "password": "long enough"}, "email"),
        ({"email": "a@b.c", "password": "short"}, "password"),
        ({"email": "a@b.c"}, ""),
        ({"email": 5, "password": "long enough"}, "email"),
        ({**ANN, "tier": "paid"}, "tier"),
    ],
)
async def test_signup_with_bad_input_names_the_field(
    stack: EdgeStack, body: dict[str, Any], field: str
) -> None:
    answer = await stack.client.post("/auth/signup", json=body)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "invalid_value"
    assert problem["errors"][0]["field"] == field
    assert await stack.history.list_users(after="", limit=10) == []


async def test_login_checks_the_password_and_tells_nothing_else(stack: EdgeStack) -> None:
    await stack.client.post("/auth/signup", json=ANN)
    stack.client.cookies.clear()
    good = await stack.client.post("/auth/login", json=ANN)
    assert good.status_code == 200
    stack.client.cookies.clear()
    wrong = await stack.client.post("/auth/login", json={**ANN, "password": "wrong"})
    nobody = await stack.client.post("/auth/login", json={**ANN, "email": "bob@example.org"})
    assert wrong.status_code == nobody.status_code == 401
    assert wrong.json()["detail"] == nobody.json()["detail"]


async def test_login_after_too_many_failures_must_wait(stack: EdgeStack) -> None:
    await stack.client.post("/auth/signup", json=ANN)
    for _ in range(3):
        answer = await stack.client.post("/auth/login", json={**ANN, "password": "wrong"})
        assert answer.status_code == 401
    answer = await stack.client.post("/auth/login", json=ANN)
    assert answer.status_code == 429
    assert answer.json()["code"] == "rate_limited"
    assert int(answer.headers["retry-after"]) > 0


async def test_logout_forgets_the_cookie(stack: EdgeStack) -> None:
    await stack.client.post("/auth/guest", json={})
    assert (await stack.client.get("/me")).status_code == 200
    assert (await stack.client.post("/auth/logout")).status_code == 204
    assert (await stack.client.get("/me")).status_code == 401


async def test_cookie_alone_does_not_prove_an_unsafe_request(stack: EdgeStack) -> None:
    await stack.client.post("/auth/guest", json={})
    bare = await stack.client.post("/chats", json={})
    assert bare.status_code == 403
    assert (await stack.client.post("/chats", json={}, headers=CLIENT)).status_code == 201


async def test_auth_from_another_sites_page_is_refused(stack: EdgeStack) -> None:
    answer = await stack.client.post("/auth/guest", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    own = str(stack.client.base_url).rstrip("/")
    assert (await stack.client.post("/auth/guest", headers={"Origin": own})).status_code == 201


async def _me(client: httpx.AsyncClient, credential: str) -> httpx.Response:
    return await client.get("/me", headers={"Authorization": credential})


async def test_forged_expired_or_foreign_tokens_are_refused(stack: EdgeStack) -> None:
    headers = await stack.guest()
    token = headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    key = stack.config.token_keys[0]
    bad = [
        jwt.encode(claims, b"x" * 32, "HS256", headers={"kid": key.key_id}),
        jwt.encode(claims, key.secret, "HS256"),
        jwt.encode(claims, key.secret, "HS256", headers={"kid": "other"}),
        jwt.encode({**claims, "exp": 1}, key.secret, "HS256", headers={"kid": key.key_id}),
        jwt.encode({**claims, "iss": "x"}, key.secret, "HS256", headers={"kid": key.key_id}),
        jwt.encode(claims, "", algorithm="none", headers={"kid": key.key_id}),
        token[:-2],
        "pk_unknown",
        "x" * 3000,
    ]
    for forged in bad:
        answer = await _me(stack.client, f"Bearer {forged}")
        assert answer.status_code == 401, forged
        assert answer.json()["code"] == "unauthenticated"
        assert answer.headers["www-authenticate"] == "Bearer"
    assert (await _me(stack.client, "Basic abc")).status_code == 401
    assert (await _me(stack.client, f"Bearer {token}")).status_code == 200


async def test_api_key_is_shown_once_works_and_ends_with_its_deletion(stack: EdgeStack) -> None:
    owner = await stack.guest()
    made = await stack.client.post("/api-keys", json={"name": "laptop"}, headers=owner)
    assert made.status_code == 201
    key = made.json()
    assert key["key"].startswith("pk_")
    listed = (await stack.client.get("/api-keys", headers=owner)).json()["data"]
    assert [(row["id"], row["name"]) for row in listed] == [(key["id"], "laptop")]
    assert "key" not in listed[0]

    by_key = {"Authorization": f"Bearer {key['key']}"}
    assert (await stack.client.get("/me", headers=by_key)).status_code == 200
    assert (await stack.client.post("/api-keys", json={}, headers=by_key)).status_code == 403
    other = await stack.guest()
    path = f"/api-keys/{key['id']}"
    assert (await stack.client.delete(path, headers=other)).status_code == 404
    assert (await stack.client.delete(path, headers=owner)).status_code == 204
    assert (await stack.client.get("/me", headers=by_key)).status_code == 401
    assert (await stack.client.delete(path, headers=owner)).status_code == 404

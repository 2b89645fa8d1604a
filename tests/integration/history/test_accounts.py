"""Accounts and API keys, on every adapter."""

import asyncio
import time

import msgspec
import pytest

from contracts.errors import HistoryConflict
from contracts.records import ApiKey, User, UserSettings
from tests.integration.history.conftest import Store
from tests.integration.history.records import new_id, new_user


def new_email() -> str:
    return f"{new_id('user')}@example.org"


def new_key(user_id: str) -> ApiKey:
    return ApiKey(
        key_id=new_id("key"),
        user_id=user_id,
        name="laptop",
        secret_hash=new_id("key"),
        created_at_ms=5,
    )


async def test_user_created_is_found_by_id_and_email(store: Store) -> None:
    user = msgspec.structs.replace(new_user(new_email()), password_hash="$argon2id$…")
    await store.one.create_user(user)
    assert await store.two.user_by_id(user.user_id) == user
    assert await store.two.user_by_email(user.email or "") == user


async def test_user_unknown_is_none(store: Store) -> None:
    assert await store.one.user_by_id(new_id("user")) is None
    assert await store.one.user_by_email(new_email()) is None


async def test_guests_without_email_do_not_conflict(store: Store) -> None:
    for guest in (new_user(), new_user()):
        await store.one.create_user(guest)
        assert await store.one.user_by_id(guest.user_id) == guest


async def test_email_of_another_user_conflicts(store: Store) -> None:
    first = new_user(new_email())
    second = new_user(first.email)
    await store.one.create_user(first)
    with pytest.raises(HistoryConflict):
        await store.two.create_user(second)
    assert await store.one.user_by_email(first.email or "") == first
    assert await store.one.user_by_id(second.user_id) is None


async def test_user_created_again_keeps_what_changed_since(store: Store) -> None:
    user = new_user(new_email())
    await store.one.create_user(user)
    assert await store.one.set_tier(user.user_id, "paid")
    await store.one.create_user(user)
    paid = msgspec.structs.replace(user, tier="paid")
    assert await store.two.user_by_id(user.user_id) == paid
    assert await store.two.user_by_email(user.email or "") == paid


async def test_user_id_with_another_email_conflicts(store: Store) -> None:
    user = new_user(new_email())
    await store.one.create_user(user)
    with pytest.raises(HistoryConflict):
        await store.one.create_user(msgspec.structs.replace(user, email=new_email()))


async def test_signups_at_once_with_one_email_leave_one_user(store: Store) -> None:
    email = new_email()
    users = [new_user(email) for _ in range(6)]
    adapters = (store.one, store.two)
    outcomes = await asyncio.gather(
        *(adapters[n % 2].create_user(user) for n, user in enumerate(users)),
        return_exceptions=True,
    )
    winners = [u for u, outcome in zip(users, outcomes, strict=True) if outcome is None]
    assert all(o is None or isinstance(o, HistoryConflict) for o in outcomes)
    assert [await store.one.user_by_email(email)] == winners
    for user in users:
        found = await store.two.user_by_id(user.user_id)
        assert found == (user if user in winners else None)


async def test_tier_of_unknown_user_is_not_set(store: Store) -> None:
    user_id = new_id("user")
    assert not await store.one.set_tier(user_id, "paid")
    assert await store.one.user_by_id(user_id) is None


async def test_users_listed_in_pages_are_each_listed_once(store: Store) -> None:
    users = [new_user() for _ in range(7)]
    for user in users:
        await store.one.create_user(user)
    listed: list[User] = []
    while page := await store.two.list_users(after=listed[-1].user_id if listed else "", limit=3):
        assert len(page) <= 3
        listed += page
    ids = [user.user_id for user in listed]
    assert len(ids) == len(set(ids))
    assert {user.user_id for user in users} <= set(ids)


async def test_api_key_created_is_found_and_listed(store: Store) -> None:
    user_id = new_id("user")
    keys = [new_key(user_id), new_key(user_id)]
    for key in keys:
        await store.one.create_api_key(key)
        await store.one.create_api_key(key)
        assert await store.two.api_key_by_hash(key.secret_hash) == key
    found = sorted(await store.two.list_api_keys(user_id), key=lambda key: key.key_id)
    assert found == sorted(keys, key=lambda key: key.key_id)
    assert await store.one.list_api_keys(new_id("user")) == []


async def test_api_key_deleted_is_gone_at_once(store: Store) -> None:
    key = new_key(new_id("user"))
    await store.one.create_api_key(key)
    assert not await store.two.delete_api_key(new_id("user"), key.key_id)
    assert await store.one.api_key_by_hash(key.secret_hash) == key
    assert await store.two.delete_api_key(key.user_id, key.key_id)
    assert await store.one.api_key_by_hash(key.secret_hash) is None
    assert await store.one.list_api_keys(key.user_id) == []
    assert not await store.one.delete_api_key(key.user_id, key.key_id)


async def test_user_updated_changes_what_is_given(store: Store) -> None:
    user = new_user(new_email())
    await store.one.create_user(user)
    settings = UserSettings(system_prompt="Be brief.", temperature=0.5)
    changed = await store.one.update_user(user.user_id, settings=settings, sessions_from_ms=77)
    assert changed == msgspec.structs.replace(user, settings=settings, sessions_from_ms=77)
    again = await store.two.update_user(user.user_id, password_hash="h")
    assert again == msgspec.structs.replace(changed, password_hash="h")
    assert await store.one.user_by_id(user.user_id) == again
    assert await store.one.update_user(new_id("user"), password_hash="h") is None


async def test_guest_given_an_address_is_an_account_with_it(store: Store) -> None:
    guest, email = new_user(), new_email()
    await store.one.create_user(guest)
    named = msgspec.structs.replace(guest, email=email, password_hash="h")
    assert await store.one.give_email(guest.user_id, email=email, password_hash="h") == named
    assert await store.two.user_by_email(email) == named
    assert await store.two.give_email(guest.user_id, email=email, password_hash="h") == named
    other = new_user()
    await store.one.create_user(other)
    for user_id, address in ((other.user_id, email), (guest.user_id, new_email())):
        with pytest.raises(HistoryConflict):
            await store.two.give_email(user_id, email=address, password_hash="x")
    assert await store.one.user_by_id(other.user_id) == other
    assert await store.one.give_email(new_id("user"), email=new_email(), password_hash="x") is None


async def test_session_ended_is_remembered_until_its_time(store: Store) -> None:
    now_ms = time.time_ns() // 1_000_000
    ended, over = new_id("login"), new_id("login")
    await store.one.end_session(over, until_ms=now_ms - 60_000)
    await store.one.end_session(ended, until_ms=now_ms + 60_000)
    await store.one.end_session(ended, until_ms=now_ms + 60_000)
    assert await store.two.session_ended(ended)
    assert not await store.two.session_ended(new_id("login"))
    assert store.name == "memory" or not await store.two.session_ended(over)

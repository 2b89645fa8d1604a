"""Responses of the API, on every adapter."""

import asyncio

import msgspec
import pytest

from contracts.errors import HistoryConflict, Problem
from contracts.records import ApiKey
from contracts.responses import ResponseRecord
from contracts.runs import Usage
from tests.integration.history.conftest import Store
from tests.integration.history.records import new_id, new_user


def new_response(user_id: str = "", *, key: str | None = None) -> ResponseRecord:
    return ResponseRecord(
        response_id=new_id("resp"),
        user_id=user_id or new_id("user"),
        run_id=new_id("run"),
        model="tiny",
        created_at_ms=1_000,
        request='{"temperature":0.5}',
        items='[{"type":"message"}]',
        previous_id=new_id("resp"),
        background=True,
        idempotency_key=key,
        body_hash="ab",
    )


def ended(record: ResponseRecord) -> ResponseRecord:
    return msgspec.structs.replace(
        record,
        state="failed",
        text="so far",
        finish_reason="error",
        usage=Usage(prompt_tokens=3, completion_tokens=2),
        error=Problem(code="worker_lost", detail="three died"),
        ended_at_ms=2_000,
    )


async def test_response_created_is_found_and_made_once(store: Store) -> None:
    record = new_response()
    assert await store.one.create_response(record) == record
    again = msgspec.structs.replace(record, model="other")
    assert await store.two.create_response(again) == record
    assert await store.two.response(record.response_id) == record
    assert await store.one.response(new_id("resp")) is None


async def test_response_ends_once(store: Store) -> None:
    record = new_response()
    assert not await store.one.finish_response(ended(record))
    await store.one.create_response(record)
    assert await store.two.finish_response(ended(record))
    assert not await store.one.finish_response(msgspec.structs.replace(record, state="completed"))
    assert await store.one.response(record.response_id) == ended(record)
    assert await store.one.create_response(record) == ended(record)


async def test_response_key_belongs_to_one_response_of_a_user(store: Store) -> None:
    key = new_id("req")
    record = new_response(key=key)
    await store.one.create_response(record)
    assert await store.two.response_by_key(record.user_id, key) == record
    assert await store.one.response_by_key(new_id("user"), key) is None
    with pytest.raises(HistoryConflict):
        await store.two.create_response(new_response(record.user_id, key=key))
    await store.two.create_response(new_response(key=key))
    assert await store.one.delete_response(record.response_id)
    assert await store.one.response_by_key(record.user_id, key) is None
    anew = new_response(record.user_id, key=key)
    assert await store.two.create_response(anew) == anew


async def test_responses_at_once_with_one_key_leave_one(store: Store) -> None:
    user_id, key = new_id("user"), new_id("req")
    records = [new_response(user_id, key=key) for _ in range(4)]
    stores = (store.one, store.two)
    outcomes = await asyncio.gather(
        *(stores[n % 2].create_response(record) for n, record in enumerate(records)),
        return_exceptions=True,
    )
    made = [r for r, outcome in zip(records, outcomes, strict=True) if outcome == r]
    assert len(made) == 1
    assert await store.one.response_by_key(user_id, key) == made[0]


async def test_response_deleted_is_gone(store: Store) -> None:
    record = new_response()
    await store.one.create_response(record)
    assert await store.two.delete_response(record.response_id)
    assert await store.one.response(record.response_id) is None
    assert not await store.one.delete_response(record.response_id)
    assert not await store.one.finish_response(ended(record))
    assert await store.one.response(record.response_id) is None


async def test_user_deleted_leaves_no_response_and_no_key(store: Store) -> None:
    user = new_user()
    await store.one.create_user(user)
    mine = [new_response(user.user_id, key=new_id("req")) for _ in range(3)]
    other = new_response()
    for record in (*mine, other):
        await store.one.create_response(record)
    assert await store.one.begin_deletion(user.user_id)
    await store.two.delete_user_data(user.user_id)
    for record in mine:
        assert await store.one.response(record.response_id) is None
        assert await store.one.response_by_key(user.user_id, record.idempotency_key or "") is None
    assert await store.one.response(other.response_id) == other


async def test_key_used_says_when_and_keeps_its_scope(store: Store) -> None:
    key = ApiKey(
        key_id=new_id("key"),
        user_id=new_id("user"),
        name="laptop",
        secret_hash=new_id("key"),
        created_at_ms=5,
        scope="chat models:read",
    )
    await store.one.use_api_key(key, 7)
    assert await store.one.api_key_by_hash(key.secret_hash) is None
    await store.one.create_api_key(key)
    await store.two.use_api_key(key, 9)
    used = msgspec.structs.replace(key, last_used_at_ms=9)
    assert await store.one.api_key_by_hash(key.secret_hash) == used
    assert await store.two.list_api_keys(key.user_id) == [used]

"""Responses of the API in SQLite."""

# ruff: noqa: D102 - the port says what each call promises

import sqlite3

from contracts.errors import HistoryConflict
from contracts.responses import ResponseRecord
from ops.history.lanes import Lane
from ops.history.sqlite_rows import insert, one, write

_BY_KEY = "user_id = ? AND idempotency_key = ?"


class SqliteResponses:
    """The port's calls on responses."""

    _writer: Lane[sqlite3.Connection]
    _readers: Lane[sqlite3.Connection]

    async def create_response(self, record: ResponseRecord) -> ResponseRecord:
        return await self._writer.call(lambda db: _create(db, record))

    async def response(self, response_id: str) -> ResponseRecord | None:
        return await self._readers.call(
            lambda db: one(db, ResponseRecord, "response_id = ?", response_id)
        )

    async def response_by_key(self, user_id: str, idempotency_key: str) -> ResponseRecord | None:
        return await self._readers.call(
            lambda db: one(db, ResponseRecord, _BY_KEY, user_id, idempotency_key)
        )

    async def finish_response(self, record: ResponseRecord) -> bool:
        still = "response_id = ? AND state = 'active'"
        return await self._writer.call(lambda db: write(db, record, still, record.response_id) == 1)

    async def delete_response(self, response_id: str) -> bool:
        return await self._writer.call(lambda db: _delete(db, response_id))


def _create(db: sqlite3.Connection, record: ResponseRecord) -> ResponseRecord:
    present = one(db, ResponseRecord, "response_id = ?", record.response_id)
    if present is not None:
        return present
    key = record.idempotency_key
    if key and one(db, ResponseRecord, _BY_KEY, record.user_id, key) is not None:
        raise HistoryConflict("another response has this idempotency key")
    insert(db, record)
    return record


def _delete(db: sqlite3.Connection, response_id: str) -> bool:
    deleted = db.execute("DELETE FROM responses WHERE response_id = ?", (response_id,))
    return deleted.rowcount == 1

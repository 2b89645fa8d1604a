"""Records in and out of SQLite's tables."""

import sqlite3
from typing import Any, TypeVar

import msgspec

from contracts.records import ApiKey, Chat, Message, MessageNode, RunRecord, Summary, Upload, User
from contracts.responses import ResponseRecord
from ops.history.rows import columns, from_row, to_row

R = TypeVar("R", bound=msgspec.Struct)

_TABLES: dict[type[msgspec.Struct], str] = {
    User: "users",
    ApiKey: "api_keys",
    Chat: "chats",
    Message: "messages",
    MessageNode: "messages",
    RunRecord: "runs",
    Summary: "summaries",
    Upload: "uploads",
    ResponseRecord: "responses",
}
_SELECT = {
    kind: f"SELECT {', '.join(columns(kind))} FROM {table} WHERE "  # noqa: S608 - own names
    for kind, table in _TABLES.items()
}
_INSERT = {
    kind: f"INSERT INTO {table} ({', '.join(columns(kind))}) "  # noqa: S608 - own names
    f"VALUES ({', '.join('?' * len(columns(kind)))})"
    for kind, table in _TABLES.items()
}


def one(db: sqlite3.Connection, kind: type[R], condition: str, *values: Any) -> R | None:
    """Return the record that meets a condition on unique columns."""
    row = db.execute(_SELECT[kind] + condition, values).fetchone()
    return None if row is None else from_row(kind, row)


def some(db: sqlite3.Connection, kind: type[R], condition: str, *values: Any) -> list[R]:
    """Return the records that meet a condition, in its order."""
    return [from_row(kind, row) for row in db.execute(_SELECT[kind] + condition, values)]


def insert(db: sqlite3.Connection, record: msgspec.Struct, *, unless_there: str = "") -> int:
    """Insert a record and return its row's number; a row with the same value of
    `unless_there` is left as it is."""
    unless = f" ON CONFLICT ({unless_there}) DO NOTHING" if unless_there else ""
    return db.execute(_INSERT[type(record)] + unless, to_row(record)).lastrowid or 0


def write(db: sqlite3.Connection, record: msgspec.Struct, condition: str, *values: Any) -> int:
    """Replace the record that meets a condition; return how many rows that were."""
    kind = type(record)
    fields = ", ".join(f"{name} = ?" for name in columns(kind))
    return db.execute(
        f"UPDATE {_TABLES[kind]} SET {fields} WHERE {condition}",  # noqa: S608 - own names
        (*to_row(record), *values),
    ).rowcount

"""The port's calls as SQL, each within a transaction that its caller opens and ends."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec

from contracts.errors import HistoryConflict
from contracts.ports.history import ChatCursor
from contracts.records import ApiKey, Chat, Message, RunRecord, SessionRecord, Summary, User
from contracts.runs import Tier
from ops.history.rows import columns, from_row, to_row

R = TypeVar("R", bound=msgspec.Struct)

_TABLES: dict[type[msgspec.Struct], str] = {
    User: "users",
    ApiKey: "api_keys",
    Chat: "chats",
    Message: "messages",
    RunRecord: "runs",
    Summary: "summaries",
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


def insert(db: sqlite3.Connection, record: msgspec.Struct, *, unless_there: str = "") -> None:
    """Insert a record; a row with the same value of `unless_there` is left as it is."""
    unless = f" ON CONFLICT ({unless_there}) DO NOTHING" if unless_there else ""
    db.execute(_INSERT[type(record)] + unless, to_row(record))


def _write(db: sqlite3.Connection, record: msgspec.Struct, condition: str, *values: Any) -> int:
    kind = type(record)
    fields = ", ".join(f"{name} = ?" for name in columns(kind))
    return db.execute(
        f"UPDATE {_TABLES[kind]} SET {fields} WHERE {condition}",  # noqa: S608 - own names
        (*to_row(record), *values),
    ).rowcount


def ping(db: sqlite3.Connection) -> None:
    """Write something."""
    db.execute("UPDATE pings SET count = count + 1")


def create_user(db: sqlite3.Connection, user: User) -> None:
    """Insert the user, unless it is there; HistoryConflict if its address is another's."""
    present = one(db, User, "user_id = ?", user.user_id)
    holder = present if user.email is None else one(db, User, "email = ?", user.email)
    if holder != present or (present is not None and present.email != user.email):
        raise HistoryConflict("another user has this e-mail address")
    insert(db, user, unless_there="user_id")


def set_tier(db: sqlite3.Connection, user_id: str, tier: Tier) -> bool:
    """Set the tier; return whether there is such a user."""
    changed = db.execute("UPDATE users SET tier = ? WHERE user_id = ?", (tier, user_id))
    return changed.rowcount == 1


def delete_api_key(db: sqlite3.Connection, user_id: str, key_id: str) -> bool:
    """Delete a user's key; return whether there was one."""
    deleted = db.execute("DELETE FROM api_keys WHERE user_id = ? AND key_id = ?", (user_id, key_id))
    return deleted.rowcount == 1


def list_chats(
    db: sqlite3.Connection, user_id: str, before: ChatCursor | None, limit: int
) -> list[Chat]:
    """Return a page of a user's chats, most recently active first."""
    order = "ORDER BY active_at_ms DESC, chat_id DESC LIMIT ?"
    if before is None:
        return some(db, Chat, f"user_id = ? {order}", user_id, limit)
    return some(
        db,
        Chat,
        f"user_id = ? AND (active_at_ms, chat_id) < (?, ?) {order}",
        user_id,
        before.active_at_ms,
        before.chat_id,
        limit,
    )


def update_chat(
    db: sqlite3.Connection,
    chat_id: str,
    title: str | None,
    model: str | None,
    pinned: bool | None,
) -> Chat | None:
    """Change what is not None."""
    db.execute(
        "UPDATE chats SET title = coalesce(?, title), model = coalesce(?, model), "
        "pinned = coalesce(?, pinned) WHERE chat_id = ?",
        (title, model, pinned, chat_id),
    )
    return one(db, Chat, "chat_id = ?", chat_id)


def delete_chat(db: sqlite3.Connection, chat_id: str) -> bool:
    """Delete a chat and, by the schema's cascades, all that belongs to it."""
    chat = one(db, Chat, "chat_id = ?", chat_id)
    if chat is None:
        return False
    if chat.active_run_id is not None:
        raise HistoryConflict(f"{chat.active_run_id} is active in this chat")
    db.execute("DELETE FROM chats WHERE chat_id = ?", (chat_id,))
    return True


def messages(
    db: sqlite3.Connection,
    chat_id: str,
    start: int | None,
    limit: int,
    order: Literal["ASC", "DESC"],
) -> list[Message]:
    """Return messages by position from `start` on."""
    tail = f"ORDER BY position {order} LIMIT ?"
    if start is None:
        return some(db, Message, f"chat_id = ? {tail}", chat_id, limit)
    compare = ">=" if order == "ASC" else "<="
    return some(db, Message, f"chat_id = ? AND position {compare} ? {tail}", chat_id, start, limit)


def accept_prompt(
    db: sqlite3.Connection,
    chat_id: str,
    prompt: Message,
    answer: Message,
    run: RunRecord,
    title: str,
) -> Chat:
    """Store the turn and make its run the active one; see the port."""
    chat = one(db, Chat, "chat_id = ?", chat_id)
    if chat is None:
        raise HistoryConflict("the chat is gone")
    if one(db, RunRecord, "chat_id = ? AND run_id = ?", chat_id, run.run_id) is not None:
        return chat
    if chat.active_run_id is not None:
        raise HistoryConflict(f"{chat.active_run_id} is active in this chat")
    if prompt.position != chat.next_position:
        raise HistoryConflict(f"the next position is {chat.next_position}, not {prompt.position}")
    key = run.idempotency_key
    if key and one(db, RunRecord, "chat_id = ? AND idempotency_key = ?", chat_id, key):
        raise HistoryConflict("another run has this idempotency key")
    insert(db, prompt)
    insert(db, answer)
    insert(db, run)
    after = msgspec.structs.replace(
        chat,
        title=chat.title or title,
        active_run_id=run.run_id,
        active_at_ms=run.created_at_ms,
        next_position=answer.position + 1,
    )
    _write(db, after, "chat_id = ?", chat_id)
    return after


def finish_run(db: sqlite3.Connection, chat_id: str, answer: Message, run: RunRecord) -> bool:
    """Store the end of the active run; False if it is not active."""
    cleared = db.execute(
        "UPDATE chats SET active_run_id = NULL WHERE chat_id = ? AND active_run_id = ?",
        (chat_id, run.run_id),
    )
    if cleared.rowcount == 0:
        return False
    _write(db, answer, "message_id = ?", answer.message_id)
    _write(db, run, "run_id = ?", run.run_id)
    return True


def load_session(
    db: sqlite3.Connection, chat_id: str, message_count: int, run_count: int
) -> SessionRecord | None:
    """Return what a session actor is rebuilt from."""
    chat = one(db, Chat, "chat_id = ?", chat_id)
    if chat is None:
        return None
    newest: Sequence[Message] = messages(db, chat_id, None, message_count, "DESC")
    ended = "chat_id = ? AND state <> 'active' ORDER BY number DESC LIMIT ?"
    return SessionRecord(
        chat=chat,
        messages=tuple(reversed(newest)),
        active_run=one(db, RunRecord, "run_id = ?", chat.active_run_id),
        recent_runs=tuple(some(db, RunRecord, ended, chat_id, run_count)),
        summary=one(db, Summary, "chat_id = ?", chat_id),
    )


def put_summary(db: sqlite3.Connection, summary: Summary, replaces: int | None) -> None:
    """Store the summary in place of the one that reaches to `replaces`."""
    if one(db, Chat, "chat_id = ?", summary.chat_id) is None:
        raise HistoryConflict("the chat is gone")
    present = one(db, Summary, "chat_id = ?", summary.chat_id)
    if present == summary:
        return
    reached = None if present is None else present.position
    if reached != replaces:
        raise HistoryConflict(f"the summary reaches to {reached}, not {replaces}")
    db.execute("DELETE FROM summaries WHERE chat_id = ?", (summary.chat_id,))
    insert(db, summary)

"""Search and shares as SQL, each within its caller's transaction."""

import sqlite3
from collections.abc import Sequence

from contracts.codec import decode, encode
from contracts.errors import HistoryConflict
from contracts.ports.history import FoundCursor
from contracts.records import Chat, Message, Share
from contracts.words import indexed_words
from ops.history.rows import columns, from_row
from ops.history.sqlite_rows import one

_FOUND = (
    f"SELECT {', '.join(f'messages.{name}' for name in columns(Message))} "  # noqa: S608
    "FROM found_messages JOIN messages ON messages.number = found_messages.rowid "
    "WHERE found_messages MATCH ?{older} "
    "ORDER BY messages.created_at_ms DESC, messages.message_id DESC LIMIT ?"
)
_OLDER = " AND (messages.created_at_ms, messages.message_id) < (?, ?)"


def words_of(content: str) -> str:
    """Return what the index keeps of a message."""
    return " ".join(indexed_words(content))


def index(db: sqlite3.Connection, number: int, user_id: str, content: str) -> None:
    """Make a message findable for its owner, once: by its content when that is final."""
    words = words_of(content)
    if words:
        db.execute(
            "INSERT INTO found_messages (rowid, owner, words) VALUES (?, ?, ?)",
            (number, owner_word(user_id), words),
        )


def forget_chat(db: sqlite3.Connection, chat_id: str) -> None:
    """Take a chat's messages out of the index; before they are deleted."""
    db.execute(
        "DELETE FROM found_messages WHERE rowid IN (SELECT number FROM messages WHERE chat_id = ?)",
        (chat_id,),
    )


def search(
    db: sqlite3.Connection,
    user_id: str,
    words: Sequence[str],
    before: FoundCursor | None,
    limit: int,
) -> list[Message]:
    """Return a user's messages with these words; see the port."""
    if not words:
        return []
    asked = " AND ".join(f'"{word}"' for word in words)
    match = f'owner : "{owner_word(user_id)}" AND words : ({asked} *)'
    older = () if before is None else (before.created_at_ms, before.message_id)
    query = _FOUND.format(older=_OLDER if older else "")
    return [from_row(Message, row) for row in db.execute(query, (match, *older, limit))]


def owner_word(user_id: str) -> str:
    """Return a user's id as one word of the index."""
    return "".join(char for char in user_id if char.isalnum())


def put_share(db: sqlite3.Connection, share: Share) -> None:
    """Share a chat; see the port."""
    if one(db, Chat, "chat_id = ?", share.chat_id) is None:
        raise HistoryConflict("the chat is gone")
    delete_share(db, share.chat_id)
    values = (share.share_id, share.chat_id, encode(share).decode())
    db.execute("INSERT INTO shares (share_id, chat_id, record) VALUES (?, ?, ?)", values)


def share(db: sqlite3.Connection, condition: str, value: str) -> Share | None:
    """Return the share that meets a condition on one column."""
    found = db.execute(f"SELECT record FROM shares WHERE {condition} = ?", (value,))  # noqa: S608
    row = found.fetchone()
    return None if row is None else decode(row[0].encode(), Share)


def delete_share(db: sqlite3.Connection, chat_id: str) -> bool:
    """Revoke the share of a chat."""
    return db.execute("DELETE FROM shares WHERE chat_id = ?", (chat_id,)).rowcount == 1

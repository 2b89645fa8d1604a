"""The port's calls on accounts and uploads as SQL, each within its caller's transaction."""

import sqlite3

import msgspec

from contracts.errors import HistoryConflict
from contracts.records import Upload, User, UserSettings
from contracts.runs import Tier
from ops.history.sqlite_rows import insert, one, some, write


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


def update_user(
    db: sqlite3.Connection,
    user_id: str,
    password_hash: str | None,
    sessions_from_ms: int | None,
    settings: UserSettings | None,
) -> User | None:
    """Change what is not None."""
    user = one(db, User, "user_id = ?", user_id)
    if user is None:
        return None
    changed = msgspec.structs.replace(
        user,
        password_hash=user.password_hash if password_hash is None else password_hash,
        sessions_from_ms=user.sessions_from_ms if sessions_from_ms is None else sessions_from_ms,
        settings=user.settings if settings is None else settings,
    )
    write(db, changed, "user_id = ?", user_id)
    return changed


def give_email(db: sqlite3.Connection, user_id: str, email: str, password_hash: str) -> User | None:
    """Give a guest its address; see the port."""
    user = one(db, User, "user_id = ?", user_id)
    if user is None:
        return None
    holder = one(db, User, "email = ?", email)
    if user.email not in (None, email) or (holder is not None and holder.user_id != user_id):
        raise HistoryConflict("another user has this e-mail address")
    changed = msgspec.structs.replace(user, email=email, password_hash=password_hash)
    write(db, changed, "user_id = ?", user_id)
    return changed


def end_session(db: sqlite3.Connection, session_id: str, until_ms: int, now_ms: int) -> None:
    """Remember an ended session, and forget those that are over in any case."""
    db.execute("DELETE FROM ended_sessions WHERE until_ms < ?", (now_ms,))
    db.execute("INSERT OR REPLACE INTO ended_sessions VALUES (?, ?)", (session_id, until_ms))


def session_ended(db: sqlite3.Connection, session_id: str) -> bool:
    """Say whether a session was ended."""
    found = db.execute("SELECT 1 FROM ended_sessions WHERE session_id = ?", (session_id,))
    return found.fetchone() is not None


def begin_deletion(db: sqlite3.Connection, user_id: str) -> bool:
    """Delete the account's row and remember that the rest is to follow."""
    deleted = db.execute("DELETE FROM users WHERE user_id = ?", (user_id,)).rowcount
    if deleted:
        db.execute("INSERT OR IGNORE INTO deletions VALUES (?)", (user_id,))
    return deleted == 1


def deletions(db: sqlite3.Connection) -> list[str]:
    """Return whose deletion has begun and not ended."""
    return [user_id for (user_id,) in db.execute("SELECT user_id FROM deletions")]


def delete_user_data(db: sqlite3.Connection, user_id: str) -> None:
    """Delete all of a user's; `optimize` rewrites the full-text index without the words that
    were deleted from it."""
    db.execute(
        "DELETE FROM found_messages WHERE rowid IN (SELECT number FROM messages "
        "JOIN chats USING (chat_id) WHERE user_id = ?)",
        (user_id,),
    )
    db.execute("DELETE FROM chats WHERE user_id = ?", (user_id,))
    db.execute("DELETE FROM api_keys WHERE user_id = ?", (user_id,))
    db.execute("DELETE FROM uploads WHERE user_id = ?", (user_id,))
    db.execute("DELETE FROM responses WHERE user_id = ?", (user_id,))
    db.execute("DELETE FROM deletions WHERE user_id = ?", (user_id,))
    db.execute("INSERT INTO found_messages (found_messages) VALUES ('optimize')")


def delete_api_key(db: sqlite3.Connection, user_id: str, key_id: str) -> bool:
    """Delete a user's key; return whether there was one."""
    deleted = db.execute("DELETE FROM api_keys WHERE user_id = ? AND key_id = ?", (user_id, key_id))
    return deleted.rowcount == 1


def use_api_key(db: sqlite3.Connection, key_id: str, at_ms: int) -> None:
    """Remember when a key was used."""
    db.execute("UPDATE api_keys SET last_used_at_ms = ? WHERE key_id = ?", (at_ms, key_id))


def uploads(db: sqlite3.Connection, user_id: str) -> list[Upload]:
    """Return a user's uploads, oldest first."""
    return some(db, Upload, "user_id = ? ORDER BY file_id", user_id)


def delete_upload(db: sqlite3.Connection, file_id: str) -> bool:
    """Delete the record of a file."""
    return db.execute("DELETE FROM uploads WHERE file_id = ?", (file_id,)).rowcount == 1

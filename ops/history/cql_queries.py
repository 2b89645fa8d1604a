"""Every CQL statement of the adapter, prepared when it opens.

A statement on `chats`, `users`, `user_emails` or the API keys that writes is a lightweight
transaction: mixing those with plain writes on one row would mix two kinds of timestamps.
"""

from dataclasses import dataclass
from enum import Enum, auto

import msgspec

from contracts.records import ApiKey, Chat, Message, MessageNode, RunRecord, Upload, User
from contracts.responses import ResponseRecord
from ops.history.rows import columns


class Kind(Enum):
    """How a statement is run, all at QUORUM: a plain one may be sent again by the driver; a
    SERIAL read sees every transaction that was ever reported as done, and finishes one that
    was cut off; a transaction answers whether it was applied."""

    PLAIN = auto()
    SERIAL_READ = auto()
    TRANSACTION = auto()


@dataclass(frozen=True, slots=True)
class Query:
    """A statement with `?` for its values."""

    text: str
    kind: Kind = Kind.PLAIN


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _insert(table: str, names: tuple[str, ...], *, kind: Kind = Kind.PLAIN) -> Query:
    unless = " IF NOT EXISTS" if kind is Kind.TRANSACTION else ""
    marks = _list(("?",) * len(names))
    return Query(f"INSERT INTO {table} ({_list(names)}) VALUES ({marks}){unless}", kind)  # noqa: S608


def _select(record: type[msgspec.Struct], table: str, rest: str) -> Query:
    return Query(f"SELECT {_list(columns(record))} FROM {table} {rest}")  # noqa: S608 - own names


_LWT = Kind.TRANSACTION

PING = Query("INSERT INTO pings (name, at) VALUES ('history', toTimestamp(now()))")

# accounts
CLAIM_EMAIL = _insert("user_emails", ("email", "user_id", "record"), kind=_LWT)
EMAIL = Query("SELECT user_id, record FROM user_emails WHERE email = ?")
EMAIL_SERIAL = Query(EMAIL.text, Kind.SERIAL_READ)
INSERT_USER = _insert("users", columns(User), kind=_LWT)
USER = _select(User, "users", "WHERE user_id = ?")
USERS_FIRST = _select(User, "users", "LIMIT ?")
USERS_AFTER = _select(User, "users", "WHERE token(user_id) > token(?) LIMIT ?")
SET_TIER = Query("UPDATE users SET tier = ? WHERE user_id = ? IF EXISTS", _LWT)
SET_PASSWORD = Query("UPDATE users SET password_hash = ? WHERE user_id = ? IF EXISTS", _LWT)
SET_SESSIONS = Query("UPDATE users SET sessions_from_ms = ? WHERE user_id = ? IF EXISTS", _LWT)
SET_SETTINGS = Query("UPDATE users SET settings = ? WHERE user_id = ? IF EXISTS", _LWT)
GIVE_EMAIL = Query(
    "UPDATE users SET email = ?, password_hash = ? WHERE user_id = ? IF EXISTS", _LWT
)
END_SESSION = Query("INSERT INTO ended_sessions (session_id) VALUES (?) USING TTL ?")
SESSION_ENDED = Query("SELECT session_id FROM ended_sessions WHERE session_id = ?")
DELETE_EMAIL = Query("DELETE FROM user_emails WHERE email = ? IF user_id = ?", _LWT)
DELETE_USER = Query("DELETE FROM users WHERE user_id = ? IF EXISTS", _LWT)
INSERT_DELETION = _insert("deletions", ("user_id",))
DELETIONS = Query("SELECT user_id FROM deletions")
DELETE_DELETION = Query("DELETE FROM deletions WHERE user_id = ?")
INSERT_KEY = _insert("api_keys", columns(ApiKey), kind=_LWT)
INSERT_LISTED_KEY = _insert("api_keys_by_user", columns(ApiKey), kind=_LWT)
KEY = _select(ApiKey, "api_keys", "WHERE secret_hash = ?")
LISTED_KEYS = _select(ApiKey, "api_keys_by_user", "WHERE user_id = ?")
LISTED_KEY = _select(ApiKey, "api_keys_by_user", "WHERE user_id = ? AND key_id = ?")
DELETE_KEY = Query("DELETE FROM api_keys WHERE secret_hash = ? IF EXISTS", _LWT)
USE_KEY = Query("UPDATE api_keys SET last_used_at_ms = ? WHERE secret_hash = ? IF EXISTS", _LWT)
USE_LISTED_KEY = Query(
    "UPDATE api_keys_by_user SET last_used_at_ms = ? WHERE user_id = ? AND key_id = ? IF EXISTS",
    _LWT,
)
DELETE_LISTED_KEY = Query(
    "DELETE FROM api_keys_by_user WHERE user_id = ? AND key_id = ? IF EXISTS", _LWT
)

# uploads
INSERT_UPLOAD = _insert("uploads", columns(Upload))
UPLOAD = _select(Upload, "uploads", "WHERE file_id = ?")
DELETE_UPLOAD = Query("DELETE FROM uploads WHERE file_id = ?")
INSERT_LISTED_UPLOAD = _insert("uploads_by_user", ("user_id", "file_id"))
LISTED_UPLOADS = Query("SELECT file_id FROM uploads_by_user WHERE user_id = ?")
DELETE_LISTED_UPLOAD = Query("DELETE FROM uploads_by_user WHERE user_id = ? AND file_id = ?")

# the chat's row
STATE_COLUMNS = (*columns(Chat), "turn", "summary", "deleting")
INSERT_CHAT = _insert(
    "chats",
    (*columns(Chat), "summary_position", "deleting"),
    kind=_LWT,
)
CHAT = Query(f"SELECT {_list(columns(Chat))}, deleting FROM chats WHERE chat_id = ?")  # noqa: S608
STATE = Query(f"SELECT {_list(STATE_COLUMNS)} FROM chats WHERE chat_id = ?")  # noqa: S608
STATE_SERIAL = Query(STATE.text, Kind.SERIAL_READ)
ACCEPT = Query(
    "UPDATE chats SET title = ?, active_run_id = ?, active_at_ms = ?, next_position = ?, "
    "turn = ?, leaf_id = ?, branched = ? WHERE chat_id = ? "
    "IF title = ? AND active_run_id = '' AND next_position = ? AND deleting = false",
    _LWT,
)
FINISH = Query(
    "UPDATE chats SET active_run_id = '', turn = ? WHERE chat_id = ? IF active_run_id = ?", _LWT
)
SET_TITLE = Query("UPDATE chats SET title = ? WHERE chat_id = ? IF deleting = false", _LWT)
SET_TITLE_ONCE = Query(
    "UPDATE chats SET title = ? WHERE chat_id = ? IF deleting = false AND title = ?", _LWT
)
SET_MODEL = Query("UPDATE chats SET model = ? WHERE chat_id = ? IF deleting = false", _LWT)
SET_PINNED = Query("UPDATE chats SET pinned = ? WHERE chat_id = ? IF deleting = false", _LWT)
SET_LEAF = Query(
    "UPDATE chats SET leaf_id = ?, branched = true WHERE chat_id = ? IF deleting = false", _LWT
)
SET_SUMMARY = Query(
    "UPDATE chats SET summary = ?, summary_position = ? WHERE chat_id = ? "
    "IF deleting = false AND summary_position = ?",
    _LWT,
)
MARK_DELETING = Query(
    "UPDATE chats SET deleting = true WHERE chat_id = ? "
    "IF active_run_id = '' AND next_position = ? AND deleting = false",
    _LWT,
)
MARK_DELETING_ALL = Query("UPDATE chats SET deleting = true WHERE chat_id = ? IF user_id = ?", _LWT)
DELETE_CHAT = Query("DELETE FROM chats WHERE chat_id = ? IF deleting = true", _LWT)

# the list by activity
_PLACE = ("user_id", "month", "active_at_ms", "chat_id", "run_id")
INSERT_LISTED = _insert("chat_list", _PLACE)
DELETE_LISTED = Query(
    "DELETE FROM chat_list WHERE user_id = ? AND month = ? AND active_at_ms = ? "
    "AND chat_id = ? AND run_id = ?"
)
INSERT_MONTH = _insert("chat_months", ("user_id", "month"))
MONTHS = Query("SELECT month FROM chat_months WHERE user_id = ?")
LISTED = Query(
    "SELECT active_at_ms, chat_id, run_id FROM chat_list WHERE user_id = ? AND month = ? "
    "AND (active_at_ms, chat_id, run_id) < (?, ?, ?) LIMIT ?"
)

DELETE_MONTH = Query("DELETE FROM chat_list WHERE user_id = ? AND month = ?")
DELETE_MONTHS = Query("DELETE FROM chat_months WHERE user_id = ?")
INSERT_PINNED = _insert("pinned_chats", ("user_id", "chat_id"))
DELETE_PINNED = Query("DELETE FROM pinned_chats WHERE user_id = ? AND chat_id = ?")
PINNED = Query("SELECT chat_id FROM pinned_chats WHERE user_id = ? LIMIT ?")
DELETE_ALL_PINNED = Query("DELETE FROM pinned_chats WHERE user_id = ?")

# search
_FOUND = ("user_id", "month", "created_at_ms", "message_id")
INSERT_FOUND = _insert("found_messages", (*_FOUND, "chat_id", "words"))
DELETE_FOUND = Query(
    "DELETE FROM found_messages WHERE user_id = ? AND month = ? AND created_at_ms = ? "
    "AND message_id = ?"
)
FOUND = Query(
    "SELECT created_at_ms, message_id, chat_id, words FROM found_messages "
    "WHERE user_id = ? AND month = ? AND (created_at_ms, message_id) < (?, ?) LIMIT ?"
)
DELETE_FOUND_MONTH = Query("DELETE FROM found_messages WHERE user_id = ? AND month = ?")
INSERT_FOUND_MONTH = _insert("found_months", ("user_id", "month"))
FOUND_MONTHS = Query("SELECT month FROM found_months WHERE user_id = ?")
DELETE_FOUND_MONTHS = Query("DELETE FROM found_months WHERE user_id = ?")

# shares
INSERT_SHARE_PART = _insert("share_parts", ("share_id", "part", "chat_id", "record"))
SHARE_PARTS = Query("SELECT chat_id, record FROM share_parts WHERE share_id = ?")
DELETE_SHARE_PARTS = Query("DELETE FROM share_parts WHERE share_id = ?")
INSERT_SHARE = _insert("share_of_chat", ("chat_id", "share_id", "parts", "record"))
SHARE_OF_CHAT = Query("SELECT share_id, parts, record FROM share_of_chat WHERE chat_id = ?")
DELETE_SHARE = Query("DELETE FROM share_of_chat WHERE chat_id = ?")

# settled turns
INSERT_MESSAGE = _insert("messages", ("bucket", *columns(Message)))
MESSAGES_UP = _select(
    Message, "messages", "WHERE chat_id = ? AND bucket = ? AND position >= ? LIMIT ?"
)
MESSAGES_DOWN = _select(
    Message,
    "messages",
    "WHERE chat_id = ? AND bucket = ? AND position <= ? ORDER BY position DESC LIMIT ?",
)
MESSAGE = _select(Message, "messages", "WHERE chat_id = ? AND bucket = ? AND position = ?")
BUCKET_NODES = _select(MessageNode, "messages", "WHERE chat_id = ? AND bucket = ?")
BUCKET_IDS = Query(
    "SELECT message_id, run_id, created_at_ms FROM messages WHERE chat_id = ? AND bucket = ?"
)
DELETE_BUCKET = Query("DELETE FROM messages WHERE chat_id = ? AND bucket = ?")
INSERT_PLACE = _insert("message_places", ("chat_id", "message_id", "position"))
PLACE = Query("SELECT position FROM message_places WHERE chat_id = ? AND message_id = ?")
DELETE_PLACE = Query("DELETE FROM message_places WHERE chat_id = ? AND message_id = ?")
INSERT_RUN = _insert("runs", columns(RunRecord))
RUN = _select(RunRecord, "runs", "WHERE run_id = ?")
DELETE_RUN = Query("DELETE FROM runs WHERE run_id = ?")
INSERT_RUN_KEY = _insert("run_keys", ("chat_id", "idempotency_key", "run_id"))
RUN_KEY = Query("SELECT run_id FROM run_keys WHERE chat_id = ? AND idempotency_key = ?")
DELETE_RUN_KEY = Query("DELETE FROM run_keys WHERE chat_id = ? AND idempotency_key = ?")

# responses
INSERT_RESPONSE = _insert("responses", columns(ResponseRecord), kind=_LWT)
RESPONSE = _select(ResponseRecord, "responses", "WHERE response_id = ?")
RESPONSE_SERIAL = Query(RESPONSE.text, Kind.SERIAL_READ)
FINISH_RESPONSE = Query(
    f"UPDATE responses SET {_list(tuple(f'{name} = ?' for name in columns(ResponseRecord)[1:]))} "  # noqa: S608
    "WHERE response_id = ? IF state = 'active'",
    _LWT,
)
DELETE_RESPONSE = Query("DELETE FROM responses WHERE response_id = ? IF EXISTS", _LWT)
INSERT_LISTED_RESPONSE = _insert("responses_by_user", ("user_id", "response_id"))
LISTED_RESPONSES = Query("SELECT response_id FROM responses_by_user WHERE user_id = ?")
DELETE_LISTED_RESPONSE = Query(
    "DELETE FROM responses_by_user WHERE user_id = ? AND response_id = ?"
)
_KEY_OF = "user_id = ? AND idempotency_key = ?"
CLAIM_RESPONSE_KEY = _insert(
    "response_keys", ("user_id", "idempotency_key", "response_id", "made"), kind=_LWT
)
RESPONSE_KEY_SERIAL = Query(
    f"SELECT response_id, made FROM response_keys WHERE {_KEY_OF}",  # noqa: S608 - own names
    Kind.SERIAL_READ,
)
RECLAIM_RESPONSE_KEY = Query(
    f"UPDATE response_keys SET response_id = ? WHERE {_KEY_OF} "  # noqa: S608 - own names
    "IF response_id = ? AND made = false",
    _LWT,
)
KEEP_RESPONSE_KEY = Query(
    f"UPDATE response_keys SET made = true WHERE {_KEY_OF} IF response_id = ?",  # noqa: S608
    _LWT,
)
DELETE_RESPONSE_KEY = Query(
    f"DELETE FROM response_keys WHERE {_KEY_OF} IF response_id = ?",  # noqa: S608 - own names
    _LWT,
)

ALL = tuple(value for value in list(vars().values()) if isinstance(value, Query))

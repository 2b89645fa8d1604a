"""The records of history, as every adapter stores and returns them."""

from typing import Literal

from contracts.base import Wire
from contracts.errors import Problem
from contracts.runs import FinishReason, Tier, Usage

Role = Literal["user", "assistant"]
MessageStatus = Literal["complete", "pending", "cancelled", "failed"]
RunRecordState = Literal["active", "completed", "cancelled", "failed"]


class User(Wire):
    """An account. A guest has neither e-mail nor password. `email` is stored lower-case and
    is unique; `password_hash` is argon2's encoded form."""

    user_id: str
    created_at_ms: int
    tier: Tier = "free"
    email: str | None = None
    password_hash: str | None = None


class ApiKey(Wire):
    """A key of an API developer; only the SHA-256 (hex) of the secret is stored."""

    key_id: str
    user_id: str
    name: str
    secret_hash: str
    created_at_ms: int
    last_used_at_ms: int | None = None


class Chat(Wire):
    """A conversation. `active_at_ms` orders the list; `active_run_id` is the one run in
    flight, which history's compare-and-set keeps single; `next_position` is the place of
    the next message."""

    chat_id: str
    user_id: str
    created_at_ms: int
    active_at_ms: int
    title: str = ""
    model: str | None = None
    pinned: bool = False
    active_run_id: str | None = None
    next_position: int = 0


class Message(Wire):
    """One message. `position` counts from 0 within the chat and decides the order.
    An answer is stored as `pending` with its prompt and filled in at its end. `parent_id`
    is the message it answers: answers with the same parent are alternatives."""

    message_id: str
    chat_id: str
    position: int
    role: Role
    content: str
    created_at_ms: int
    status: MessageStatus = "complete"
    run_id: str | None = None
    parent_id: str | None = None
    model: str | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None


class RunRecord(Wire):
    """What outlives a run's log: identity, idempotency, and how it ended."""

    run_id: str
    chat_id: str
    user_id: str
    prompt_id: str
    answer_id: str
    created_at_ms: int
    state: RunRecordState = "active"
    model: str = ""
    idempotency_key: str | None = None
    body_hash: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage = Usage()
    error: Problem | None = None
    ended_at_ms: int | None = None


class Summary(Wire):
    """The running summary of a chat up to and including message `position`."""

    chat_id: str
    position: int
    text: str
    created_at_ms: int


class SessionRecord(Wire):
    """What a session actor is rebuilt from: the chat, its newest messages (oldest first), its
    active run, the newest finished runs, newest first (for idempotency), and its summary."""

    chat: Chat
    messages: tuple[Message, ...] = ()
    active_run: RunRecord | None = None
    recent_runs: tuple[RunRecord, ...] = ()
    summary: Summary | None = None

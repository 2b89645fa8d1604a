"""The records of history, as every adapter stores and returns them."""

from typing import Literal

from contracts.base import Wire
from contracts.errors import Problem
from contracts.runs import FinishReason, Tier, Usage

Role = Literal["user", "assistant"]
MessageStatus = Literal["complete", "pending", "cancelled", "failed"]
RunRecordState = Literal["active", "completed", "cancelled", "failed"]
FileKind = Literal["text", "code", "pdf", "image"]


class UserSettings(Wire):
    """What a user wants in every chat that does not say otherwise. `system_prompt` is added
    to the system's own; '' adds nothing."""

    system_prompt: str = ""
    temperature: float | None = None
    model: str | None = None


class User(Wire):
    """An account. A guest has neither e-mail nor password. `email` is stored lower-case and
    is unique; `password_hash` is argon2's encoded form. Session tokens issued before
    `sessions_from_ms` are void."""

    user_id: str
    created_at_ms: int
    tier: Tier = "free"
    email: str | None = None
    password_hash: str | None = None
    sessions_from_ms: int = 0
    settings: UserSettings | None = None


class ApiKey(Wire):
    """A key of an API developer; only the SHA-256 (hex) of the secret is stored. `scope` are
    the names of what it may be used for, with spaces between; '' is everything."""

    key_id: str
    user_id: str
    name: str
    secret_hash: str
    created_at_ms: int
    last_used_at_ms: int | None = None
    scope: str = ""


class Chat(Wire):
    """A conversation. `active_at_ms` orders the list; `active_run_id` is the one run in
    flight, which history's compare-and-set keeps single; `next_position` is the place of
    the next message. `leaf_id` is the last message of the path shown (None: the newest
    message's); `branched`: some message may have alternatives (ADR 0018)."""

    chat_id: str
    user_id: str
    created_at_ms: int
    active_at_ms: int
    title: str = ""
    model: str | None = None
    pinned: bool = False
    active_run_id: str | None = None
    next_position: int = 0
    leaf_id: str | None = None
    branched: bool = False


class Attachment(Wire):
    """A file that came with a prompt. `text` is what the model is shown of it, extracted and
    bounded by the edge; '' for an image. `digest` is the SHA-256 (hex) of an image that was sent
    to a model that sees ('': to none)."""

    file_id: str
    name: str
    media_type: str
    kind: FileKind = "text"
    size_bytes: int = 0
    text: str = ""
    digest: str = ""


class Message(Wire):
    """One message. `position` counts from 0 within the chat and decides the order of arrival.
    An answer is stored as `pending` with its prompt and filled in at its end. `parent_id` is
    the message that it follows: the prompt of an answer, the answer before a prompt; '' is the
    root, None the message before it by position. Messages of one role with the same parent
    are alternatives (`contracts.branches`)."""

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
    attachments: tuple[Attachment, ...] = ()


class MessageNode(Wire):
    """A message without its content: what the tree of a chat's messages is made of."""

    message_id: str
    position: int
    role: Role
    created_at_ms: int
    status: MessageStatus = "complete"
    parent_id: str | None = None
    model: str | None = None


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
    """The running summary of a chat up to and including message `position`, whose id is
    `upto_id`: it is of use only while that message is on the path shown ('' in old rows: no
    branches yet)."""

    chat_id: str
    position: int
    text: str
    created_at_ms: int
    upto_id: str = ""


class SharedMessage(Wire):
    """A message as a share shows it: no id, nothing of its owner, no text of its files."""

    role: Role
    content: str
    created_at_ms: int
    model: str | None = None
    attachments: tuple[Attachment, ...] = ()


class Share(Wire):
    """A chat's shown path as it was when it was shared; never changed afterwards. `user_id`
    and `chat_id` say who may revoke it and are told nobody."""

    share_id: str
    chat_id: str
    user_id: str
    created_at_ms: int
    title: str = ""
    model: str | None = None
    messages: tuple[SharedMessage, ...] = ()


class Upload(Wire):
    """A stored file. Its bytes, and its extracted text of `text_chars` characters, lie in the
    file store under its id."""

    file_id: str
    user_id: str
    created_at_ms: int
    name: str
    media_type: str
    kind: FileKind
    size_bytes: int
    text_chars: int = 0


class SessionRecord(Wire):
    """What a session actor is rebuilt from: the chat, the newest messages of the path shown
    (oldest first), its active run, the newest finished runs, newest first (for idempotency),
    and its summary."""

    chat: Chat
    messages: tuple[Message, ...] = ()
    active_run: RunRecord | None = None
    recent_runs: tuple[RunRecord, ...] = ()
    summary: Summary | None = None

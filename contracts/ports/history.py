"""History: what outlives everything else. Real: SQLite (embedded) and CQL; fake: in memory.

Every write is durable when it returns. Reads see one's own writes. Unless said otherwise a
call raises `HistoryUnavailable` when the store can't be reached, and a write's effect is
then unknown; every write may be repeated with the same arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.ports.responses import Responses
from contracts.records import (
    ApiKey,
    Chat,
    Message,
    MessageNode,
    RunRecord,
    SessionRecord,
    Share,
    Summary,
    Upload,
    User,
    UserSettings,
)
from contracts.runs import Tier


@dataclass(frozen=True, slots=True)
class ChatCursor:
    """Where a page of chats ended: chats strictly older in activity follow."""

    active_at_ms: int
    chat_id: str


@dataclass(frozen=True, slots=True)
class FoundCursor:
    """Where a page of found messages ended: strictly older ones follow."""

    created_at_ms: int
    message_id: str


class History(Responses, Protocol):
    """See the module."""

    async def open(self) -> None:
        """Connect and bring the schema up to date; may run twice, and concurrently."""
        ...

    async def close(self) -> None:
        """Finish pending writes and disconnect."""
        ...

    async def ping(self) -> None:
        """Return if reads and writes would work now."""
        ...

    # accounts

    async def create_user(self, user: User) -> None:
        """Raises HistoryConflict if the e-mail address is taken by another user."""
        ...

    async def user_by_id(self, user_id: str) -> User | None: ...

    async def user_by_email(self, email: str) -> User | None: ...

    async def list_users(self, *, after: str, limit: int) -> Sequence[User]:
        """Return users in some stable order (not by id), those following user id `after`
        in that order; '' begins."""
        ...

    async def set_tier(self, user_id: str, tier: Tier) -> bool:
        """Return whether there is such a user."""
        ...

    async def update_user(
        self,
        user_id: str,
        *,
        password_hash: str | None = None,
        sessions_from_ms: int | None = None,
        settings: UserSettings | None = None,
    ) -> User | None:
        """Change what is not None; return the user, None if there is none."""
        ...

    async def give_email(self, user_id: str, *, email: str, password_hash: str) -> User | None:
        """Make a guest an account with this address; return it, None if there is no such user.
        Raises HistoryConflict if the address is another's, or the user has one already (the
        same address may be given again)."""
        ...

    async def end_session(self, session_id: str, *, until_ms: int) -> None:
        """Remember that a session has ended, until `until_ms` at least (wall clock)."""
        ...

    async def session_ended(self, session_id: str) -> bool: ...

    async def begin_deletion(self, user_id: str) -> bool:
        """Delete the account itself, at once: nobody can be this user any more. What belonged
        to it is left to `delete_user_data`, and `deletions` names it until then. Return
        whether there was such a user."""
        ...

    async def deletions(self) -> Sequence[str]:
        """Return the users whose deletion has begun and not ended."""
        ...

    async def delete_user_data(self, user_id: str) -> None:
        """Delete all that belonged to a user whose deletion has begun, chats with an active
        run too, and all records of uploads; the deletion has then ended."""
        ...

    async def create_api_key(self, key: ApiKey) -> None: ...

    async def api_key_by_hash(self, secret_hash: str) -> ApiKey | None: ...

    async def list_api_keys(self, user_id: str) -> Sequence[ApiKey]: ...

    async def delete_api_key(self, user_id: str, key_id: str) -> bool:
        """Return whether that user had such a key."""
        ...

    async def use_api_key(self, key: ApiKey, at_ms: int) -> None:
        """Remember that a key was used then; one that is gone stays gone."""
        ...

    # uploads

    async def create_upload(self, upload: Upload) -> None: ...

    async def upload(self, file_id: str) -> Upload | None: ...

    async def list_uploads(self, user_id: str) -> Sequence[Upload]:
        """Return all of a user's uploads, oldest first."""
        ...

    async def delete_upload(self, file_id: str) -> bool:
        """Return whether there was one."""
        ...

    # chats and messages

    async def create_chat(self, chat: Chat) -> None: ...

    async def chat(self, chat_id: str) -> Chat | None: ...

    async def list_chats(
        self, user_id: str, *, before: ChatCursor | None, limit: int, pinned: bool | None = None
    ) -> Sequence[Chat]:
        """Return a user's chats, most recently active first; only pinned or only other ones
        if `pinned` says so."""
        ...

    async def update_chat(
        self,
        chat_id: str,
        *,
        title: str | None = None,
        model: str | None = None,
        pinned: bool | None = None,
        leaf_id: str | None = None,
        title_was: str | None = None,
    ) -> Chat | None:
        """Change what is not None; return the chat, None if there is none. `leaf_id` must be
        a message of the chat, and makes it one that has alternatives. `title_was`: `title` is
        set only in place of this one, and the rest in any case."""
        ...

    async def delete_chat(self, chat_id: str) -> bool:
        """Delete the chat with its messages, runs, summary and share; return whether it was
        there. Raises HistoryConflict while a run is active."""
        ...

    async def messages(
        self, chat_id: str, *, start: int | None, limit: int, ascending: bool
    ) -> Sequence[Message]:
        """Return messages by position: from `start` (inclusive) upwards or downwards; None
        begins at the respective end."""
        ...

    async def message(self, chat_id: str, message_id: str) -> Message | None: ...

    async def nodes(self, chat_id: str) -> Sequence[MessageNode]:
        """Return all messages of a chat without their content, by position."""
        ...

    async def path(
        self,
        chat_id: str,
        *,
        leaf_id: str | None = None,
        start: int | None,
        limit: int,
        ascending: bool,
    ) -> Sequence[Message]:
        """Return messages as `messages` does, but only those of the path that ends in
        `leaf_id` (None: of the path shown); [] if there is no such message."""
        ...

    async def search(
        self, user_id: str, words: Sequence[str], *, before: FoundCursor | None, limit: int
    ) -> Sequence[Message]:
        """Return a user's messages that have these words (`contracts.words`), the last one at
        least as the beginning of a word, newest first. A store may look at no more than the
        newest thousands of messages with a word."""
        ...

    async def put_share(self, share: Share) -> None:
        """Share a chat; what it was shared under before is revoked."""
        ...

    async def share(self, share_id: str) -> Share | None: ...

    async def share_of(self, chat_id: str) -> Share | None:
        """Return under what a chat is shared; its messages may be left out."""
        ...

    async def delete_share(self, chat_id: str) -> bool:
        """Return whether the chat was shared."""
        ...

    # runs

    async def accept_prompt(
        self,
        chat_id: str,
        *,
        prompt: Message | None,
        answer: Message,
        run: RunRecord,
        title: str = "",
        branch: bool = False,
    ) -> Chat:
        """In one step: store both messages and the run, make it the chat's active run, show
        the path that ends in the answer, move the chat's activity to `run.created_at_ms` and
        `next_position` past the answer, and name a chat that has no title `title`.

        Without a `prompt` it is another answer to one that is there. `branch`: the turn need
        not follow the path shown, and the chat has alternatives from then on.

        Returns the chat after it. Repeating it for the same run changes nothing.
        Raises HistoryConflict if another run is active, the chat is gone, the position of the
        first of the messages is not the chat's `next_position`, or (unless `branch`) its
        parent is named and is not the chat's leaf.
        """
        ...

    async def finish_run(self, chat_id: str, *, answer: Message, run: RunRecord) -> bool:
        """In one step: store the final answer and run, and clear the active run if it is this
        one. Return False, changing nothing, if the run is not active (ended before)."""
        ...

    async def run(self, chat_id: str, run_id: str) -> RunRecord | None: ...

    async def run_by_key(self, chat_id: str, idempotency_key: str) -> RunRecord | None:
        """Return the run that was accepted with this idempotency key."""
        ...

    async def load_session(self, chat_id: str, *, messages: int, runs: int) -> SessionRecord | None:
        """Return what a session actor is rebuilt from: the newest `messages` of the path shown,
        and the newest `runs`."""
        ...

    async def put_summary(self, summary: Summary, *, replaces: int | None) -> None:
        """Store the summary if the present one reaches to position `replaces` (None: there is
        none). Raises HistoryConflict otherwise."""
        ...

"""History: what outlives everything else. Real: SQLite (embedded) and CQL; fake: in memory.

Every write is durable when it returns. Reads see one's own writes. Unless said otherwise a
call raises `HistoryUnavailable` when the store can't be reached, and a write's effect is
then unknown; every write may be repeated with the same arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.records import (
    ApiKey,
    Chat,
    Message,
    RunRecord,
    SessionRecord,
    Summary,
    User,
)
from contracts.runs import Tier


@dataclass(frozen=True, slots=True)
class ChatCursor:
    """Where a page of chats ended: chats strictly older in activity follow."""

    active_at_ms: int
    chat_id: str


class History(Protocol):
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

    async def create_api_key(self, key: ApiKey) -> None: ...

    async def api_key_by_hash(self, secret_hash: str) -> ApiKey | None: ...

    async def list_api_keys(self, user_id: str) -> Sequence[ApiKey]: ...

    async def delete_api_key(self, user_id: str, key_id: str) -> bool:
        """Return whether that user had such a key."""
        ...

    # chats and messages

    async def create_chat(self, chat: Chat) -> None: ...

    async def chat(self, chat_id: str) -> Chat | None: ...

    async def list_chats(
        self, user_id: str, *, before: ChatCursor | None, limit: int
    ) -> Sequence[Chat]:
        """Return a user's chats, most recently active first."""
        ...

    async def update_chat(
        self,
        chat_id: str,
        *,
        title: str | None = None,
        model: str | None = None,
        pinned: bool | None = None,
    ) -> Chat | None:
        """Change what is not None; return the chat, None if there is none."""
        ...

    async def delete_chat(self, chat_id: str) -> bool:
        """Delete the chat with its messages, runs and summary; return whether it was there.
        Raises HistoryConflict while a run is active."""
        ...

    async def messages(
        self, chat_id: str, *, start: int | None, limit: int, ascending: bool
    ) -> Sequence[Message]:
        """Return messages by position: from `start` (inclusive) upwards or downwards; None
        begins at the respective end."""
        ...

    async def message(self, chat_id: str, message_id: str) -> Message | None: ...

    # runs

    async def accept_prompt(
        self, chat_id: str, *, prompt: Message, answer: Message, run: RunRecord, title: str = ""
    ) -> Chat:
        """In one step: store both messages and the run, make it the chat's active run, move
        the chat's activity to `run.created_at_ms` and `next_position` past the answer, and
        name a chat that has no title `title`.

        Returns the chat after it. Repeating it for the same run changes nothing.
        Raises HistoryConflict if another run is active, the chat is gone, or
        `prompt.position` is not the chat's `next_position`.
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
        """Return what a session actor is rebuilt from: the newest `messages` and `runs`."""
        ...

    async def put_summary(self, summary: Summary, *, replaces: int | None) -> None:
        """Store the summary if the present one reaches to position `replaces` (None: there is
        none). Raises HistoryConflict otherwise."""
        ...

"""`MemoryHistory`: the fake, and `memory:` for trying things out. Nothing outlives it."""

# ruff: noqa: D102 - the port says what each call promises

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from contracts.errors import HistoryConflict, HistoryRefused
from contracts.ports.history import ChatCursor
from contracts.records import ApiKey, Chat, Message, RunRecord, SessionRecord, Summary, User
from contracts.runs import Tier

T = TypeVar("T")


class MemoryHistory:
    """History in dictionaries. While `available` is False every call but `open` and `close`
    raises HistoryRefused, as when a store is down."""

    def __init__(self) -> None:
        self.available = True
        self._users: dict[str, User] = {}
        self._api_keys: dict[str, ApiKey] = {}
        self._chats: dict[str, Chat] = {}
        self._messages: dict[str, list[Message]] = {}
        self._runs: dict[str, dict[str, RunRecord]] = {}
        self._summaries: dict[str, Summary] = {}

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def ping(self) -> None:
        self._check()

    def _check(self) -> None:
        if not self.available:
            raise HistoryRefused("the history in memory is switched off")

    # accounts

    async def create_user(self, user: User) -> None:
        self._check()
        present = self._users.get(user.user_id)
        taken = user.email is not None and any(
            other.email == user.email and other.user_id != user.user_id
            for other in self._users.values()
        )
        if taken or (present is not None and present.email != user.email):
            raise HistoryConflict("another user has this e-mail address")
        self._users.setdefault(user.user_id, user)

    async def user_by_id(self, user_id: str) -> User | None:
        self._check()
        return self._users.get(user_id)

    async def user_by_email(self, email: str) -> User | None:
        self._check()
        return _first(user for user in self._users.values() if user.email == email)

    async def list_users(self, *, after: str, limit: int) -> Sequence[User]:
        self._check()
        following = sorted(user_id for user_id in self._users if user_id > after)
        return [self._users[user_id] for user_id in following[:limit]]

    async def set_tier(self, user_id: str, tier: Tier) -> bool:
        self._check()
        if user_id not in self._users:
            return False
        self._users[user_id] = msgspec.structs.replace(self._users[user_id], tier=tier)
        return True

    async def create_api_key(self, key: ApiKey) -> None:
        self._check()
        self._api_keys.setdefault(key.key_id, key)

    async def api_key_by_hash(self, secret_hash: str) -> ApiKey | None:
        self._check()
        return _first(key for key in self._api_keys.values() if key.secret_hash == secret_hash)

    async def list_api_keys(self, user_id: str) -> Sequence[ApiKey]:
        self._check()
        of_user = (key for key in self._api_keys.values() if key.user_id == user_id)
        return sorted(of_user, key=lambda key: key.key_id)

    async def delete_api_key(self, user_id: str, key_id: str) -> bool:
        self._check()
        key = self._api_keys.get(key_id)
        if key is None or key.user_id != user_id:
            return False
        del self._api_keys[key_id]
        return True

    # chats and messages

    async def create_chat(self, chat: Chat) -> None:
        self._check()
        if chat.chat_id not in self._chats:
            self._chats[chat.chat_id] = chat
            self._messages[chat.chat_id] = []
            self._runs[chat.chat_id] = {}

    async def chat(self, chat_id: str) -> Chat | None:
        self._check()
        return self._chats.get(chat_id)

    async def list_chats(
        self, user_id: str, *, before: ChatCursor | None, limit: int
    ) -> Sequence[Chat]:
        self._check()
        found = [
            chat
            for chat in self._chats.values()
            if chat.user_id == user_id
            and (
                before is None
                or (chat.active_at_ms, chat.chat_id) < (before.active_at_ms, before.chat_id)
            )
        ]
        found.sort(key=lambda chat: (chat.active_at_ms, chat.chat_id), reverse=True)
        return found[:limit]

    async def update_chat(
        self,
        chat_id: str,
        *,
        title: str | None = None,
        model: str | None = None,
        pinned: bool | None = None,
    ) -> Chat | None:
        self._check()
        chat = self._chats.get(chat_id)
        if chat is None:
            return None
        self._chats[chat_id] = msgspec.structs.replace(
            chat,
            title=chat.title if title is None else title,
            model=chat.model if model is None else model,
            pinned=chat.pinned if pinned is None else pinned,
        )
        return self._chats[chat_id]

    async def delete_chat(self, chat_id: str) -> bool:
        self._check()
        chat = self._chats.get(chat_id)
        if chat is None:
            return False
        if chat.active_run_id is not None:
            raise HistoryConflict(f"{chat.active_run_id} is active in this chat")
        del self._chats[chat_id], self._messages[chat_id], self._runs[chat_id]
        self._summaries.pop(chat_id, None)
        return True

    async def messages(
        self, chat_id: str, *, start: int | None, limit: int, ascending: bool
    ) -> Sequence[Message]:
        self._check()
        found = [
            message
            for message in self._messages.get(chat_id, [])
            if start is None
            or (message.position >= start if ascending else message.position <= start)
        ]
        return found[:limit] if ascending else found[::-1][:limit]

    async def message(self, chat_id: str, message_id: str) -> Message | None:
        self._check()
        of_chat = self._messages.get(chat_id, [])
        return _first(message for message in of_chat if message.message_id == message_id)

    # runs

    async def accept_prompt(
        self, chat_id: str, *, prompt: Message, answer: Message, run: RunRecord, title: str = ""
    ) -> Chat:
        self._check()
        chat = self._chats.get(chat_id)
        if chat is None:
            raise HistoryConflict("the chat is gone")
        runs = self._runs[chat_id]
        if run.run_id in runs:
            return chat
        if chat.active_run_id is not None:
            raise HistoryConflict(f"{chat.active_run_id} is active in this chat")
        if prompt.position != chat.next_position:
            raise HistoryConflict(
                f"the next position is {chat.next_position}, not {prompt.position}"
            )
        key = run.idempotency_key
        if key and any(other.idempotency_key == key for other in runs.values()):
            raise HistoryConflict("another run has this idempotency key")
        self._messages[chat_id] += [prompt, answer]
        runs[run.run_id] = run
        self._chats[chat_id] = msgspec.structs.replace(
            chat,
            title=chat.title or title,
            active_run_id=run.run_id,
            active_at_ms=run.created_at_ms,
            next_position=answer.position + 1,
        )
        return self._chats[chat_id]

    async def finish_run(self, chat_id: str, *, answer: Message, run: RunRecord) -> bool:
        self._check()
        chat = self._chats.get(chat_id)
        if chat is None or chat.active_run_id != run.run_id:
            return False
        self._chats[chat_id] = msgspec.structs.replace(chat, active_run_id=None)
        self._messages[chat_id] = [
            answer if message.message_id == answer.message_id else message
            for message in self._messages[chat_id]
        ]
        self._runs[chat_id][run.run_id] = run
        return True

    async def run(self, chat_id: str, run_id: str) -> RunRecord | None:
        self._check()
        return self._runs.get(chat_id, {}).get(run_id)

    async def run_by_key(self, chat_id: str, idempotency_key: str) -> RunRecord | None:
        self._check()
        of_chat = self._runs.get(chat_id, {}).values()
        return _first(run for run in of_chat if run.idempotency_key == idempotency_key)

    async def load_session(self, chat_id: str, *, messages: int, runs: int) -> SessionRecord | None:
        self._check()
        chat = self._chats.get(chat_id)
        if chat is None:
            return None
        newest = await self.messages(chat_id, start=None, limit=messages, ascending=False)
        of_chat = self._runs[chat_id]
        ended = [run for run in reversed(of_chat.values()) if run.state != "active"]
        return SessionRecord(
            chat=chat,
            messages=tuple(reversed(newest)),
            active_run=of_chat.get(chat.active_run_id or ""),
            recent_runs=tuple(ended[:runs]),
            summary=self._summaries.get(chat_id),
        )

    async def put_summary(self, summary: Summary, *, replaces: int | None) -> None:
        self._check()
        if summary.chat_id not in self._chats:
            raise HistoryConflict("the chat is gone")
        present = self._summaries.get(summary.chat_id)
        if present == summary:
            return
        reached = None if present is None else present.position
        if reached != replaces:
            raise HistoryConflict(f"the summary reaches to {reached}, not {replaces}")
        self._summaries[summary.chat_id] = summary


def _first(found: Iterable[T]) -> T | None:
    return next(iter(found), None)

"""`MemoryHistory`: the fake, and `memory:` for trying things out. Nothing outlives it."""

# ruff: noqa: D102 - the port says what each call promises

from collections.abc import Sequence

import msgspec

from contracts.branches import Tree, goes_on, page
from contracts.errors import HistoryConflict
from contracts.ports.history import ChatCursor, FoundCursor
from contracts.records import (
    Chat,
    Message,
    MessageNode,
    RunRecord,
    SessionRecord,
    Share,
    Summary,
)
from contracts.words import found_in, indexed_words
from ops.history.memory_accounts import first
from ops.history.memory_responses import MemoryResponses
from ops.history.rows import columns


class MemoryHistory(MemoryResponses):
    """History in dictionaries. While `available` is False every call but `open` and `close`
    raises HistoryRefused, as when a store is down."""

    def __init__(self) -> None:
        super().__init__()
        self._chats: dict[str, Chat] = {}
        self._messages: dict[str, list[Message]] = {}
        self._runs: dict[str, dict[str, RunRecord]] = {}
        self._summaries: dict[str, Summary] = {}
        self._shares: dict[str, Share] = {}

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def ping(self) -> None:
        self._check()

    async def delete_user_data(self, user_id: str) -> None:
        self._check()
        for chat in [chat for chat in self._chats.values() if chat.user_id == user_id]:
            self._forget_chat(chat.chat_id)
        self._forget_user(user_id)

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
        self, user_id: str, *, before: ChatCursor | None, limit: int, pinned: bool | None = None
    ) -> Sequence[Chat]:
        self._check()
        found = [
            chat
            for chat in self._chats.values()
            if chat.user_id == user_id
            and pinned in (None, chat.pinned)
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
        leaf_id: str | None = None,
        title_was: str | None = None,
    ) -> Chat | None:
        self._check()
        chat = self._chats.get(chat_id)
        if chat is None:
            return None
        if title_was not in (None, chat.title):
            title = None
        self._chats[chat_id] = msgspec.structs.replace(
            chat,
            title=chat.title if title is None else title,
            model=chat.model if model is None else model,
            pinned=chat.pinned if pinned is None else pinned,
            leaf_id=chat.leaf_id if leaf_id is None else leaf_id,
            branched=chat.branched or leaf_id is not None,
        )
        return self._chats[chat_id]

    async def delete_chat(self, chat_id: str) -> bool:
        self._check()
        chat = self._chats.get(chat_id)
        if chat is None:
            return False
        if chat.active_run_id is not None:
            raise HistoryConflict(f"{chat.active_run_id} is active in this chat")
        self._forget_chat(chat_id)
        return True

    def _forget_chat(self, chat_id: str) -> None:
        del self._chats[chat_id], self._messages[chat_id], self._runs[chat_id]
        self._summaries.pop(chat_id, None)
        self._shares.pop(chat_id, None)

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
        return first(message for message in of_chat if message.message_id == message_id)

    async def nodes(self, chat_id: str) -> Sequence[MessageNode]:
        self._check()
        return [
            MessageNode(**{name: getattr(message, name) for name in columns(MessageNode)})
            for message in self._messages.get(chat_id, [])
        ]

    async def path(
        self,
        chat_id: str,
        *,
        leaf_id: str | None = None,
        start: int | None,
        limit: int,
        ascending: bool,
    ) -> Sequence[Message]:
        self._check()
        chat = self._chats.get(chat_id)
        tree = Tree(self._messages.get(chat_id, []))
        if chat is None or (leaf_id is not None and leaf_id not in tree):
            return []
        way = tree.path(leaf_id or chat.leaf_id)
        return page(way, start=start, limit=limit, ascending=ascending)

    async def search(
        self, user_id: str, words: Sequence[str], *, before: FoundCursor | None, limit: int
    ) -> Sequence[Message]:
        self._check()
        found = [
            message
            for chat in self._chats.values()
            if chat.user_id == user_id
            for message in self._messages[chat.chat_id]
            if (before is None or _found_place(message) < (before.created_at_ms, before.message_id))
            and found_in(indexed_words(message.content), words)
        ]
        return sorted(found, key=_found_place, reverse=True)[:limit]

    async def put_share(self, share: Share) -> None:
        self._check()
        if share.chat_id not in self._chats:
            raise HistoryConflict("the chat is gone")
        self._shares[share.chat_id] = share

    async def share(self, share_id: str) -> Share | None:
        self._check()
        return first(share for share in self._shares.values() if share.share_id == share_id)

    async def share_of(self, chat_id: str) -> Share | None:
        self._check()
        return self._shares.get(chat_id)

    async def delete_share(self, chat_id: str) -> bool:
        self._check()
        return self._shares.pop(chat_id, None) is not None

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
        self._check()
        chat = self._chats.get(chat_id)
        if chat is None:
            raise HistoryConflict("the chat is gone")
        runs = self._runs[chat_id]
        if run.run_id in runs:
            return chat
        if chat.active_run_id is not None:
            raise HistoryConflict(f"{chat.active_run_id} is active in this chat")
        begins = prompt or answer
        if begins.position != chat.next_position:
            raise HistoryConflict(
                f"the next position is {chat.next_position}, not {begins.position}"
            )
        if not branch and not goes_on(begins, chat.leaf_id):
            raise HistoryConflict(f"{chat.leaf_id} is shown, not {begins.parent_id}")
        key = run.idempotency_key
        if key and any(other.idempotency_key == key for other in runs.values()):
            raise HistoryConflict("another run has this idempotency key")
        self._messages[chat_id] += [answer] if prompt is None else [prompt, answer]
        runs[run.run_id] = run
        self._chats[chat_id] = msgspec.structs.replace(
            chat,
            title=chat.title or title,
            active_run_id=run.run_id,
            active_at_ms=run.created_at_ms,
            next_position=answer.position + 1,
            leaf_id=answer.message_id,
            branched=chat.branched or branch,
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
        return first(run for run in of_chat if run.idempotency_key == idempotency_key)

    async def load_session(self, chat_id: str, *, messages: int, runs: int) -> SessionRecord | None:
        self._check()
        chat = self._chats.get(chat_id)
        if chat is None:
            return None
        newest = await self.path(chat_id, start=None, limit=messages, ascending=False)
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


def _found_place(message: Message) -> tuple[int, str]:
    return message.created_at_ms, message.message_id

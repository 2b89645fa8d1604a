"""Chats, messages and runs in CQL: how a crash between any two statements harms nothing.

A chat's row in `chats` is its one point of decision. It carries the newest turn (prompt,
answer, run) whole, so a single lightweight transaction on that row accepts a prompt or
finishes a run: there is no second step that could be missing, and a refused prompt is
written nowhere that a reader looks.

Every turn before the newest has a copy in `messages`, `message_places`, `runs` and
`run_keys`: `accept_prompt` settles it there *before* its transaction replaces it in the
row. Settling writes final values under fixed keys, so it may happen twice or by two owners.
Readers take the row first and then the tables, so they miss nothing that moves meanwhile.
"""

# ruff: noqa: D102 - the port says what each call promises

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress

import msgspec

from contracts.branches import goes_on
from contracts.codec import decode, encode
from contracts.errors import HistoryConflict, HistoryRefused, HistoryUnavailable
from contracts.ports.history import ChatCursor, FoundCursor
from contracts.records import Chat, Message, MessageNode, RunRecord, SessionRecord, Summary
from contracts.words import found_in, indexed_words
from ops.history import cql_found as index
from ops.history import cql_list as activity
from ops.history import cql_queries as q
from ops.history import cql_turns as turns
from ops.history.cql_link import CqlLink
from ops.history.cql_list import ListPlace, chat_of_row
from ops.history.cql_shares import CqlShares
from ops.history.cql_turns import ChatState, Turn
from ops.history.rows import columns, to_row

RACES_MAX = 8
"""How often a call decides again after another writer came first. Each loss means that the
chat changed, and a changed chat refuses; more than two is not to be expected."""


class CqlChats:
    """The port's calls on chats, messages, runs and summaries."""

    def __init__(self, link: CqlLink, shares: CqlShares) -> None:
        self._link = link
        self._shares = shares

    async def _state(self, chat_id: str, query: q.Query = q.STATE) -> ChatState | None:
        row = await self._link.row(query, chat_id)
        if row is None:
            return None
        *chat, turn, summary, deleting = row
        return ChatState(
            chat_of_row(tuple(chat)),
            None if turn is None else decode(turn.encode(), Turn),
            None if summary is None else decode(summary.encode(), Summary),
            bool(deleting),
        )

    async def _visible(self, chat_id: str, query: q.Query = q.STATE) -> ChatState | None:
        state = await self._state(chat_id, query)
        return None if state is None or state.deleting else state

    # chats

    async def create_chat(self, chat: Chat) -> None:
        await activity.note(self._link, _place(chat, None))
        row = dict(zip(columns(Chat), to_row(chat), strict=True))
        row["active_run_id"] = chat.active_run_id or ""
        await self._link.applied(q.INSERT_CHAT, *row.values(), -1, False)

    async def chat(self, chat_id: str) -> Chat | None:
        state = await self._visible(chat_id)
        return None if state is None else state.chat

    async def list_chats(
        self, user_id: str, *, before: ChatCursor | None, limit: int, pinned: bool | None = None
    ) -> Sequence[Chat]:
        if pinned:
            return await activity.read_pinned(self._link, user_id, before, limit)
        return await activity.read_list(
            self._link, user_id, before, limit, without_pinned=pinned is False
        )

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
        if pinned:
            chat = await self.chat(chat_id)
            if chat is None:
                return None
            await self._link.rows(q.INSERT_PINNED, chat.user_id, chat_id)
        if title is not None and title_was is not None:
            await self._link.applied(q.SET_TITLE_ONCE, title, chat_id, title_was)
            title = None
        changes = (
            (q.SET_TITLE, title),
            (q.SET_MODEL, model),
            (q.SET_PINNED, pinned),
            (q.SET_LEAF, leaf_id),
        )
        for query, value in changes:
            if value is not None and not await self._link.applied(query, value, chat_id):
                return None
        return await self.chat(chat_id)

    async def delete_chat(self, chat_id: str) -> bool:
        for _ in range(RACES_MAX):
            state = await self._state(chat_id, q.STATE_SERIAL)
            if state is None:
                return False
            if state.chat.active_run_id is not None:
                raise HistoryConflict(f"{state.chat.active_run_id} is active in this chat")
            if state.deleting or await self._link.applied(
                q.MARK_DELETING, chat_id, state.chat.next_position
            ):
                await self._forget_chat(state)
                return True
        raise HistoryUnavailable(f"{chat_id} changes too often to be deleted")

    async def _forget_chat(self, state: ChatState) -> None:
        """Delete a chat that is marked as deleting; may be repeated."""
        chat = state.chat
        await turns.forget_turns(self._link, state)
        await self._shares.delete_share(chat.chat_id)
        await self._link.rows(q.DELETE_PINNED, chat.user_id, chat.chat_id)
        await activity.forget(self._link, _place(chat, state.turn))
        await self._link.applied(q.DELETE_CHAT, chat.chat_id)

    async def _forget_chats(self, user_id: str) -> None:
        """Delete all chats of a user, those with an active run too; may be repeated."""
        for (month,) in await self._link.rows(q.MONTHS, user_id):
            for chat_id in await activity.listed(self._link, user_id, month):
                if await self._link.applied(q.MARK_DELETING_ALL, chat_id, user_id):
                    state = await self._state(chat_id, q.STATE_SERIAL)
                    if state is not None:
                        await self._forget_chat(state)
            await self._link.rows(q.DELETE_MONTH, user_id, month)
        await asyncio.gather(
            self._link.rows(q.DELETE_MONTHS, user_id),
            self._link.rows(q.DELETE_ALL_PINNED, user_id),
            index.forget_all(self._link, user_id),
        )

    # messages

    async def messages(
        self, chat_id: str, *, start: int | None, limit: int, ascending: bool
    ) -> Sequence[Message]:
        state = await self._visible(chat_id)
        if state is None:
            return []
        return await turns.read_messages(
            self._link, state, start=start, limit=limit, ascending=ascending
        )

    async def message(self, chat_id: str, message_id: str) -> Message | None:
        state = await self._visible(chat_id)
        return None if state is None else await turns.read_message(self._link, state, message_id)

    async def nodes(self, chat_id: str) -> Sequence[MessageNode]:
        state = await self._visible(chat_id)
        return [] if state is None else await turns.read_nodes(self._link, state)

    async def path(
        self,
        chat_id: str,
        *,
        leaf_id: str | None = None,
        start: int | None,
        limit: int,
        ascending: bool,
    ) -> Sequence[Message]:
        state = await self._visible(chat_id)
        if state is None:
            return []
        return await turns.read_path(
            self._link, state, leaf_id, start=start, limit=limit, ascending=ascending
        )

    async def search(
        self, user_id: str, words: Sequence[str], *, before: FoundCursor | None, limit: int
    ) -> Sequence[Message]:
        found: list[Message] = []
        async with aclosing(index.hints(self._link, user_id, words, before)) as hints:
            async for chat_id, message_id in hints:
                state = await self._visible(chat_id)
                if state is None or state.chat.user_id != user_id:
                    continue
                message = await turns.read_message(self._link, state, message_id)
                if message is not None and found_in(indexed_words(message.content), words):
                    found.append(message)
                if len(found) == limit:
                    break
        return found

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
        turn = Turn(messages=(answer,) if prompt is None else (prompt, answer), run=run)
        for _ in range(RACES_MAX):
            try:
                state, after = await self._decide(chat_id, turn, title, branch=branch)
            except HistoryUnavailable as error:
                raise HistoryRefused(str(error)) from error
            if state.chat == after or await self._accept(state, after, turn):
                return after
        raise HistoryRefused(f"{chat_id} changes too often to take a prompt")

    async def _decide(
        self, chat_id: str, turn: Turn, title: str, *, branch: bool
    ) -> tuple[ChatState, Chat]:
        """Return the chat's state and the chat as it shall be with this turn, which is the
        same if the turn was accepted before; raise HistoryConflict if the chat refuses it.
        Prepares the acceptance, but nothing that it does can be seen yet.
        """
        state = await self._visible(chat_id, q.STATE_SERIAL)
        if state is None:
            raise HistoryConflict("the chat is gone")
        if await self._was_accepted(state, turn):
            return state, state.chat
        await self._check_acceptable(state, turn, branch=branch)
        after = msgspec.structs.replace(
            state.chat,
            title=state.chat.title or title,
            active_run_id=turn.run.run_id,
            active_at_ms=turn.run.created_at_ms,
            next_position=turn.messages[-1].position + 1,
            leaf_id=turn.messages[-1].message_id,
            branched=state.chat.branched or branch,
        )
        await activity.note(self._link, _place(after, turn))
        await index.note(self._link, after.user_id, turn.messages[0])
        if state.turn is not None:
            await turns.settle(self._link, state.turn)
        return state, after

    async def _was_accepted(self, state: ChatState, turn: Turn) -> bool:
        # A run that was accepted has moved the next position past its prompt.
        if turn.messages[0].position >= state.chat.next_position:
            return False
        return await turns.read_run(self._link, state, turn.run.run_id) is not None

    async def _check_acceptable(self, state: ChatState, turn: Turn, *, branch: bool) -> None:
        """Raise HistoryConflict if the chat in this state refuses the turn."""
        chat, position = state.chat, turn.messages[0].position
        if chat.active_run_id is not None:
            raise HistoryConflict(f"{chat.active_run_id} is active in this chat")
        if position != chat.next_position:
            raise HistoryConflict(f"the next position is {chat.next_position}, not {position}")
        if not branch and not goes_on(turn.messages[0], chat.leaf_id):
            raise HistoryConflict("another path is shown")
        key = turn.run.idempotency_key
        if key and await turns.read_run_by_key(self._link, state, key) is not None:
            raise HistoryConflict("another run has this idempotency key")

    async def _accept(self, state: ChatState, after: Chat, turn: Turn) -> bool:
        """Replace the state by the one with this turn; False if it is no longer the chat's.

        Between two states with no active run, the same next position and the same title
        nothing else of the decision can differ, so the transaction need not compare more.
        """
        applied = await self._link.applied(
            q.ACCEPT,
            after.title,
            turn.run.run_id,
            after.active_at_ms,
            after.next_position,
            encode(turn).decode(),
            after.leaf_id,
            after.branched,
            after.chat_id,
            state.chat.title,
            state.chat.next_position,
        )
        if applied:
            with suppress(HistoryUnavailable):  # The prompt is accepted; the rest is tidiness.
                await activity.forget(self._link, _place(state.chat, state.turn))
        return applied

    async def finish_run(self, chat_id: str, *, answer: Message, run: RunRecord) -> bool:
        state = await self._visible(chat_id, q.STATE_SERIAL)
        if state is None or state.turn is None or state.chat.active_run_id != run.run_id:
            return False
        messages = tuple(
            answer if message.message_id == answer.message_id else message
            for message in state.turn.messages
        )
        turn = encode(Turn(messages=messages, run=run)).decode()
        await index.note(self._link, state.chat.user_id, answer)
        return await self._link.applied(q.FINISH, turn, chat_id, run.run_id)

    async def run(self, chat_id: str, run_id: str) -> RunRecord | None:
        state = await self._visible(chat_id)
        return None if state is None else await turns.read_run(self._link, state, run_id)

    async def run_by_key(self, chat_id: str, idempotency_key: str) -> RunRecord | None:
        state = await self._visible(chat_id)
        if state is None:
            return None
        return await turns.read_run_by_key(self._link, state, idempotency_key)

    async def load_session(self, chat_id: str, *, messages: int, runs: int) -> SessionRecord | None:
        state = await self._visible(chat_id, q.STATE_SERIAL)
        if state is None:
            return None
        # A turn has two messages at most, and one more turn may be active.
        newest = await turns.read_messages(
            self._link, state, start=None, limit=max(messages, 2 * runs + 2), ascending=False
        )
        shown = newest
        if state.chat.branched:
            shown = await turns.read_path(
                self._link, state, None, start=None, limit=messages, ascending=False
            )
        active = state.chat.active_run_id
        return SessionRecord(
            chat=state.chat,
            messages=tuple(shown[:messages][::-1]),
            active_run=await turns.read_run(self._link, state, active) if active else None,
            recent_runs=tuple(await turns.newest_runs(self._link, state, newest, runs)),
            summary=state.summary,
        )

    async def put_summary(self, summary: Summary, *, replaces: int | None) -> None:
        expected = -1 if replaces is None else replaces
        text = encode(summary).decode()
        if await self._link.applied(
            q.SET_SUMMARY, text, summary.position, summary.chat_id, expected
        ):
            return
        state = await self._visible(summary.chat_id, q.STATE_SERIAL)
        if state is None:
            raise HistoryConflict("the chat is gone")
        if state.summary != summary:
            reached = None if state.summary is None else state.summary.position
            raise HistoryConflict(f"the summary reaches to {reached}, not {replaces}")


def _place(chat: Chat, newest: Turn | None) -> ListPlace:
    """Return where the list has a chat whose newest turn this is."""
    run_id = "" if newest is None else newest.run.run_id
    return ListPlace(chat.user_id, chat.active_at_ms, chat.chat_id, run_id)

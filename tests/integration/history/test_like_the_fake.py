"""Any sequence of calls is answered by a real store as by the fake."""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from contracts.errors import HistoryConflict
from contracts.ports.history import ChatCursor, History
from contracts.records import Chat, Summary
from ops.history.memory import MemoryHistory
from tests.integration.history.conftest import Store
from tests.integration.history.records import Turn, new_chat, new_id

Call = Callable[[History], Awaitable[Any]]
MONTH_MS = 30 * 24 * 3_600_000


class RandomCalls:
    """Draws calls on a few chats of one user, likely ones and wrong ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._user_id = new_id("user")
        self._chats = [new_chat(self._user_id, self._random.randrange(9_000)) for _ in range(4)]
        self._turns: dict[str, list[Turn]] = {chat.chat_id: [] for chat in self._chats}
        self._at_ms = 10_000
        self._known: Chat | None = None
        self._stored: set[str] = set()

    def draw(self, known: Chat | None, stored: set[str], chat: Chat) -> tuple[str, Call]:
        """Return a call and its name; `known` is what the fake has of the chat, `stored` the
        ids of its messages."""
        self._known, self._stored = known, stored
        draws = [
            self._accept,
            self._accept,
            self._accept_again,
            self._finish,
            self._finish,
            self._create,
            self._update,
            self._delete,
            self._summarise,
            self._read,
            self._read,
            self._read,
        ]
        return self._random.choice(draws)(chat)

    def chat(self) -> Chat:
        return self._random.choice(self._chats)

    def _accept(self, chat: Chat) -> tuple[str, Call]:
        position = self._known.next_position if self._known is not None else 0
        if self._random.random() < 0.1:
            position += self._random.choice((-2, 2))
        self._at_ms += self._random.choice((0, 1, 50, MONTH_MS))
        key = self._random.choice((None, "a", "b", new_id("req")))
        turn = Turn(chat, max(0, position), key=key, at_ms=self._at_ms)
        turn.saying(*self._random.sample(("a pot", "the kiln", "a kiln of pots", ""), 2))
        turns = self._turns[chat.chat_id]
        earlier = [t for t in turns if t.answer.message_id in self._stored]
        branch = self._random.random() < 0.3
        if earlier and self._random.random() < 0.4:
            turn.after(self._random.choice(earlier).answer.message_id)
        elif branch and earlier:
            turn.to(self._random.choice(earlier).prompt)
        turns.append(turn)
        return "accept", lambda history: turn.accept(history, branch=branch)

    def _accept_again(self, chat: Chat) -> tuple[str, Call]:
        turns = self._turns[chat.chat_id]
        return "accept again", self._random.choice(turns).accept if turns else self._get(chat)

    def _finish(self, chat: Chat) -> tuple[str, Call]:
        turns = self._turns[chat.chat_id]
        active_run_id = self._known.active_run_id if self._known is not None else None
        active = [turn for turn in turns if turn.run.run_id == active_run_id]
        if active and self._random.random() < 0.8:
            return "finish", active[0].finish
        return "finish", self._random.choice(turns).finish if turns else self._get(chat)

    def _create(self, chat: Chat) -> tuple[str, Call]:
        return "create", lambda history: history.create_chat(chat)

    def _update(self, chat: Chat) -> tuple[str, Call]:
        title = self._random.choice((None, "", "Pots"))
        title_was = self._random.choice((None, "", "Pots"))
        pinned = self._random.choice((None, True, False))
        accepted = [t for t in self._turns[chat.chat_id] if t.answer.message_id in self._stored]
        leaf_id = self._random.choice((None, *(t.answer.message_id for t in accepted)))
        return "update", lambda history: history.update_chat(
            chat.chat_id, title=title, pinned=pinned, leaf_id=leaf_id, title_was=title_was
        )

    def _delete(self, chat: Chat) -> tuple[str, Call]:
        if self._random.random() < 0.7:
            return "get", self._get(chat)
        # A deleted chat's id is not used again.
        index = self._chats.index(chat)
        self._chats[index] = new_chat(self._user_id, self._random.randrange(9_000))
        self._turns[self._chats[index].chat_id] = []
        return "delete", lambda history: history.delete_chat(chat.chat_id)

    def _summarise(self, chat: Chat) -> tuple[str, Call]:
        position = self._random.randrange(4)
        summary = Summary(chat_id=chat.chat_id, position=position, text="s", created_at_ms=1)
        replaces = self._random.choice((None, 0, 1, 2, 3))
        return "summarise", lambda history: history.put_summary(summary, replaces=replaces)

    def _read(self, chat: Chat) -> tuple[str, Call]:
        start = self._random.choice((None, 0, 1, 3, 6, 20))
        limit = self._random.choice((1, 2, 5, 100))
        ascending = self._random.random() < 0.5
        before = self._random.choice((None, ChatCursor(self._at_ms, chat.chat_id)))
        turn = self._random.choice(self._turns[chat.chat_id] or [Turn(chat, 0)])
        pinned = self._random.choice((None, True, False))
        leaf_id = self._random.choice((None, turn.answer.message_id))
        words = self._random.choice((["pot"], ["a", "kil"], ["kiln", "po"], ["x"]))
        name, call = self._random.choice(
            (
                ("get", self._get(chat)),
                (
                    "messages",
                    lambda history: history.messages(
                        chat.chat_id, start=start, limit=limit, ascending=ascending
                    ),
                ),
                (
                    "list",
                    lambda history: history.list_chats(
                        self._user_id, before=before, limit=limit, pinned=pinned
                    ),
                ),
                (
                    "path",
                    lambda history: history.path(
                        chat.chat_id, leaf_id=leaf_id, start=start, limit=limit, ascending=ascending
                    ),
                ),
                ("nodes", lambda history: history.nodes(chat.chat_id)),
                (
                    "search",
                    lambda history: history.search(self._user_id, words, before=None, limit=limit),
                ),
                (
                    "load",
                    lambda history: history.load_session(chat.chat_id, messages=limit, runs=limit),
                ),
                ("run", lambda history: history.run(chat.chat_id, turn.run.run_id)),
                ("key", lambda history: history.run_by_key(chat.chat_id, "a")),
                (
                    "message",
                    lambda history: history.message(chat.chat_id, turn.answer.message_id),
                ),
            )
        )
        return name, call

    @staticmethod
    def _get(chat: Chat) -> Call:
        return lambda history: history.chat(chat.chat_id)


async def outcome(call: Call, history: History) -> Any:
    try:
        answer = await call(history)
    except HistoryConflict:
        return HistoryConflict
    return list(answer) if isinstance(answer, Sequence) else answer


@pytest.mark.parametrize("seed", range(6))
async def test_random_calls_are_answered_as_by_the_fake(store: Store, seed: int) -> None:
    fake = MemoryHistory()
    calls = RandomCalls(seed)
    done: list[str] = []
    for number in range(120):
        chat = calls.chat()
        stored = {node.message_id for node in await fake.nodes(chat.chat_id)}
        name, call = calls.draw(await fake.chat(chat.chat_id), stored, chat)
        done.append(f"{name} {chat.chat_id[-4:]}")
        expected = await outcome(call, fake)
        answered = await outcome(call, (store.one, store.two)[number % 2])
        assert answered == expected, f"seed {seed}: {done}"

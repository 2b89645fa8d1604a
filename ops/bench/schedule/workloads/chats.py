"""Chats of several turns on shared prefixes: the workload of table C. Seeded.

Each turn's prompt is the whole chat so far and a new message; the next turn comes a thinking
time after the answer. Some chats begin with one hot prefix that they all share.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from contracts.block_keys import BLOCK_TOKENS
from ops.bench.schedule.prompts import Prompt, Record, block_name
from ops.bench.schedule.workloads.synthetic import lognormal


@dataclass(frozen=True, slots=True)
class ChatShape:
    """Who chats and how. Chats begin at Poisson rates a second, for each heavy user and each
    light one."""

    heavy_users: int = 4
    light_users: int = 60
    heavy_rate: float = 1.2
    light_rate: float = 0.008
    duration_s: float = 300.0
    hot_share: float = 0.15
    hot_tokens: int = 6_000
    begin_tokens: int = 900
    message_tokens: int = 80
    answer_tokens: int = 220
    turns_least: int = 3
    turns_most: int = 9
    think_heavy_s: float = 2.0
    think_light_s: float = 12.0
    answer_most: int = 1_024
    block_tokens: int = BLOCK_TOKENS


@dataclass(slots=True)
class _Chat:
    name: str
    number: int
    user: str
    heavy: bool
    turns_left: int
    hot: bool
    tokens: int
    chance: random.Random
    turn: int = 0


class Chats:
    """The workload; what a chat says is drawn from a seed of its own, so that it says the same
    whatever the scheduler does."""

    def __init__(self, shape: ChatShape, seed: int) -> None:
        self._shape = shape
        self._seed = seed
        self._begun = 0
        self._chats: dict[str, _Chat] = {}
        self._message = lognormal(shape.message_tokens, 0.8, 8, 2_000)
        self._answer = lognormal(shape.answer_tokens, 0.8, 8, shape.answer_most)
        self._begin = lognormal(shape.begin_tokens, 0.7, 64, 4_000)

    def opening(self) -> Iterator[Prompt]:
        """Yield each chat's first prompt."""
        shape, starts = self._shape, []
        for index in range(shape.heavy_users + shape.light_users):
            heavy = index < shape.heavy_users
            user = f"heavy-{index}" if heavy else f"light-{index - shape.heavy_users:02d}"
            chance = random.Random(f"{self._seed}/{user}")
            rate, at_s, number = (shape.heavy_rate if heavy else shape.light_rate), 0.0, 0
            while (at_s := at_s + chance.expovariate(rate)) < shape.duration_s:
                starts.append((at_s, user, heavy, number))
                number += 1
        for at_s, user, heavy, number in sorted(starts):
            yield self._turn(self._new_chat(f"{user}/{number}", user, heavy=heavy), at_s)

    def following(self, record: Record) -> Prompt | None:
        """Return the chat's next turn, if it was answered and has one."""
        chat = self._chats[record.prompt.chat]
        if record.ending != "served" or chat.turns_left <= 0 or record.end_us is None:
            del self._chats[chat.name]
            return None
        mean_s = self._shape.think_heavy_s if chat.heavy else self._shape.think_light_s
        at_s = record.end_us / 1e6 + chat.chance.expovariate(1 / mean_s)
        if at_s >= self._shape.duration_s:
            return None
        return self._turn(chat, at_s)

    def _new_chat(self, name: str, user: str, *, heavy: bool) -> _Chat:
        shape, chance = self._shape, random.Random(f"{self._seed}/{name}")
        self._begun += 1
        hot = chance.random() < shape.hot_share
        chat = _Chat(
            name=name,
            number=self._begun,
            user=user,
            heavy=heavy,
            turns_left=chance.randint(shape.turns_least, shape.turns_most),
            hot=hot,
            tokens=shape.hot_tokens if hot else self._begin(chance),
            chance=chance,
        )
        self._chats[name] = chat
        return chat

    def _turn(self, chat: _Chat, at_s: float) -> Prompt:
        chat.turn += 1
        chat.turns_left -= 1
        prompt = chat.tokens + self._message(chat.chance)
        output = self._answer(chat.chance)
        chat.tokens = prompt + output
        keys = self._keys(chat, chat.tokens)
        blocks = prompt // self._shape.block_tokens
        return Prompt(
            name=f"{chat.name}/{chat.turn}",
            user=chat.user,
            at_us=round(at_s * 1e6),
            prompt_tokens=prompt,
            output_tokens=output,
            max_tokens=self._shape.answer_most,
            chat=chat.name,
            keys=keys[:blocks],
            answer_keys=keys[blocks:],
        )

    def _keys(self, chat: _Chat, tokens: int) -> tuple[str, ...]:
        size = self._shape.block_tokens
        shared = self._shape.hot_tokens // size if chat.hot else 0
        return tuple(
            block_name(0 if block < shared else chat.number, block)
            for block in range(tokens // size)
        )

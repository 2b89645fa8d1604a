"""A campaign: round after round of one fault under streaming chats, each compared byte for byte.

A round asks several chats of a new guest the same questions as ever, lets one fault happen at a
random moment, asks once more a moment after it has begun, and then holds what was streamed and
what is stored against what the undisturbed stack says.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import httpx

from ops.chaos.faults import ALL, Fault, inflict, set_up, targets
from ops.chaos.operator import looking_at
from ops.chaos.people import ANSWER_S, Person, Story, person
from ops.chaos.stack import RunningStack
from ops.chaos.verdict import Broken
from ops.live import NoStack

PROMPTS = (
    "Tell me a long story about the sea.",
    "What happens when I close the tab?",
    "Count slowly, and name a fruit with each number.",
)
TOKENS = 100
_READY_S = 120.0
OK = 200
_SPREAD_S = 1.2
_NEXT_AFTER_S = 0.2


@dataclass(slots=True)
class Tally:
    """What became of the rounds of one fault. `exact` answers are those that were streamed,
    stored and undisturbed alike; gaps in milliseconds, the longest of each round, and the time to
    the first text of the prompt that was sent after the fault had begun."""

    rounds: int = 0
    answers: int = 0
    exact: int = 0
    differing: int = 0
    lost: int = 0
    endless: int = 0
    doubled: int = 0
    gaps_ms: list[int] = field(default_factory=list)
    next_ms: list[int] = field(default_factory=list)
    stories: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every answer of every round was exact."""
        return self.exact == self.answers

    def add(self, other: "Tally") -> None:
        """Count what the other counted, too."""
        for name in (counted.name for counted in fields(self)):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Campaign:
    """Rounds against one stack, added to `tallies`."""

    def __init__(
        self,
        stack: RunningStack,
        rng: random.Random,
        chats: int,
        gpus: int,
        tallies: dict[Fault, Tally],
    ) -> None:
        self._tallies = tallies
        self._stack = stack
        self._rng = rng
        self._chats = chats
        self._gpus = gpus
        self._expected: dict[str, str] = {}

    async def learn(self) -> None:
        """Ask every question once while nothing happens."""
        async with person(self._stack.url) as guest:
            for prompt in PROMPTS:
                story = await (await guest.ask(prompt, TOKENS)).ended()
                if story.end != "run.completed":
                    raise Broken(f"the undisturbed stack says {story.end}")
                self._expected[prompt] = story.text

    async def round(self, fault: Fault) -> Tally:
        """Let one fault happen under load, and return what became of this round."""
        tally = Tally(rounds=1)
        try:
            await back(self._stack)
            async with (
                looking_at(self._stack.home, self._stack.nats_url) as operator,
                set_up(fault, self._stack, operator) as edges,
                asyncio.timeout(2 * ANSWER_S),
                person(*edges) as guest,
            ):
                await operator.workers_ready(self._gpus)
                known = await targets(self._stack, operator)
                asked = [self._rng.choice(PROMPTS) for _ in range(self._chats)]
                stories = [await guest.ask(prompt, TOKENS) for prompt in asked]
                await asyncio.sleep(self._rng.uniform(0.0, _SPREAD_S))
                next_chat = await guest.chat()
                async with asyncio.TaskGroup() as group:
                    asking = group.create_task(self._ask_next(guest, next_chat))
                    await inflict(fault, self._stack, operator, known, self._rng)
                for prompt, story in zip(asked, stories, strict=True):
                    tally.answers += 1
                    await self._judge(tally, guest, story, self._expected[prompt])
                tally.gaps_ms.append(max(story.gap_ms for story in stories))
                tally.answers += 1
                await self._judge(tally, guest, asking.result(), self._expected[PROMPTS[0]])
                tally.next_ms.append(asking.result().first_ms)
        except* (Broken, NoStack, TimeoutError, httpx.HTTPError) as failures:
            tally.endless += 1
            tally.answers += 1
            tally.stories.append(_first(failures))
        self._tallies.setdefault(fault, Tally()).add(tally)
        return tally

    @staticmethod
    async def _ask_next(guest: Person, chat_id: str) -> Story:
        await asyncio.sleep(_NEXT_AFTER_S)
        return await guest.ask(PROMPTS[0], TOKENS, chat_id=chat_id)

    async def _judge(self, tally: Tally, guest: Person, story: Story, expected: str) -> None:
        try:
            await story.ended()
        except AssertionError as error:
            tally.endless += 1
            tally.stories.append(f"{story.run_id}: {error}")
            return
        try:
            stored = await guest.stored(story)
        except AssertionError as error:
            tally.lost += 1
            tally.stories.append(f"{story.run_id}: {error}")
            return
        ends = sum(kind in ("run.completed", "run.cancelled", "run.failed") for kind in story.kinds)
        if ends != 1:
            tally.doubled += 1
        elif (story.end, story.text, stored["content"]) == ("run.completed", expected, expected):
            tally.exact += 1
        else:
            tally.differing += 1
            tally.stories.append(f"{story.run_id}: {story.end}, {len(story.text)} characters")


async def back(stack: RunningStack) -> None:
    """Return when a prompt would be answered. Raises Broken if that takes too long."""
    deadline = time.monotonic() + _READY_S
    async with httpx.AsyncClient(base_url=stack.url, timeout=5.0) as http:
        while time.monotonic() < deadline:
            try:
                if (await http.get("/readyz")).status_code == OK:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.05)
    raise Broken(f"not all is back {_READY_S:.0f} s after the last fault")


def choose(rng: random.Random, count: int, kinds: Sequence[Fault] = ALL) -> list[Fault]:
    """Return `count` faults, every kind about equally often, in random order; what takes ten
    times as long is a tenth as frequent."""
    usual = [fault for fault in kinds if not fault.long]
    rare = [fault for fault in kinds if fault.long]
    found: list[Fault] = []
    while len(found) < count:
        found += usual
        found += [fault for fault in rare if rng.random() < 0.1 or not usual]
    rng.shuffle(found)
    return found[:count]


def _first(failures: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"

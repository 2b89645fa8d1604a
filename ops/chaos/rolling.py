"""A rolling restart: one actor after another is told to end, each back before the next, while
people chat. Nobody is to see an error, and nobody's stream to break more often than once.

Of the roles that share or hand over their work there are two: of the session hosts and schedulers
`parley up` has a second, a second summarizer comes for the while. There is one edge: `parley up`
holds its port while it is away.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from contracts.scheduling import ActorInfo
from ops.chaos.operator import Operator
from ops.chaos.people import Person, Story, person
from ops.chaos.stack import RunningStack
from ops.chaos.verdict import Broken, require

ORDER = ("summarizer", "session", "scheduler", "gpu", "edge")
_SECOND = "summarizer-second"
_PROMPT = "Tell me a story that never stops."
_TOKENS = 150
_CHATS = 3
_PAUSE_S = 0.1
_BACK_S = 90.0
_CONNECTIONS_MAX = 2


@dataclass(slots=True)
class Rolled:
    """What a rolling restart did: the actors told to end, how long each was away, and the answers
    that people got meanwhile."""

    away_s: dict[str, float] = field(default_factory=dict)
    stories: list[Story] = field(default_factory=list)

    @property
    def gap_ms(self) -> int:
        """The longest silence in any answer."""
        return max((story.gap_ms for story in self.stories), default=0)


async def restart_all(stack: RunningStack, operator: Operator) -> Rolled:
    """Restart every actor of the stack, one after another.

    Raises Broken if an actor does not come back, or if anybody who chatted saw an error, more
    than one reconnect, or another text than before.
    """
    rolled = Rolled()
    done = asyncio.Event()
    async with person(stack.url) as guest, _second_summarizer(stack, operator):
        expected = (await (await guest.ask(_PROMPT, _TOKENS)).ended()).text
        async with asyncio.TaskGroup() as group:
            for _ in range(_CHATS):
                group.create_task(_keep_chatting(guest, rolled, done))
            try:
                for role in ORDER:
                    actors = [row for row in await operator.actors() if row.role == role]
                    for actor in [row for row in actors if row.id != _SECOND]:
                        rolled.away_s[actor.id] = await _restart(actor, guest, operator)
            finally:
                done.set()
        for story in rolled.stories:
            await _judge(guest, story, expected)
    return rolled


@asynccontextmanager
async def _second_summarizer(stack: RunningStack, operator: Operator) -> AsyncIterator[None]:
    """Run one more summarizer, from its first announcement on."""
    process = stack.beside("summarizer", _SECOND)
    deadline = time.monotonic() + _BACK_S
    try:
        while all(row.id != _SECOND for row in await operator.actors()):
            late = time.monotonic() > deadline or process.poll() is not None
            require(not late, f"{_SECOND} does not start")
        yield
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, _BACK_S)


async def _keep_chatting(guest: Person, rolled: Rolled, done: asyncio.Event) -> None:
    while not done.is_set():
        story = await guest.ask(_PROMPT, _TOKENS)
        rolled.stories.append(story)
        await story.ended()
        await asyncio.sleep(_PAUSE_S)


async def _restart(actor: ActorInfo, guest: Person, operator: Operator) -> float:
    """Tell one actor to end; return after how many seconds its successor works."""
    os.kill(actor.pid, signal.SIGTERM)
    began_s = time.monotonic()
    while time.monotonic() < began_s + _BACK_S:
        if await _is_back(actor, operator) and await guest.readiness() == 200:
            return time.monotonic() - began_s
    raise Broken(f"{actor.id} is not back {_BACK_S:.0f} s after it was told to end")


async def _is_back(actor: ActorInfo, operator: Operator) -> bool:
    if actor.role == "gpu":
        workers = await operator.workers()
        return any(
            w.worker == actor.id and w.pid != actor.pid and w.state == "ready" for w in workers
        )
    rows = await operator.actors()
    return any(row.id == actor.id and row.pid != actor.pid for row in rows)


async def _judge(guest: Person, story: Story, expected: str) -> None:
    require(not story.troubles, f"{story.run_id}: {story.troubles}")
    told = (story.end, story.text)
    require(told == ("run.completed", expected), f"{story.run_id}: {story.end}, another text")
    stored = await guest.stored(story)
    require(stored["content"] == expected, f"{story.run_id}: another text is stored")
    count = story.connections
    require(count <= _CONNECTIONS_MAX, f"{story.run_id} took {count} connections")

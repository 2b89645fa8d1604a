"""`python -m tests.simulation.failover FIRST [LAST]`: how long a partition is without an owner
when one of its hosts is killed, stopped or cut off, one seed a case.

The production leases and `PartitionOwner` of two or three hosts, in virtual time. A death is not
announced to anybody: all goes by the leases.
"""

import argparse
import asyncio
import logging
import random
import sys
from collections.abc import Iterable
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Literal, get_args

import structlog

from actors.runtime.memory_bus import MemoryServer
from actors.runtime.partitions import PartitionOwner
from contracts.subjects import SESSION_PARTITIONS
from tests.simulation.faults import FaultyBus, Weather
from tests.simulation.virtual_time import PROCESS, VirtualClock, VirtualTimeLoop, run_virtual

Harm = Literal["kill", "stop", "cut both", "cut in", "cut out"]
HARMS: tuple[Harm, ...] = get_args(Harm)

LIMIT_S = 3.0
"""What is promised: the failover of a session host."""

_SETTLED_S = 15.0
_AFTER_S = 15.0
_LOOK_S = 0.01
_LEAVING_S = (0.0, 2.0)
"""How long the actors of a lost partition take to stop, as a session host waits for them."""
_HARM_S = (0.3, 8.0)


class Host:
    """A session host of which only the partitions are real: its actors take their time to stop."""

    def __init__(
        self, name: str, server: MemoryServer, clock: VirtualClock, rng: random.Random
    ) -> None:
        self.name = name
        self.bus: FaultyBus | None = None
        self.owner: PartitionOwner | None = None
        self._server = server
        self._clock = clock
        self._rng = rng
        self._task: asyncio.Task[None] | None = None

    def holds(self, partition: int) -> bool:
        """Say whether it may act as the partition's owner."""
        return self.owner is not None and self.owner.holds(partition)

    def start(self) -> None:
        """Start it as a process of its own."""
        context = copy_context()
        context.run(PROCESS.set, self.name)
        self._task = asyncio.get_running_loop().create_task(self._live(), context=context)

    async def _live(self) -> None:
        self.bus = FaultyBus(await self._server.connect(self.name), Weather(), self._rng)
        self.owner = PartitionOwner(
            self.bus, self._clock, self.name, SESSION_PARTITIONS,
            on_gained=self._gained, on_lost=self._lost,
        )  # fmt: skip
        await self.owner.run()

    async def _gained(self, partition: int, epoch: int) -> None:
        """Nothing is to be started."""

    async def _lost(self, _partition: int) -> None:
        await asyncio.sleep(self._rng.uniform(*_LEAVING_S))

    async def kill(self) -> None:
        """Leave it no chance to say anything."""
        assert self._task is not None, "it was started"
        assert self.bus is not None, "it has lived"
        self.bus.dead = True
        self.owner = None
        self._task.cancel()
        await asyncio.wait([self._task])


@dataclass(slots=True)
class Failover:
    """What a case came to: `gap_s`, the longest time in which a partition had no owner, counted
    from the harm on; `doubled`, whether two ever held one partition."""

    seed: int
    harm: Harm
    lasts_s: float
    hosts: int
    gap_s: float = 0.0
    doubled: bool = False
    _since_s: dict[int, float] = field(default_factory=dict)

    def look(self, hosts: list[Host], now_s: float, stopped: str) -> None:
        """Note who holds what now; a host that is stopped serves nobody, whatever it believes."""
        for partition in range(SESSION_PARTITIONS):
            owners = sum(host.holds(partition) for host in hosts if host.name != stopped)
            self.doubled |= owners > 1
            if owners:
                self._since_s.pop(partition, None)
            else:
                since_s = self._since_s.setdefault(partition, now_s)
                self.gap_s = max(self.gap_s, now_s - since_s)


def play(seed: int) -> Failover:
    """Play one case to its end, minutes of virtual time; the same for the same seed."""
    rng = random.Random(seed)
    story = Failover(seed, rng.choice(HARMS), rng.uniform(*_HARM_S), rng.choice((2, 2, 3)))
    loop = VirtualTimeLoop()
    run_virtual(_happen(story, rng, loop), loop)
    return story


async def _happen(story: Failover, rng: random.Random, loop: VirtualTimeLoop) -> None:
    clock = VirtualClock(loop, random.Random(story.seed + 1))
    server = MemoryServer(clock)
    await (await server.connect("world")).lease_put("world", b"", revision=0, ttl_s=1.0)
    hosts = [Host(f"session_{n}", server, clock, rng) for n in range(story.hosts)]
    for host in hosts:
        host.start()
        await asyncio.sleep(rng.uniform(0.0, 1.0))
    await asyncio.sleep(_SETTLED_S + rng.uniform(0.0, 2.0))
    hit = rng.choice(hosts)
    ending = loop.create_task(_harm(story, hit, loop))
    stop_s = loop.time() + story.lasts_s + _AFTER_S
    stopped_until_s = loop.time() + story.lasts_s if story.harm == "stop" else 0.0
    while loop.time() < stop_s:
        story.look(hosts, loop.time(), hit.name if loop.time() < stopped_until_s else "")
        await asyncio.sleep(_LOOK_S)
    await ending


async def _harm(story: Failover, hit: Host, loop: VirtualTimeLoop) -> None:
    """Let it happen, and pass after `lasts_s`."""
    if story.harm == "kill":
        await hit.kill()
        await asyncio.sleep(story.lasts_s)
        hit.name += "_again"
        hit.start()
        return
    bus = hit.bus
    assert bus is not None, "it has lived"
    lanes = [bus.outward] if story.harm in ("cut out", "cut both") else []
    lanes += [bus.inward] if story.harm != "cut out" else []
    if story.harm == "stop":
        loop.stop_process(hit.name)
    for lane in lanes:
        lane.cut = True
    await asyncio.sleep(story.lasts_s)
    for lane in lanes:
        lane.mend()
    if story.harm == "stop":
        loop.resume_process(hit.name)


def table(stories: Iterable[Failover]) -> str:
    """Return the gaps by what happened, in Markdown."""
    lines = ["| | cases | gap p50 s | p99 | max | of seed |", "|---|---:|---:|---:|---:|---:|"]
    told = list(stories)
    for harm in HARMS:
        gaps = sorted((story.gap_s, story.seed) for story in told if story.harm == harm)
        if gaps:
            median, late, (worst, seed) = (
                gaps[len(gaps) // 2],
                gaps[len(gaps) * 99 // 100],
                gaps[-1],
            )
            lines.append(
                f"| {harm} | {len(gaps)} | {median[0]:.2f} | {late[0]:.2f} | {worst:.2f} | {seed} |"
            )
    return "\n".join(lines)


def main(first: int, last: int) -> int:
    """Play the cases of seeds `first` to `last`; return the exit code, 1 if one took too long."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    stories = [play(seed) for seed in range(first, last + 1)]
    failed = [story.seed for story in stories if story.doubled or story.gap_s > LIMIT_S]
    sys.stdout.write(f"{table(stories)}\n\nlonger than {LIMIT_S} s, or two owners: {failed}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.failover", description=__doc__
    )
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int, nargs="?")
    asked = parser.parse_args()
    sys.exit(main(asked.first, asked.first if asked.last is None else asked.last))

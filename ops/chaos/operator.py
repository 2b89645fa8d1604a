"""What is known of a stack from inside: who writes, and every entry of a run's log."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from contracts.codec import decode
from contracts.errors import BusError
from contracts.log import LogEntry
from contracts.ports.bus import Bus
from contracts.scheduling import ActorInfo, RunView, WorkerView
from contracts.subjects import token_entries, token_partition, token_sibling, token_stream
from ops.chaos.people import TERMINAL, Story
from ops.chaos.verdict import require
from ops.live import NoStack, describe_pools, living_actors, operator_bus
from ops.setting_table import DEFAULT_POOL
from ops.settings import load

PATIENCE_S = 240.0
_POLL_S = 0.02
_ENTRIES_MAX = 10_000


class Operator:
    """Looks at one stack, over its NATS server."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def _pool(self) -> tuple[Sequence[RunView], Sequence[WorkerView]]:
        try:
            answers = await describe_pools(self._bus, 1_000, (DEFAULT_POOL,))
        except (BusError, NoStack):
            return (), ()
        return answers[0][1].runs, answers[0][1].workers

    @property
    def bus(self) -> Bus:
        """The connection that it looks through."""
        return self._bus

    async def runs(self) -> Sequence[RunView]:
        """Return the runs that the scheduler knows."""
        return (await self._pool())[0]

    async def workers(self) -> Sequence[WorkerView]:
        """Return the gpu actors as their scheduler sees them."""
        return (await self._pool())[1]

    async def actors(self) -> Sequence[ActorInfo]:
        """Return every actor that lives."""
        return await living_actors(self._bus)

    async def workers_ready(self, count: int) -> Sequence[WorkerView]:
        """Return the ready workers once there are so many."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                ready = [worker for worker in await self.workers() if worker.state == "ready"]
                if len(ready) >= count:
                    return ready
                await asyncio.sleep(0.2)

    async def idle(self) -> None:
        """Return when no worker that lives has a run, or any memory of one, and no run is
        known."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                runs, workers = await self._pool()
                live = [worker for worker in workers if worker.state != "stopped"]
                busy = any(w.running or w.waiting or w.kv_used for w in live)
                if live and not runs and not busy:
                    return
                await asyncio.sleep(_POLL_S)

    async def writer_of(self, story: Story, other_than: int = 0) -> WorkerView:
        """Return the gpu actor that writes the run (not process `other_than`)."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                require(not story.end, "the run ended before its writer was found")
                runs, workers = await self._pool()
                named = {run.worker for run in runs if run.run_id == story.run_id and run.worker}
                found = [w for w in workers if w.worker in named and w.pid != other_than]
                if found:
                    return found[0]
                await asyncio.sleep(_POLL_S)

    async def hit_writer(self, story: Story, how: signal.Signals, *, after: int) -> WorkerView:
        """Find the process that writes the run, and send it a signal after so many deltas."""
        writer = await self.writer_of(story)
        await story.reached(after)
        os.kill(writer.pid, how)
        return writer

    async def entries(self, run_id: str, *, sibling: bool = False) -> Sequence[LogEntry]:
        """Return every entry that the server committed for a run, at home or in the sibling."""
        home = token_partition(run_id)
        partition = token_sibling(home) if sibling else home
        stored = await self._bus.range(
            token_stream(partition),
            token_entries(run_id, partition),
            from_seq=1,
            limit=_ENTRIES_MAX,
        )
        return [decode(message.data, LogEntry) for message in stored]

    async def audit(self, story: Story) -> Sequence[LogEntry]:
        """Check the whole log of an ended run against what the viewer saw: epochs never fall,
        events and tokens are numbered without a gap, there is one end and nothing after it.

        An entry may stand there again, if its writer's connection broke at that moment, or its
        log moved; then it says the same, and readers skip it.
        """
        entries: list[LogEntry] = []
        for sibling in (False, True):
            found = await self.entries(story.run_id, sibling=sibling)
            for earlier, later in itertools.pairwise(found):
                require(earlier.epoch <= later.epoch, "a superseded writer was heard")
            for entry in found:
                told = replace(entry, epoch=0)
                if told not in entries:
                    entries.append(told)
        seq, tokens = 1, 0
        for entry in entries:
            require(entry.seq == seq, f"entry {entry.seq} follows {seq - 1}")
            require(not entry.tokens or entry.offset == tokens, f"token {entry.offset} is not next")
            seq, tokens = entry.next_seq, tokens + len(entry.tokens)
        events = [event for entry in entries for event in entry.events]
        tags = [type(event).__struct_config__.tag for event in events]
        ends = [tag in TERMINAL for tag in tags].count(True)
        require(ends == 1 and tags[-1] in TERMINAL, f"{ends} ends, the last event is {tags[-1:]}")
        text = "".join(getattr(event, "delta", "") for event in events)
        require(text == story.text, "the log tells another text than the viewer saw")
        return entries


@asynccontextmanager
async def looking_at(home: Path, nats: str = "") -> AsyncIterator[Operator]:
    """Connect as operator to the stack at `home`."""
    settings = load({"home": str(home), "nats": nats or None}, {}, {})
    async with operator_bus(settings) as bus:
        yield Operator(bus)

"""Tells the schedulers which runs are read here and have not begun: only those are told their
place in the queue as it changes."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from contracts.codec import encode
from contracts.errors import BusUnavailable
from contracts.events import NumberedEvent, RunQueued
from contracts.ports.bus import Bus
from contracts.scheduling import WatchRuns
from contracts.subjects import scheduler_requests
from edge.models import Models

_EVERY_S = 1.0
_PART = 1_000


class Waiting:
    """One reader's word that it waits for a run to begin."""

    def __init__(self, runs: dict[str, int], run_id: str) -> None:
        self._runs = runs
        self._run_id = run_id
        self._counted = True
        runs[run_id] = runs.get(run_id, 0) + 1

    def saw(self, events: Sequence[NumberedEvent]) -> None:
        """Take note of events of the run: any but a place in the queue ends the waiting."""
        if self._counted and any(type(it.event) is not RunQueued for it in events):
            self.end()

    def end(self) -> None:
        """It waits no more; again does nothing."""
        if not self._counted:
            return
        self._counted = False
        left = self._runs[self._run_id] - 1
        if left:
            self._runs[self._run_id] = left
        else:
            del self._runs[self._run_id]


class QueueWatch:
    """The runs that readers of this edge wait for. Every pool is told of all of them: a
    scheduler passes over what is not its own. What is lost on the way is said again."""

    def __init__(self, bus: Bus, models: Models) -> None:
        self._bus = bus
        self._models = models
        self._runs: dict[str, int] = {}

    @contextmanager
    def reading(self, run_id: str) -> Iterator[Waiting]:
        """Count a reader of the run until it ends, or sees the run begin."""
        waiting = Waiting(self._runs, run_id)
        try:
            yield waiting
        finally:
            waiting.end()

    async def tell(self) -> None:
        """Say it every second, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            self._tell_now()

    def _tell_now(self) -> None:
        waiting = list(self._runs)
        pools = {model.pool for model in self._models.all()} if waiting else set()
        for pool in sorted(pools):
            for first in range(0, len(waiting), _PART):
                watch = WatchRuns(run_ids=tuple(waiting[first : first + _PART]))
                try:
                    self._bus.publish(scheduler_requests(pool), encode(watch))
                except BusUnavailable:
                    return

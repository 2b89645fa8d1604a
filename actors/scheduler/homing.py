"""Where prompts are warm, and what follows from it for placement. Pure.

Joins the prefix index, the replicas of hot prefixes and the workers' load for the order.
"""

from collections.abc import Sequence

from actors.scheduler.order import Choice, WorkerRoom
from actors.scheduler.placement import (
    PoolLoad,
    frees_in_us,
    load_of,
    place,
    recompute_us,
    waits_for_home,
)
from actors.scheduler.prefixes import PrefixIndex
from actors.scheduler.replicas import Replicas
from actors.scheduler.state import Run
from actors.scheduler.workers import Worker, Workers
from contracts.runs import RunSpec

_NO_LOAD = PoolLoad(0, 0)
"""Of no consequence for a run that is warm nowhere."""


class Anywhere:
    """Places runs by the rooms alone; implements `Placing`."""

    def place(self, run: Run, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:  # noqa: ARG002
        """Return the best of these rooms."""
        return place(run, rooms, load_of(rooms))

    def waits(self, run: Run, rooms: Sequence[WorkerRoom]) -> bool:  # noqa: ARG002
        """No home is known."""
        return False


class Homing:
    """Places runs where their prompts are warm; implements `Placing`. Without `affinity` the
    index holds nothing, so that they are warm nowhere."""

    def __init__(self, workers: Workers, prefill_us: int, *, affinity: bool = True) -> None:
        self.prefixes = PrefixIndex() if affinity else PrefixIndex(worker_keys_max=0)
        self.replicas = Replicas()
        self._workers = workers
        self._prefill_us = prefill_us

    def home_of(self, spec: RunSpec) -> tuple[str, int]:
        """Return the worker whose cache has most of the prompt, and how many tokens; the one
        that served the chat last where others have as much. Nobody: empty."""
        best, most = spec.home, self.prefixes.warm_tokens(spec.home, spec.block_keys)
        for name in self._workers.names():
            warm = self.prefixes.warm_tokens(name, spec.block_keys)
            if warm > most:
                best, most = name, warm
        return (best, most) if most else ("", 0)

    def place(self, run: Run, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:
        """Return the best room by pending work, batch, warm prefix and replicas."""
        keys = run.spec.block_keys
        if not keys:
            return place(run, rooms, _NO_LOAD)
        return place(run, rooms, self._load(), self.replicas.workers(keys, now_ms))

    def waits(self, run: Run, rooms: Sequence[WorkerRoom]) -> bool:
        """Say whether the run's home, which has no room, has some sooner than another worker
        would have computed the prompt."""
        home = self._workers.get(run.home)
        if home is None or home.lost or home.report.state != "ready":
            return False
        elsewhere = max((room.warm(run) for room in rooms), default=0)
        lost_us = recompute_us(run.home_hit, elsewhere, self._prefill_us)
        return waits_for_home(self._frees_us(home), lost_us)

    def gone_to(self, run: Run, choice: Choice, rooms: Sequence[WorkerRoom], now_ms: int) -> None:
        """The run goes to the chosen worker: believe that its prompt is warm there from now on,
        and count a spill if its home had no room."""
        keys = run.spec.block_keys
        if not keys:
            return
        self.prefixes.speculate(choice.worker, keys, now_ms)
        home_is_full = all(room.worker != run.home for room in rooms)
        if run.home and run.home != choice.worker and home_is_full:
            self.replicas.spilled(keys, run.home_hit, run.home, choice.worker, now_ms)
        self.replicas.served(keys, choice.worker, now_ms)

    def forget(self, worker_id: str) -> None:
        """The worker is gone, and its cache with it."""
        self.prefixes.forget(worker_id)
        self.replicas.forget(worker_id)

    def _load(self) -> PoolLoad:
        batches = [worker.batch for _, worker in self._workers.items() if worker.usable]
        return PoolLoad(sum(batches), len(batches))

    def _frees_us(self, worker: Worker) -> int | None:
        remaining = [run.predicted - run.tokens for run in worker.runs.values()]
        return frees_in_us(remaining, len(remaining), int(worker.report.decode_tokens_s))

"""Orders without token fairness: first come first served, round robin, LMETRIC. Pure."""

from collections import OrderedDict
from collections.abc import Sequence

from actors.scheduler.order import Choice, Warmth, WorkerRoom
from actors.scheduler.state import Run
from ops.bench.schedule.policies.waiting import Waiting, place


class FirstCome(Waiting):
    """First come, first served, on the least busy worker with room."""


class RoundRobinUsers(Waiting):
    """One run of each backlogged user in turn, whatever it costs (as llm-d's flow control
    within a band)."""

    def __init__(self) -> None:
        super().__init__()
        self._served: dict[str, int] = {}
        self._turn = 0

    def next(self, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:  # noqa: ARG002
        """Take the user whose last turn is longest ago."""
        heads = list(self.heads())
        if not heads:
            return None
        _, run = min(heads, key=lambda head: self._served.get(head[0], -1))
        return place(run, rooms)

    def dispatched(self, run: Run, cached: int, now_ms: int) -> None:
        """The user has had its turn."""
        super().dispatched(run, cached, now_ms)
        self._turn += 1
        self._served[run.spec.user_id] = self._turn


class Routed(Waiting):
    """Routing at arrival: each run is bound to a worker when it comes, and each worker serves
    its own in order. Subclasses choose the worker."""

    def __init__(self, workers: Sequence[str]) -> None:
        super().__init__()
        self._queues: dict[str, OrderedDict[str, Run]] = {name: OrderedDict() for name in workers}
        self._bound: dict[str, str] = {}

    def route(self, run: Run) -> str:
        """Return the worker for a run that comes."""
        raise NotImplementedError

    def push(self, run: Run, now_ms: int) -> None:
        """Bind the run and let it wait."""
        super().push(run, now_ms)
        worker = self.route(run)
        self._bound[run.spec.run_id] = worker
        self._queues[worker][run.spec.run_id] = run

    def remove(self, run: Run) -> None:
        """Take the run out of its worker's queue."""
        super().remove(run)
        worker = self._bound.pop(run.spec.run_id, None)
        if worker is not None:
            self._queues[worker].pop(run.spec.run_id, None)

    def next(self, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:  # noqa: ARG002
        """Take the first run of a worker that has room for it."""
        for room in rooms:
            for run in self._queues[room.worker].values():
                warm = room.warm(run)
                if room.fits(run, warm):
                    return Choice(run, room.worker, warm)
                break
        return None


class RoundRobinWorkers(Routed):
    """First come, first served, behind a round robin over the workers."""

    def __init__(self, workers: Sequence[str]) -> None:
        super().__init__(workers)
        self._workers = list(workers)
        self._turn = 0

    def route(self, run: Run) -> str:  # noqa: ARG002
        """Return the next worker."""
        self._turn += 1
        return self._workers[self._turn % len(self._workers)]


class Lmetric(Routed):
    """LMETRIC (arXiv 2603.15202): the worker with the least product of new prefill tokens
    (those before the run, its own ones that aren't cached) and batch (with those before)."""

    def __init__(self, workers: Sequence[str]) -> None:
        super().__init__(workers)
        self._warmth: Warmth | None = None
        self._prefill: dict[str, int] = dict.fromkeys(workers, 0)
        self._batch: dict[str, int] = dict.fromkeys(workers, 0)
        self._owed: dict[str, tuple[str, int]] = {}

    def route(self, run: Run) -> str:
        """Return the worker with the least score."""
        prompt = len(run.spec.prompt_tokens)
        fresh = {name: prompt - self._warm(name, run) for name in self._prefill}
        chosen = min(
            self._prefill,
            key=lambda name: (
                (self._prefill[name] + fresh[name]) * (self._batch[name] + 1),
                self._batch[name],
            ),
        )
        self._owed[run.spec.run_id] = (chosen, fresh[chosen])
        self._prefill[chosen] += fresh[chosen]
        self._batch[chosen] += 1
        return chosen

    def next(self, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:
        """As routed; what the caches hold is learnt from the rooms."""
        if rooms:
            self._warmth = rooms[0].warmth
        return super().next(rooms, now_ms)

    def progressed(self, run: Run, tokens: int, now_ms: int) -> None:
        """The first token says that the prompt is computed."""
        super().progressed(run, tokens, now_ms)
        self._computed(run)

    def settled(self, run: Run, cached: int, output: int, now_ms: int) -> None:
        """The run has left its batch."""
        super().settled(run, cached, output, now_ms)
        self._computed(run)
        owed = self._owed.pop(run.spec.run_id, None)
        if owed is not None:
            self._batch[owed[0]] -= 1

    def _computed(self, run: Run) -> None:
        worker, tokens = self._owed.get(run.spec.run_id, ("", 0))
        if tokens:
            self._prefill[worker] -= tokens
            self._owed[run.spec.run_id] = (worker, 0)

    def _warm(self, worker: str, run: Run) -> int:
        if self._warmth is None or not run.spec.block_keys:
            return 0
        return self._warmth.warm_tokens(worker, run.spec.block_keys)

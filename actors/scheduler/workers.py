"""Who is alive, and who has a credit. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from actors.scheduler.beats import LEAST_MS, Beat
from actors.scheduler.state import Run
from contracts.runs import Sight
from contracts.scheduling import WorkerReport, WorkerView


@dataclass(slots=True)
class Worker:
    """A gpu actor as its last report shows it. `assigned` are the attempts given to it and not
    yet settled, whether or not it has confirmed them, `runs` the same runs; `foreign` counts
    the runs that it reported and that are not (any more) its own. `kv_given` and
    `pending_prefill` count the tokens that its assigned runs may take, and have yet to
    compute. `stalled`: it has been silent for longer than is its way, and others go on with
    its runs, `moved`, since."""

    report: WorkerReport
    heard_ms: int
    beat: Beat
    lost: bool = False
    stalled: bool = False
    moved: list[Run] = field(default_factory=list)
    foreign: int = 0
    kv_given: int = 0
    pending_prefill: int = 0
    assigned: dict[str, int] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    unknown_since_ms: dict[str, int] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether it may be given runs at all."""
        return not self.lost and not self.stalled and self.report.state == "ready"

    @property
    def batch(self) -> int:
        """How many runs it has, by all that is known."""
        return len(self.assigned) + self.foreign

    @property
    def credit(self) -> int:
        """How many more runs it may be given now."""
        if self.lost or self.stalled:
            return 0
        report = self.report
        if report.state != "ready":
            return 0
        return report.slots - len(self.assigned) - self.foreign


class Workers:
    """The workers of a pool, by id."""

    def __init__(self, silent_ms: int) -> None:
        self._silent_ms = silent_ms
        self._workers: dict[str, Worker] = {}

    def __len__(self) -> int:
        return len(self._workers)

    def __getitem__(self, worker_id: str) -> Worker:
        return self._workers[worker_id]

    def get(self, worker_id: str | None) -> Worker | None:
        """Return the worker, None if it was never heard of."""
        return self._workers.get(worker_id) if worker_id is not None else None

    def items(self) -> list[tuple[str, Worker]]:
        """Return all, in the order in which they first reported."""
        return list(self._workers.items())

    def names(self) -> list[str]:
        """Return the ids of all, in the order in which they first reported."""
        return list(self._workers)

    def heard(self, report: WorkerReport, now_ms: int) -> tuple[Worker, bool] | None:
        """Take a report. Returns the worker and whether it is a new incarnation (whatever
        was assigned to the old one is lost); None if the report is late. Whether it counted as
        lost until now stands in it still."""
        known = self._workers.get(report.worker)
        if known is None:
            beat = Beat(self._silent_ms, now_ms)
            known = self._workers[report.worker] = Worker(report, now_ms, beat)
            return known, False
        last = known.report
        if (report.incarnation, report.number) <= (last.incarnation, last.number):
            return None
        reborn = report.incarnation != last.incarnation
        if reborn:
            known.beat = Beat(self._silent_ms, now_ms)
        else:
            known.beat.heard(now_ms - known.heard_ms, now_ms)
        known.report = report
        known.heard_ms = now_ms
        known.stalled = False
        known.moved.clear()
        return known, reborn

    def silent(self, now_ms: int) -> list[str]:
        """Return the workers that are not yet counted lost, but have been silent too long."""
        return [
            name
            for name, worker in self._workers.items()
            if not worker.lost and now_ms - worker.heard_ms > self._silent_ms
        ]

    def stalling(self, now_ms: int) -> list[Worker]:
        """Return the workers that have been silent for longer than is their way, while others
        have room for all that they have. Nobody stalls alone: where all are silent, it is the
        way to them that is."""
        found: list[Worker] = []
        for worker in self._workers.values():
            silent_ms = now_ms - worker.heard_ms
            if silent_ms <= LEAST_MS or not worker.usable or not worker.assigned:
                continue
            if silent_ms > worker.beat.patience_ms:
                found.append(worker)
        heard = [w for w in self._workers.values() if now_ms - w.heard_ms < LEAST_MS // 2]
        room = sum(max(0, worker.credit) for worker in heard)
        stalled: list[Worker] = []
        for worker in found:
            room -= worker.batch
            if room >= 0:
                stalled.append(worker)
        return stalled

    def forget_stopped(self) -> None:
        """Forget workers that are gone and hold nothing."""
        for name, worker in list(self._workers.items()):
            if worker.lost and not worker.assigned:
                del self._workers[name]

    def free(self) -> int:
        """Return the free places of all workers."""
        return sum(max(0, worker.credit) for worker in self._workers.values())

    def with_room(self, among: Iterable[str] | None = None) -> list[tuple[str, Worker]]:
        """Return the workers that have a free slot, of all or `among` these."""
        workers = self._workers
        found = []
        for name in workers if among is None else among:
            worker = workers.get(name)
            if worker is not None and worker.credit > 0:
                found.append((name, worker))
        return found

    def slots(self) -> int:
        """Return the slots of all ready workers."""
        return sum(worker.report.slots for worker in self._workers.values() if worker.usable)

    def sight(self) -> Sight | None:
        """Return what the models of all ready workers see, None if one of them sees nothing."""
        told = [worker.report.sight for worker in self._workers.values() if worker.usable]
        seeing = [sight for sight in told if sight is not None]
        if not seeing or len(seeing) < len(told):
            return None
        return Sight(
            pictures=min(sight.pictures for sight in seeing),
            tokens=max(sight.tokens for sight in seeing),
        )

    def view(
        self, name: str, worker: Worker, now_ms: int, *, quarantined_ms: int = 0
    ) -> WorkerView:
        """Return what an operator sees of a worker."""
        report = worker.report
        return WorkerView(
            worker=name,
            model=report.model,
            engine=report.engine,
            state="stopped" if worker.lost else report.state,
            slots=report.slots,
            running=len(report.runs),
            waiting=report.waiting,
            kv_used=report.kv_used,
            pid=report.pid,
            host=report.host,
            incarnation=report.incarnation,
            silent_ms=max(0, now_ms - worker.heard_ms),
            quarantined_ms=quarantined_ms,
        )

"""What the rooms of a scheduler machine share: runs, their order, the workers. Pure."""

from actors.scheduler.config import SchedulerConfig
from actors.scheduler.estimate import ServiceEstimate
from actors.scheduler.order import TieredOrder
from actors.scheduler.state import Effect, Run
from actors.scheduler.workers import Workers

Effects = list[Effect]
ON_WORKER = ("dispatched", "running", "cancelling")
_ATTEMPT_BITS = 20


class Pool:
    """The runs and workers of one pool under one term; `early` are cancels of runs that are
    not here (yet), with the time at which they are forgotten."""

    def __init__(self, config: SchedulerConfig, term: int, now_ms: int) -> None:
        self.config = config
        self.term = term
        self.begun_ms = now_ms
        self.listen_until_ms = now_ms + config.recovery_ms
        self.runs: dict[str, Run] = {}
        self.order = TieredOrder(config.tiers)
        self.workers = Workers(config.silent_ms)
        self.estimate = ServiceEstimate(config.default_service_ms)
        self.early: dict[str, int] = {}
        self._attempts = 0

    def next_attempt(self) -> int:
        """Return an attempt number above all earlier ones, of earlier terms too: the revision
        that names the next term has grown with every renewal of the lease meanwhile, by more
        than one a second, and no scheduler makes 2^20 attempts in one."""
        self._attempts += 1
        return (self.term << _ATTEMPT_BITS) + self._attempts

    def listening(self, now_ms: int) -> bool:
        """Say whether it is too early to dispatch: workers may still report what runs."""
        return now_ms < self.listen_until_ms

    def current(self, run_id: str, attempt: int) -> Run | None:
        """Return the run that a worker speaks of, if this attempt of it is on a worker."""
        run = self.runs.get(run_id)
        if run is None or run.attempt != attempt or run.stage not in ON_WORKER:
            return None
        return run

    def unassign(self, run: Run) -> None:
        """Take the run off its worker, whatever that one does with it."""
        worker = self.workers.get(run.worker)
        if worker is not None:
            worker.assigned.pop(run.spec.run_id, None)
        run.worker = None

    def requeue(self, run: Run) -> None:
        """Put a run that lost its worker before the fresh ones."""
        run.stage = "queued"
        run.front = True
        self.order.push(run)

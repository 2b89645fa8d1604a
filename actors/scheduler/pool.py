"""What the rooms of a scheduler machine share: runs, their order, the workers. Pure."""

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count

from actors.scheduler.config import SchedulerConfig
from actors.scheduler.estimate import ServiceEstimate
from actors.scheduler.fair import FairOrder
from actors.scheduler.fcfs import TieredFcfs
from actors.scheduler.gate import Gate
from actors.scheduler.homing import Homing
from actors.scheduler.journal import Journal, Recollection
from actors.scheduler.lengths import Lengths
from actors.scheduler.order import Order
from actors.scheduler.quarantine import Quarantine
from actors.scheduler.state import Effect, Run
from actors.scheduler.tiers import Tiers
from actors.scheduler.workers import Workers

Effects = list[Effect]
ON_WORKER = ("dispatched", "running", "cancelling")
_ATTEMPT_BITS = 20


class Pool:
    """The runs and workers of one pool under one term; `early` are cancels of runs that are
    not here (yet), with the time at which they are forgotten. `placed` are the runs that
    don't wait: on workers, ending, or being looked up. `full`: no worker has had room for a
    tier that waits since any of them was heard of, but for `freed`, which lost a run since."""

    def __init__(
        self, config: SchedulerConfig, term: int, now_ms: int, order: Order | None = None
    ) -> None:
        self.config = config
        self.term = term
        self.begun_ms = now_ms
        self.listen_until_ms = now_ms + config.recovery_ms
        self.runs: dict[str, Run] = {}
        self.placed: dict[str, Run] = {}
        self.workers = Workers(config.silent_ms)
        self.estimate = ServiceEstimate(config.default_service_ms)
        self.homing = Homing(self.workers, config.costs.prefill_us, affinity=config.affinity)
        self.fair: FairOrder | None = None
        if order is not None:
            self.order: Order = order
        elif config.order == "fcfs":
            self.order = TieredFcfs(config.tiers)
        else:
            self.order = self.fair = self._fair()
        self.lengths = Lengths()
        self.gate = Gate(config, self.fair, self.lengths) if self.fair is not None else None
        self.tiers = self.gate.tiers if self.gate is not None else Tiers(config.tiers)
        self.quarantine = Quarantine()
        self.journal: Journal | None = None
        self.early: dict[str, int] = {}
        self.full = False
        self.freed: dict[str, None] = {}
        self._due: list[tuple[int, int, Run]] = []
        self._arms = count()
        self._attempts = 0

    def _fair(self) -> FairOrder:
        config = self.config
        slack = config.slack_tokens * config.costs.prefill_us
        return FairOrder(config.tiers, config.costs, slack=slack, placing=self.homing)

    def remember(self, known: Recollection) -> Iterator[None]:
        """Go on from what earlier schedulers left, and keep a journal for later ones, in steps.
        Only the fair order has anything to keep."""
        if self.fair is not None and self.gate is not None:
            self.journal = Journal(self.term, self.fair, self.gate, self.lengths)
            yield from self.journal.restore(known)

    def next_attempt(self) -> int:
        """Return an attempt number above all earlier ones, of earlier terms too: the revision
        that names the next term has grown with every renewal of the lease meanwhile, by more
        than one a second, and no scheduler makes 2^20 attempts in one."""
        self._attempts += 1
        return (self.term << _ATTEMPT_BITS) + self._attempts

    def listen(self, now_ms: int) -> None:
        """Let nothing be dispatched for a while: workers may report what runs."""
        self.listen_until_ms = max(self.listen_until_ms, now_ms + self.config.recovery_ms)

    def listening(self, now_ms: int) -> bool:
        """Say whether it is too early to dispatch: workers may still report what runs."""
        return now_ms < self.listen_until_ms

    def current(self, run_id: str, attempt: int) -> Run | None:
        """Return the run that a worker speaks of, if this attempt of it is on a worker."""
        run = self.runs.get(run_id)
        if run is None or run.attempt != attempt or run.stage not in ON_WORKER:
            return None
        return run

    def expect(self, run: Run) -> None:
        """Note what the run will need: output, memory, and where its prompt is warm."""
        spec = run.spec
        cap = spec.sampling.max_tokens
        run.predicted = self.lengths.predict(spec.user_id, spec.model, cap)
        run.kv_need = run.prompt_length + max(run.tokens, run.predicted)
        if spec.block_keys:
            run.home, run.home_hit = self.homing.home_of(spec)

    def wait(self, run: Run, now_ms: int) -> None:
        """Let the run wait in the order."""
        run.stage = "queued"
        run.queued_ms = now_ms
        run.skips = 0
        tier = self.tiers.known(run.spec.tier)
        if self.full and tier == self.tiers.best and not self.order.waiting(tier):
            self.full = False  # places that are vacant for it did not count until now
        self.placed.pop(run.spec.run_id, None)
        self.order.push(run, now_ms)
        if self.gate is not None:
            self.gate.entered(run)

    def shelve(self, run: Run, now_ms: int) -> None:
        """Let the run wait for calmer times, outside the order."""
        run.stage = "queued"
        run.queued_ms = now_ms

    def assign(self, run: Run, worker_id: str, now_ms: int, *, uncached: int) -> None:
        """Give a run that does not wait any more to a worker."""
        if self.gate is not None:
            self.gate.dispatched(run, now_ms)
        run.dispatched_ms = run.heard_ms = now_ms
        worker = self.workers[worker_id]
        run.worker = worker_id
        run.prefill = uncached
        worker.assigned[run.spec.run_id] = run.attempt
        worker.runs[run.spec.run_id] = run
        worker.kv_given += run.kv_need
        worker.pending_prefill += uncached
        self.placed[run.spec.run_id] = run

    def withdraw(self, run: Run) -> None:
        """Take a run out of the order, or off the shelf, without a place."""
        self.order.remove(run)
        if self.gate is not None:
            self.gate.left(run)

    def close(self, run: Run, now_ms: int) -> None:
        """The run is over: charge what it really used, once."""
        self.order.settled(run, run.cached or 0, run.tokens, now_ms)
        self.order.remove(run)
        if self.gate is not None:
            self.gate.ended(run)

    def prefilled(self, run: Run) -> None:
        """The run's first token is there: its prompt is computed."""
        worker = self.workers.get(run.worker)
        if worker is not None:
            worker.pending_prefill -= run.prefill
        run.prefill = 0

    def unassign(self, run: Run) -> None:
        """Take the run off its worker, whatever that one does with it."""
        name = run.worker
        if name is None:
            return
        worker = self.workers.get(name)
        if worker is not None and worker.assigned.pop(run.spec.run_id, None) is not None:
            worker.runs.pop(run.spec.run_id, None)
            worker.kv_given -= run.kv_need
            worker.pending_prefill -= run.prefill
        self.freed[name] = None
        run.worker = None
        run.prefill = 0

    def requeue(self, run: Run, now_ms: int) -> None:
        """Put a run that lost its worker before the fresh ones."""
        run.front = True
        self.wait(run, now_ms)

    def arm(self, run: Run, at_ms: int) -> None:
        """Look at the run again at `at_ms`, if it is not due earlier."""
        if run.armed_ms and run.armed_ms <= at_ms:
            return
        run.armed_ms = at_ms
        heappush(self._due, (at_ms, next(self._arms), run))

    def due(self, now_ms: int) -> Iterator[Run]:
        """Yield the runs that are due, each once; they are not armed any more."""
        while self._due and self._due[0][0] <= now_ms:
            at_ms, _, run = heappop(self._due)
            if run.armed_ms == at_ms:
                run.armed_ms = 0
                if self.runs.get(run.spec.run_id) is run:
                    yield run

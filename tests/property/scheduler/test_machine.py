"""The scheduler machine under arbitrary histories."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from actors.scheduler.state import (
    Asked,
    CheckClosed,
    ClosedChecked,
    EndRun,
    EndStored,
    Heard,
    Send,
    Settle,
)
from contracts.runs import RunOutcome
from contracts.scheduling import AbortRun, CancelQueued, DropRun, RunSettled, StartRun, WorkerGone
from tests.unit.scheduler.test_machine import Pool

WORKERS = ("gpu_a", "gpu_b", "gpu_c")
SLOTS = 2


class SchedulerHistory(RuleBasedStateMachine):
    """Workers that come, go, forget, finish and lie late; users who prompt and cancel.

    `on_worker` models what each worker really runs: run id to attempt.
    """

    runs: Bundle[str] = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(attempts_max=1_000)
        self.count = 0
        self.attempts: dict[str, int] = {}
        self.on_worker: dict[str, dict[str, int]] = {name: {} for name in WORKERS}
        self.incarnations = dict.fromkeys(WORKERS, 1)
        self.alive: dict[str, bool] = dict.fromkeys(WORKERS, False)
        self.ended: set[str] = set()
        self.settled = 0
        self.owed = 0

    def take(self, effects: list[object]) -> None:
        """Let the world do what the machine wants, and check each effect as it comes."""
        for effect in effects:
            match effect:
                case Send(worker, StartRun() as start):
                    run_id = start.spec.run_id
                    assert start.attempt >= self.attempts.get(run_id, 0), "attempts fall"
                    assert run_id not in self.ended, "a run that ended is started again"
                    self.attempts[run_id] = start.attempt
                    if self.alive[worker]:
                        self.on_worker[worker][run_id] = start.attempt
                        assert len(self.on_worker[worker]) <= SLOTS + self.zombies(worker)
                case Send(worker, AbortRun(run_id=run_id, attempt=attempt)):
                    self.finish(worker, run_id, attempt, "cancelled")
                case Send(worker, DropRun(run_id=run_id, attempt=attempt)):
                    if self.on_worker[worker].get(run_id) == attempt:
                        del self.on_worker[worker][run_id]
                case EndRun(spec, _, _):
                    self.ended.add(spec.run_id)
                    self.take(list(self.pool.tell(EndStored(spec.run_id))))
                case CheckClosed(run_id):
                    closed = run_id in self.ended
                    self.take(list(self.pool.tell(ClosedChecked(run_id, closed))))
                case Settle():
                    self.settled += 1

    def zombies(self, worker: str) -> int:
        """How many runs of a worker moved on without its knowledge."""
        return sum(a != self.attempts.get(r) for r, a in self.on_worker[worker].items())

    def finish(self, worker: str, run_id: str, attempt: int, reason: str) -> None:
        if self.on_worker[worker].get(run_id) != attempt or not self.alive[worker]:
            return
        del self.on_worker[worker][run_id]
        current = self.attempts.get(run_id) == attempt and run_id not in self.ended
        outcome = RunOutcome(finish_reason=reason) if current else None  # type: ignore[arg-type]
        if current:
            self.ended.add(run_id)
        settled = RunSettled(run_id=run_id, attempt=attempt, worker=worker, outcome=outcome)
        self.take(list(self.pool.tell(Heard(settled))))

    def report(self, worker: str) -> None:
        if not self.alive[worker]:
            return
        top = max(self.attempts.values(), default=0)
        started = self.pool.started
        self.pool.started = {r: (worker, a) for r, a in self.on_worker[worker].items()}
        effects = self.pool.report(
            worker,
            slots=SLOTS,
            runs=dict.fromkeys(self.on_worker[worker], 1),
            incarnation=self.incarnations[worker],
            seen=top,
        )
        self.pool.started = {**started, **self.pool.started}
        self.take(list(effects))

    @rule(target=runs)
    def prompt(self) -> str:
        self.count += 1
        self.owed += 1
        run_id = f"run_{self.count}"
        self.take(list(self.pool.submit(run_id)))
        return run_id

    @rule(worker=st.sampled_from(WORKERS))
    def worker_comes_or_speaks(self, worker: str) -> None:
        self.alive[worker] = True
        self.report(worker)

    @rule(worker=st.sampled_from(WORKERS), told=st.booleans())
    def worker_dies(self, worker: str, told: bool) -> None:
        self.alive[worker] = False
        self.on_worker[worker].clear()
        self.incarnations[worker] += 1
        if told:
            self.take(list(self.pool.tell(Heard(WorkerGone(worker=worker)))))

    @rule(worker=st.sampled_from(WORKERS))
    def worker_finishes_one(self, worker: str) -> None:
        for run_id, attempt in list(self.on_worker[worker].items())[:1]:
            self.finish(worker, run_id, attempt, "stop")

    @rule(run_id=runs)
    def cancel(self, run_id: str) -> None:
        if run_id not in self.ended:
            self.take(list(self.pool.tell(Asked(CancelQueued(run_id=run_id), "me"))))

    @rule(ms=st.sampled_from((50, 200, 800, 2_000)))
    def time_passes(self, ms: int) -> None:
        self.take(list(self.pool.tick(ms)))

    @invariant()
    def no_run_is_settled_twice(self) -> None:
        assert self.settled <= self.owed

    def teardown(self) -> None:
        """When the workers behave, every run ends, exactly once."""
        for _ in range(200):
            if self.settled == self.owed:
                break
            for worker in WORKERS:
                self.alive[worker] = True
                self.report(worker)
                for run_id, attempt in list(self.on_worker[worker].items()):
                    self.finish(worker, run_id, attempt, "stop")
            self.take(list(self.pool.tick(90)))
        assert self.settled == self.owed, "a run never ends"


TestSchedulerHistory = SchedulerHistory.TestCase
TestSchedulerHistory.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

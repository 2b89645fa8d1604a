"""The scheduler machine: composes order, workers and estimate. Pure and synchronous.

`handle` takes a message and the time and returns effects in order. Messages from workers may
be lost, doubled, late or reordered: the periodic reports repair everything, and a run's
attempt number tells what is still about it.
"""

import msgspec

from actors.scheduler.config import SchedulerConfig
from actors.scheduler.estimate import ServiceEstimate
from actors.scheduler.order import TieredOrder
from actors.scheduler.state import (
    Answer,
    Asked,
    Broadcast,
    CheckClosed,
    ClosedChecked,
    Effect,
    EndFailed,
    EndRun,
    EndStored,
    Heard,
    Notify,
    Run,
    RunSubmitted,
    SchedulerMessage,
    Send,
    Settle,
    Tick,
)
from actors.scheduler.views import pool_list, run_list
from actors.scheduler.workers import Worker, Workers
from contracts.errors import Problem
from contracts.events import RunQueued
from contracts.runs import RunOutcome
from contracts.scheduling import (
    AbortRun,
    CancelQueued,
    CancelTaken,
    DescribePool,
    DescribeRun,
    DropRun,
    PoolStatus,
    RunBegan,
    RunningRun,
    RunRejected,
    RunSettled,
    StartRun,
    WorkerGone,
    WorkerReport,
)

Effects = list[Effect]
_ATTEMPT_BITS = 32
_ON_WORKER = ("dispatched", "running", "cancelling")


class SchedulerMachine:
    """The runs and workers of one pool under one term.

    Args:
        term: the lease's revision; later schedulers have greater ones. Attempt numbers are
            term << 32 plus a counter.
        now_ms: the start of the listening time, in which nothing is dispatched and no place
            in the queue is told: that would claim the log of a run that a worker is writing.
    """

    def __init__(self, config: SchedulerConfig, term: int, now_ms: int) -> None:
        self._config = config
        self._term = term
        self._attempts = 0
        self._arrivals = 0
        self._begun_ms = now_ms
        self._listen_until_ms = now_ms + config.recovery_ms
        self._runs: dict[str, Run] = {}
        self._order = TieredOrder(config.tiers)
        self._workers = Workers(config.silent_ms)
        self._estimate = ServiceEstimate(config.default_service_ms)
        self._early: dict[str, int] = {}
        self._noticed_ms = now_ms
        self._status_ms = 0
        self._status: PoolStatus | None = None

    def handle(self, message: SchedulerMessage, now_ms: int) -> Effects:
        """Decide. Messages about runs, attempts or incarnations that are over do nothing."""
        match message:
            case RunSubmitted():
                effects = self._submitted(message, now_ms)
            case Heard(WorkerReport() as report):
                effects = self._reported(report, now_ms)
            case Heard(RunBegan() as began):
                effects = self._began(began, now_ms)
            case Heard(RunRejected() as rejected):
                return self._rejected(rejected)
            case Heard(RunSettled() as settled):
                effects = self._settled(settled, now_ms)
            case Heard(WorkerGone(worker=name, incarnation=incarnation)):
                effects = self._gone(name, incarnation)
            case Asked(CancelQueued(run_id=run_id), reply_to):
                effects = self._cancel(run_id, reply_to, now_ms)
            case Asked(DescribeRun(run_id=run_id), reply_to):
                return [Answer(reply_to, run_list(self._runs.get(run_id), self._order))]
            case Asked(DescribePool(limit=limit), reply_to):
                return [self._describe(reply_to, limit, now_ms)]
            case EndStored(run_id):
                effects = self._forget(run_id)
            case EndFailed(run_id):
                return self._retry_later(run_id, now_ms)
            case ClosedChecked(run_id, closed):
                effects = self._checked(run_id, closed)
            case Tick():
                effects = self._tick(now_ms)
        effects += self._dispatch(now_ms)
        if isinstance(message, RunSubmitted) and not self._listening(now_ms):
            effects += self._first_notice(message.spec.run_id)
        return effects

    # --- runs come ---------------------------------------------------------------------------

    def _submitted(self, message: RunSubmitted, now_ms: int) -> Effects:
        run_id = message.spec.run_id
        known = self._runs.get(run_id)
        if known is not None:
            known.deliveries.append(message.delivery)
            return []
        self._arrivals += 1
        run = Run(message.spec, [message.delivery], self._arrivals, fresh=self._fresh(message))
        self._runs[run_id] = run
        if not run.fresh and self._listening(now_ms):
            self._listen_until_ms = max(self._listen_until_ms, now_ms + 200)
        if self._early.pop(run_id, None) is not None:
            return self._end(run, RunOutcome(finish_reason="cancelled"))
        if len(self._order) >= self._config.queue_max and run.fresh:
            problem = Problem(
                code="at_capacity",
                detail="The queue is full.",
                retry_after_ms=self._wait_ms(run.spec.tier),
            )
            return self._end(run, RunOutcome(finish_reason="error", error=problem))
        self._order.push(run)
        return []

    def _fresh(self, message: RunSubmitted) -> bool:
        """Whether no earlier scheduler can have seen the run. A wrong yes (clocks that differ)
        costs one refused claim, never a wrong story."""
        return not message.redelivered and message.spec.submitted_at_ms >= self._begun_ms

    def _dispatch(self, now_ms: int) -> Effects:
        effects: Effects = []
        if self._listening(now_ms):
            return effects
        while (run := self._order.next()) is not None:
            name = self._workers.best()
            if name is None:
                break
            self._order.take(run)
            run.attempt = self._next_attempt()
            run.stage = "dispatched"
            run.worker = name
            run.accepted = run.began = False
            run.dispatched_ms = run.heard_ms = now_ms
            run.due_ms = now_ms + self._config.accept_ms
            self._workers[name].assigned[run.spec.run_id] = run.attempt
            effects.append(Send(name, self._start(run)))
            run.fresh = False
        return effects

    def _start(self, run: Run) -> StartRun:
        return StartRun(spec=run.spec, attempt=run.attempt, expect_epoch=0 if run.fresh else None)

    def _next_attempt(self) -> int:
        self._attempts += 1
        return self._term << _ATTEMPT_BITS | self._attempts

    def _listening(self, now_ms: int) -> bool:
        return now_ms < self._listen_until_ms

    # --- workers speak -----------------------------------------------------------------------

    def _reported(self, report: WorkerReport, now_ms: int) -> Effects:
        taken = self._workers.heard(report, now_ms)
        if taken is None:
            return []
        worker, reborn = taken
        effects = self._lose(worker) if reborn else []
        worker.lost = False
        if report.state == "stopped":
            return [*effects, *self._lose(worker)]
        listed = set()
        for line in report.runs:
            listed.add(line.run_id)
            effects += self._listed(report.worker, worker, line, now_ms)
        for run_id, attempt in list(worker.assigned.items()):
            if run_id not in listed and attempt <= report.seen:
                effects += self._missing(run_id)
        worker.foreign = len(listed.difference(worker.assigned))
        for run_id in [r for r in worker.unknown_since_ms if r not in listed]:
            del worker.unknown_since_ms[run_id]
        return effects

    def _listed(self, name: str, worker: Worker, line: RunningRun, now_ms: int) -> Effects:
        run = self._runs.get(line.run_id)
        if run is None:
            since = worker.unknown_since_ms.setdefault(line.run_id, now_ms)
            if self._listening(now_ms) or now_ms - since < self._config.orphan_ms:
                return []
            return [Send(name, DropRun(run_id=line.run_id, attempt=line.attempt))]
        if run.stage == "queued" and line.attempt >= run.attempt:
            self._order.remove(run)
            run.stage, run.worker, run.attempt = "dispatched", name, line.attempt
            run.fresh = False
            run.dispatched_ms = run.heard_ms = now_ms
            worker.assigned[line.run_id] = line.attempt
        if run.attempt != line.attempt or run.worker != name:
            return [Send(name, DropRun(run_id=line.run_id, attempt=line.attempt))]
        run.accepted = True
        if line.started:
            self._mark_began(run)
        if line.tokens > run.tokens:
            run.tokens, run.heard_ms = line.tokens, now_ms
        return []

    def _missing(self, run_id: str) -> Effects:
        """The worker had the run and has it no more, and we did not hear why."""
        run = self._runs.get(run_id)
        if run is None or run.stage == "checking":
            return []
        return self._check(run)

    def _began(self, began: RunBegan, now_ms: int) -> Effects:
        run = self._current(began.run_id, began.attempt)
        if run is not None:
            run.accepted = True
            run.heard_ms = now_ms
            self._mark_began(run)
        return []

    @staticmethod
    def _mark_began(run: Run) -> None:
        run.began = True
        if run.stage == "dispatched":
            run.stage = "running"

    def _rejected(self, rejected: RunRejected) -> Effects:
        run = self._current(rejected.run_id, rejected.attempt)
        if run is None or run.worker != rejected.worker:
            return []
        self._unassign(run)
        if run.cancel:
            return self._end(run, RunOutcome(finish_reason="cancelled"))
        self._requeue(run)
        return []

    def _settled(self, settled: RunSettled, now_ms: int) -> Effects:
        """A worker that was given up may still have finished: its last attempt counts until
        another is made."""
        run = self._runs.get(settled.run_id)
        if run is None or run.attempt != settled.attempt or run.stage == "ending":
            return []
        if settled.outcome is None:
            return self._check(run) if run.stage in _ON_WORKER else []
        if settled.outcome.finish_reason in ("stop", "length"):
            self._estimate.ended(now_ms - run.dispatched_ms)
        return self._forget(settled.run_id)

    def _gone(self, name: str, incarnation: int) -> Effects:
        worker = self._workers.get(name)
        if worker is None or worker.lost:
            return []
        if incarnation and incarnation != worker.report.incarnation:
            return []
        return self._lose(worker)

    def _lose(self, worker: Worker) -> Effects:
        worker.lost = True
        lost = [self._runs[run_id] for run_id in worker.assigned if run_id in self._runs]
        worker.assigned.clear()
        worker.unknown_since_ms.clear()
        effects: Effects = []
        for run in lost:
            effects += self._lost_worker(run)
        return effects

    def _lost_worker(self, run: Run) -> Effects:
        """Give the run to another worker, or end it: it was cancelled, or cost too many."""
        self._unassign(run)
        run.losses += 1
        if run.cancel:
            return self._end(run, RunOutcome(finish_reason="cancelled"))
        if run.losses >= self._config.attempts_max:
            problem = Problem(
                code="worker_lost",
                detail=f"{run.losses} workers were lost while they wrote this answer.",
            )
            return self._end(run, RunOutcome(finish_reason="error", error=problem))
        self._requeue(run)
        return []

    def _unassign(self, run: Run) -> None:
        worker = self._workers.get(run.worker)
        if worker is not None:
            worker.assigned.pop(run.spec.run_id, None)
        run.worker = None

    def _requeue(self, run: Run) -> None:
        run.stage = "queued"
        run.front = True
        self._order.push(run)

    # --- runs end ----------------------------------------------------------------------------

    def _cancel(self, run_id: str, reply_to: str, now_ms: int) -> Effects:
        run = self._runs.get(run_id)
        if run is None:
            if len(self._early) < self._config.early_cancels_max:
                self._early[run_id] = now_ms + self._config.early_cancel_ms
            return [Answer(reply_to, CancelTaken(known=False))]
        effects: Effects = [Answer(reply_to, CancelTaken(known=True, state="cancelling"))]
        if run.cancel or run.stage == "ending":
            return effects
        run.cancel, run.cancel_ms = True, now_ms
        if run.stage == "queued":
            self._order.remove(run)
            return [*effects, *self._end(run, RunOutcome(finish_reason="cancelled"))]
        if run.stage in _ON_WORKER:
            run.stage = "cancelling"
            run.due_ms = now_ms + self._config.resend_ms
            effects.append(self._abort(run))
        return effects

    def _abort(self, run: Run) -> Send:
        assert run.worker is not None
        return Send(run.worker, AbortRun(run_id=run.spec.run_id, attempt=run.attempt))

    def _end(self, run: Run, outcome: RunOutcome) -> Effects:
        run.stage = "ending"
        run.outcome = outcome
        run.attempt = self._next_attempt()
        run.due_ms = 0
        return [EndRun(run.spec, run.attempt, outcome)]

    def _check(self, run: Run) -> Effects:
        self._unassign(run)
        run.stage = "checking"
        run.due_ms = 0
        return [CheckClosed(run.spec.run_id)]

    def _checked(self, run_id: str, closed: bool) -> Effects:
        run = self._runs.get(run_id)
        if run is None or run.stage != "checking":
            return []
        return self._forget(run_id) if closed else self._lost_worker(run)

    def _forget(self, run_id: str) -> Effects:
        run = self._runs.pop(run_id, None)
        if run is None:
            return []
        self._unassign(run)
        self._order.remove(run)
        return [Settle(delivery) for delivery in run.deliveries]

    def _retry_later(self, run_id: str, now_ms: int) -> Effects:
        run = self._runs.get(run_id)
        if run is not None and run.stage == "ending":
            run.due_ms = now_ms + self._config.resend_ms
        return []

    def _current(self, run_id: str, attempt: int) -> Run | None:
        run = self._runs.get(run_id)
        if run is None or run.attempt != attempt or run.stage not in _ON_WORKER:
            return None
        return run

    # --- time passes -------------------------------------------------------------------------

    def _tick(self, now_ms: int) -> Effects:
        effects: Effects = []
        for name in self._workers.silent(now_ms):
            effects += self._lose(self._workers[name])
        self._workers.forget_stopped()
        for run in list(self._runs.values()):
            effects += self._overdue(run, now_ms)
        for run_id, expires_ms in list(self._early.items()):
            if expires_ms <= now_ms:
                del self._early[run_id]
        if now_ms - self._noticed_ms >= self._config.notice_ms and not self._listening(now_ms):
            self._noticed_ms = now_ms
            effects += self._notices()
        return effects + self._announce(now_ms)

    def _overdue(self, run: Run, now_ms: int) -> Effects:
        config = self._config
        if run.stage in ("ending", "checking"):
            return self._repeat(run, now_ms)
        if run.stage == "cancelling":
            if now_ms - run.cancel_ms > config.settle_ms:
                self._unassign(run)
                return self._end(run, RunOutcome(finish_reason="cancelled"))
            if now_ms >= run.due_ms:
                run.due_ms = now_ms + config.resend_ms
                return [self._abort(run)]
        elif run.stage == "dispatched" and not run.accepted:
            assert run.worker is not None
            if now_ms - run.dispatched_ms > 3 * config.accept_ms:
                return self._stalled(run)
            if now_ms >= run.due_ms:
                run.due_ms = now_ms + config.accept_ms
                return [Send(run.worker, self._start(run))]
        elif run.stage == "dispatched":
            if now_ms - run.dispatched_ms > config.first_token_ms:
                return self._stalled(run)
        elif run.stage == "running" and now_ms - run.heard_ms > config.token_gap_ms:
            return self._stalled(run)
        return []

    def _repeat(self, run: Run, now_ms: int) -> Effects:
        """Repeat a step whose answer is overdue; both steps may be repeated."""
        if run.stage == "ending" and 0 < run.due_ms <= now_ms and run.outcome is not None:
            run.due_ms = 0
            return [EndRun(run.spec, run.attempt, run.outcome)]
        if run.stage == "checking":
            if run.due_ms == 0:
                run.due_ms = now_ms + self._config.accept_ms
            elif now_ms >= run.due_ms:
                run.due_ms = now_ms + self._config.accept_ms
                return [CheckClosed(run.spec.run_id)]
        return []

    def _stalled(self, run: Run) -> Effects:
        """A stall is a death: the worker loses the run; it is told so, in case it lives."""
        assert run.worker is not None
        drop = Send(run.worker, DropRun(run_id=run.spec.run_id, attempt=run.attempt))
        return [drop, *self._lost_worker(run)]

    # --- what others see ---------------------------------------------------------------------

    def _first_notice(self, run_id: str) -> Effects:
        run = self._runs.get(run_id)
        if run is None or run.stage != "queued" or run.noticed:
            return []
        return [self._notice(run, self._order.waiting_before(run.spec.tier))]

    def _notices(self) -> Effects:
        effects: Effects = []
        for position, run in enumerate(self._order.in_order(), start=1):
            if position > self._config.notices_per_tick:
                break
            if run.noticed != position:
                effects.append(self._notice(run, position))
        return effects

    def _notice(self, run: Run, position: int) -> Notify:
        run.noticed = position = max(1, position)
        run.fresh = False
        run.notice_attempt = run.notice_attempt or self._next_attempt()
        eta_ms = self._estimate.wait_ms(position, self._workers.slots())
        event = RunQueued(position=position, eta_ms=eta_ms)
        return Notify(run.spec.run_id, run.notice_attempt, event)

    def _wait_ms(self, tier: str) -> int:
        if self._workers.best() is not None and not len(self._order):
            return 0
        ahead = self._order.waiting_before(tier) + 1
        wait_ms = self._estimate.wait_ms(ahead, self._workers.slots())
        return 5_000 if wait_ms is None else wait_ms

    def _announce(self, now_ms: int) -> Effects:
        """Tell the edges how the pool stands, once its workers had time to report: until then
        the edges go by what the last scheduler said."""
        if self._listening(now_ms):
            return []
        status = self._pool_status(now_ms)
        last = self._status
        changed = last is None or (status.healthy, status.admit) != (last.healthy, last.admit)
        if not changed and now_ms - self._status_ms < self._config.status_ms:
            return []
        self._status, self._status_ms = status, now_ms
        return [Broadcast(status)]

    def _pool_status(self, now_ms: int) -> PoolStatus:
        config = self._config
        slots = self._workers.slots()
        room = len(self._order) < config.queue_max
        waits = {name: self._wait_ms(name) for name in config.tiers}
        admit = {
            name: slots > 0 and room and waits[name] <= tier.wait_limit_ms
            for name, tier in config.tiers.items()
        }
        over = [waits[n] - config.tiers[n].wait_limit_ms for n, ok in admit.items() if not ok]
        engine = next((w.report.engine for _, w in self._workers.items()), "vllm")
        return PoolStatus(
            pool=config.pool,
            model=config.model,
            healthy=slots > 0,
            admit=admit,
            retry_after_ms=max(1_000, *over) if over else 0,
            queued=len(self._order),
            running=len(self._runs) - len(self._order),
            slots=slots,
            context_length=config.context_length,
            engine=engine,
            at_ms=now_ms,
            epoch=self._term,
        )

    def _describe(self, reply_to: str, limit: int, now_ms: int) -> Answer:
        workers = [self._workers.view(n, w, now_ms) for n, w in self._workers.items()]
        slots = self._workers.slots()
        listed = pool_list(self._runs, self._order, self._estimate, slots, limit)
        body = msgspec.structs.replace(listed, workers=tuple(workers))
        return Answer(reply_to, body)

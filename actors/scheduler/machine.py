"""The scheduler machine: what runs, where, and in which order. Pure and synchronous.

`handle` takes a message and the time and returns effects in order. Messages from workers may
be lost, doubled, late or reordered: the periodic reports repair everything, and a run's
attempt number tells what is still about it.

Here are submission, dispatch and deadlines; `hearing` has what workers say, `ending` how runs
end, `telling` what others see, on one `pool`.
"""

from actors.scheduler.config import SchedulerConfig
from actors.scheduler.ending import Ending
from actors.scheduler.hearing import Hearing
from actors.scheduler.pool import Effects, Pool
from actors.scheduler.state import (
    Answer,
    Asked,
    ClosedChecked,
    EndFailed,
    EndStored,
    Heard,
    Run,
    RunSubmitted,
    SchedulerMessage,
    Send,
    Tick,
)
from actors.scheduler.telling import Telling
from actors.scheduler.views import run_list
from contracts.errors import Problem
from contracts.runs import RunOutcome
from contracts.scheduling import (
    CancelQueued,
    DescribePool,
    DescribeRun,
    DropRun,
    RunBegan,
    RunRejected,
    RunSettled,
    StartRun,
    WorkerGone,
    WorkerReport,
)


class SchedulerMachine:
    """The runs and workers of one pool under one term.

    Args:
        term: the lease's revision; later schedulers have greater ones.
        now_ms: the start of the listening time, in which nothing is dispatched and no place
            in the queue is told: that would claim the log of a run that a worker is writing.
    """

    def __init__(self, config: SchedulerConfig, term: int, now_ms: int) -> None:
        self._pool = Pool(config, term, now_ms)
        self._ending = Ending(self._pool)
        self._hearing = Hearing(self._pool, self._ending)
        self._telling = Telling(self._pool, now_ms)
        self._arrivals = 0

    def handle(self, message: SchedulerMessage, now_ms: int) -> Effects:
        """Decide. Messages about runs, attempts or incarnations that are over do nothing."""
        match message:
            case RunSubmitted():
                effects = self._submitted(message, now_ms)
            case Heard(WorkerReport() as report):
                effects = self._hearing.reported(report, now_ms)
            case Heard(RunBegan() as began):
                effects = self._hearing.began(began, now_ms)
            case Heard(RunRejected() as rejected):
                return self._hearing.rejected(rejected)
            case Heard(RunSettled() as settled):
                effects = self._hearing.settled(settled, now_ms)
            case Heard(WorkerGone(worker=name, incarnation=incarnation)):
                effects = self._hearing.gone(name, incarnation)
            case Asked(CancelQueued(run_id=run_id), reply_to):
                effects = self._ending.cancel(run_id, reply_to, now_ms)
            case Asked(DescribeRun(run_id=run_id), reply_to):
                return [Answer(reply_to, run_list(self._pool.runs.get(run_id), self._pool.order))]
            case Asked(DescribePool(limit=limit), reply_to):
                return [self._telling.describe(reply_to, limit, now_ms)]
            case EndStored(run_id):
                effects = self._ending.forget(run_id)
            case EndFailed(run_id):
                return self._ending.retry_later(run_id, now_ms)
            case ClosedChecked(run_id, closed):
                effects = self._ending.checked(run_id, closed)
            case Tick():
                effects = self._tick(now_ms)
        effects += self._dispatch(now_ms)
        if isinstance(message, RunSubmitted) and not self._pool.listening(now_ms):
            effects += self._telling.first_notice(message.spec.run_id)
        return effects

    def _submitted(self, message: RunSubmitted, now_ms: int) -> Effects:
        run_id = message.spec.run_id
        known = self._pool.runs.get(run_id)
        if known is not None:
            known.deliveries.append(message.delivery)
            return []
        self._arrivals += 1
        run = Run(message.spec, [message.delivery], self._arrivals, fresh=self._fresh(message))
        self._pool.runs[run_id] = run
        if not run.fresh and self._pool.listening(now_ms):
            self._pool.listen_until_ms = max(self._pool.listen_until_ms, now_ms + 200)
        if self._pool.early.pop(run_id, None) is not None:
            return self._ending.end(run, RunOutcome(finish_reason="cancelled"))
        if len(self._pool.order) >= self._pool.config.queue_max and run.fresh:
            problem = Problem(
                code="at_capacity",
                detail="The queue is full.",
                retry_after_ms=self._telling.wait_ms(run.spec.tier),
            )
            return self._ending.end(run, RunOutcome(finish_reason="error", error=problem))
        self._pool.order.push(run)
        return []

    def _fresh(self, message: RunSubmitted) -> bool:
        """Whether no earlier scheduler can have seen the run. A wrong yes (clocks that differ)
        costs one refused claim, never a wrong story."""
        return not message.redelivered and message.spec.submitted_at_ms >= self._pool.begun_ms

    def _dispatch(self, now_ms: int) -> Effects:
        effects: Effects = []
        if self._pool.listening(now_ms):
            return effects
        while (run := self._pool.order.next()) is not None:
            name = self._pool.workers.best()
            if name is None:
                break
            self._pool.order.take(run)
            run.attempt = self._pool.next_attempt()
            run.stage = "dispatched"
            run.worker = name
            run.accepted = run.began = False
            run.dispatched_ms = run.heard_ms = now_ms
            run.due_ms = now_ms + self._pool.config.accept_ms
            self._pool.workers[name].assigned[run.spec.run_id] = run.attempt
            effects.append(Send(name, self._start(run)))
            run.fresh = False
        return effects

    def _start(self, run: Run) -> StartRun:
        return StartRun(spec=run.spec, attempt=run.attempt, expect_epoch=0 if run.fresh else None)

    def _tick(self, now_ms: int) -> Effects:
        effects: Effects = []
        for name in self._pool.workers.silent(now_ms):
            effects += self._hearing.lose(self._pool.workers[name])
        self._pool.workers.forget_stopped()
        for run in list(self._pool.runs.values()):
            effects += self._overdue(run, now_ms)
        for run_id, expires_ms in list(self._pool.early.items()):
            if expires_ms <= now_ms:
                del self._pool.early[run_id]
        effects += self._telling.notices(now_ms)
        return effects + self._telling.announce(now_ms)

    def _overdue(self, run: Run, now_ms: int) -> Effects:
        config = self._pool.config
        if run.stage in ("ending", "checking"):
            return self._ending.repeat(run, now_ms)
        if run.stage == "cancelling":
            if now_ms - run.cancel_ms > config.settle_ms:
                self._pool.unassign(run)
                return self._ending.end(run, RunOutcome(finish_reason="cancelled"))
            if now_ms >= run.due_ms:
                run.due_ms = now_ms + config.resend_ms
                return [self._ending.abort(run)]
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

    def _stalled(self, run: Run) -> Effects:
        """A stall is a death: the worker loses the run; it is told so, in case it lives."""
        assert run.worker is not None
        drop = Send(run.worker, DropRun(run_id=run.spec.run_id, attempt=run.attempt))
        return [drop, *self._ending.lost_worker(run)]

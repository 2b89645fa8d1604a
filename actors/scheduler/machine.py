"""The scheduler machine: what runs, where, and in which order. Pure and synchronous.

`handle` takes a message and the time and returns effects in order. Messages from workers may
be lost, doubled, late or reordered: the periodic reports repair everything, and a run's
attempt number tells what is still about it.

Here are submission and deadlines; `dispatching` has who goes where, `hearing` what workers
say, `ending` how runs end, `telling` what others see, on one `pool`.
"""

from collections.abc import Iterator, Mapping

from actors.scheduler.config import SchedulerConfig, TierConfig
from actors.scheduler.costs import Costs
from actors.scheduler.dispatching import Dispatching
from actors.scheduler.ending import Ending
from actors.scheduler.hearing import Hearing
from actors.scheduler.journal import JournalEntry, Recollection
from actors.scheduler.order import Order
from actors.scheduler.pool import Effects, Pool
from actors.scheduler.readers import Readers
from actors.scheduler.state import (
    Answer,
    Asked,
    ClosedChecked,
    EndFailed,
    EndStored,
    Heard,
    ReaderSeen,
    Reconfigured,
    Run,
    RunSubmitted,
    SchedulerMessage,
    Send,
    Settle,
    Tick,
)
from actors.scheduler.telling import Telling
from actors.scheduler.views import run_list
from contracts.errors import Problem
from contracts.runs import RunOutcome
from contracts.scheduling import (
    AskAllowance,
    CancelQueued,
    DescribePool,
    DescribeRun,
    DropRun,
    PrefixChanged,
    RunBegan,
    RunRejected,
    RunSettled,
    SchedulerRequest,
    WatchRuns,
    WorkerGone,
    WorkerReport,
)

_AWAKE_MS = 150
"""Between two ticks: a scheduler that slept for longer was itself the one who was silent."""


class SchedulerMachine:
    """The runs and workers of one pool under one term.

    Args:
        term: the lease's revision; later schedulers have greater ones.
        now_ms: the start of the listening time, in which nothing is dispatched and no place
            in the queue is told: that would claim the log of a run that a worker is writing.
            What was submitted earlier may have been dispatched by another scheduler.
        order: the policy; None: the one that `config` names.
        known: what earlier schedulers left; None: it is told by `remember`, or nothing is to
            outlive this one either.
    """

    def __init__(
        self,
        config: SchedulerConfig,
        term: int,
        now_ms: int,
        order: Order | None = None,
        known: Recollection | None = None,
    ) -> None:
        self._pool = Pool(config, term, now_ms, order)
        for _ in self._pool.remember(known) if known is not None else ():
            pass
        self._ending = Ending(self._pool)
        self._hearing = Hearing(self._pool, self._ending)
        self._dispatching = Dispatching(self._pool)
        self._readers = Readers(self._pool, self._ending)
        self._telling = Telling(self._pool, now_ms)
        self._arrivals = 0
        self._ticked_ms = now_ms

    def remember(self, known: Recollection) -> Iterator[None]:
        """Go on from what earlier schedulers left, before the first message, in steps of some
        milliseconds: it is done when the iterator is exhausted."""
        return self._pool.remember(known)

    def listen(self, now_ms: int) -> None:
        """Begin the listening time only now: nothing could be heard before."""
        self._pool.listen(now_ms)

    def handle(self, message: SchedulerMessage, now_ms: int) -> Effects:
        """Decide. Messages about runs, attempts or incarnations that are over do nothing."""
        match message:
            case RunSubmitted():
                effects = self._submitted(message, now_ms)
            case Heard(WorkerReport() as report):
                effects = self._hearing.reported(report, now_ms)
            case Heard(PrefixChanged() as changed):
                return self._hearing.prefixes_changed(changed, now_ms)
            case Heard(RunBegan() as began):
                effects = self._hearing.began(began, now_ms)
            case Heard(RunRejected() as rejected):
                return self._hearing.rejected(rejected, now_ms)
            case Heard(RunSettled() as settled):
                effects = self._hearing.settled(settled, now_ms)
            case Heard(WorkerGone(worker=name, incarnation=incarnation)):
                effects = self._hearing.gone(name, incarnation, now_ms)
            case Asked(CancelQueued(run_id=run_id), reply_to):
                effects = self._ending.cancel(run_id, reply_to, now_ms)
            case Asked(request, reply_to):
                return self._asked(request, reply_to, now_ms)
            case ReaderSeen(edge, epoch):
                self._readers.seen(edge, epoch, now_ms)
                return []
            case Reconfigured(tiers, costs):
                effects = self._reconfigured(tiers, costs)
            case EndStored(run_id):
                effects = self._ending.forget(run_id, now_ms)
            case EndFailed(run_id):
                return self._ending.retry_later(run_id, now_ms)
            case ClosedChecked(run_id, closed):
                effects = self._ending.checked(run_id, closed, now_ms)
            case Tick():
                effects = self._tick(now_ms)
        effects += self._dispatching.dispatch(now_ms)
        if isinstance(message, RunSubmitted) and not self._pool.listening(now_ms):
            effects += self._telling.first_notice(message.spec.run_id, now_ms)
        return effects

    def journal_entry(self, now_ms: int) -> JournalEntry | None:
        """Return what is to be written to the journal, None for nothing. It has all that led to
        the effects so far: a `Settle` among them is to be performed once it is stored."""
        journal = self._pool.journal
        return journal.entry(now_ms) if journal is not None else None

    def _asked(self, request: SchedulerRequest, reply_to: str, now_ms: int) -> Effects:
        match request:
            case WatchRuns(run_ids=run_ids):
                return self._telling.watch(run_ids, now_ms)
            case DescribeRun(run_id=run_id):
                return [Answer(reply_to, run_list(self._pool.runs.get(run_id), self._pool.order))]
            case DescribePool(limit=limit):
                return [self._telling.describe(reply_to, limit, now_ms)]
            case AskAllowance():
                return [self._telling.allowance(request, reply_to, now_ms)]
            case CancelQueued(run_id=run_id):
                return self._ending.cancel(run_id, reply_to, now_ms)

    def _submitted(self, message: RunSubmitted, now_ms: int) -> Effects:
        run_id = message.spec.run_id
        known = self._pool.runs.get(run_id)
        if known is not None:
            known.deliveries.append(message.delivery)
            return []
        if self._pool.journal is not None and self._pool.journal.knows(run_id):
            return [Settle(message.delivery)]
        self._arrivals += 1
        run = Run(message.spec, [message.delivery], self._arrivals, fresh=self._fresh(message))
        run.stage = "ending"
        self._pool.runs[run_id] = run
        if not run.fresh and self._pool.listening(now_ms):
            self._pool.listen_until_ms = max(self._pool.listen_until_ms, now_ms + 200)
        if self._pool.early.pop(run_id, None) is not None:
            return self._ending.end(run, RunOutcome(finish_reason="cancelled"))
        return self._judged(run, now_ms)

    def _judged(self, run: Run, now_ms: int) -> Effects:
        """Let a run wait, or end it because there is no place for it."""
        pool, gate = self._pool, self._pool.gate
        effects: Effects = []
        if gate is not None:
            verdict = gate.submitted(run, now_ms)
            if verdict.problem is not None:
                return self._ending.refuse(run, verdict.problem)
            if verdict.victim is not None:
                problem = gate.problem_when_full(verdict.victim, now_ms)
                effects = self._ending.refuse(verdict.victim, problem)
            if verdict.deferred:
                pool.shelve(run, now_ms)
                return effects
        elif len(pool.order) >= pool.config.queue_max and run.fresh:
            wait_ms = self._telling.wait_ms(run.spec.tier)
            problem = Problem(
                code="at_capacity", detail="The queue is full.", retry_after_ms=wait_ms
            )
            return self._ending.refuse(run, problem)
        pool.expect(run)
        pool.wait(run, now_ms)
        return effects

    def _reconfigured(self, tiers: Mapping[str, TierConfig], costs: Costs) -> Effects:
        pool = self._pool
        if pool.gate is not None:
            pool.gate.reconfigure(tiers, costs)
            pool.full = False
        return []

    def _fresh(self, message: RunSubmitted) -> bool:
        """Whether no earlier scheduler can have seen the run. A wrong yes (clocks that differ)
        costs one refused claim, never a wrong story."""
        return not message.redelivered and message.spec.submitted_at_ms >= self._pool.begun_ms

    def _tick(self, now_ms: int) -> Effects:
        effects: Effects = []
        self._pool.full = False
        for name in self._pool.workers.silent(now_ms):
            worker = self._pool.workers[name]
            if worker.usable or worker.stalled:
                # One that is still loading its engine may be silent for seconds, many times.
                self._pool.quarantine.died(name, now_ms)
            effects += self._hearing.lose(worker, now_ms)
        if now_ms - self._ticked_ms <= _AWAKE_MS:
            for worker in self._pool.workers.stalling(now_ms):
                self._hearing.give_up(worker, now_ms)
        self._ticked_ms = now_ms
        effects += self._readers.tick(now_ms)
        self._pool.workers.forget_stopped()
        for run in self._pool.due(now_ms):
            effects += self._overdue(run, now_ms)
        self._forget_early(now_ms)
        for run in self._telling.look(now_ms):
            self._pool.expect(run)
            self._pool.wait(run, now_ms)
        effects += self._dispatching.dispatch(now_ms)
        effects += self._dispatching.reclaim(now_ms)
        effects += self._telling.notices(now_ms)
        return effects + self._telling.announce(now_ms)

    def _forget_early(self, now_ms: int) -> None:
        """Forget old cancels; they are in the order of their expiry."""
        early = self._pool.early
        while early:
            run_id = next(iter(early))
            if early[run_id] > now_ms:
                return
            del early[run_id]

    def _overdue(self, run: Run, now_ms: int) -> Effects:
        """Look at a run whose time has come, and say when to look again."""
        config, arm = self._pool.config, self._pool.arm
        if run.stage in ("ending", "checking"):
            return self._ending.repeat(run, now_ms)
        if run.stage == "cancelling":
            if now_ms - run.cancel_ms > config.settle_ms:
                self._pool.unassign(run)
                return self._ending.end(run, RunOutcome(finish_reason="cancelled"))
            arm(run, now_ms + config.resend_ms)
            return [self._ending.abort(run)]
        if run.stage == "dispatched" and not run.accepted:
            waited_ms = now_ms - run.dispatched_ms
            if waited_ms < config.accept_ms:  # armed for a worker that it has lost since
                arm(run, run.dispatched_ms + config.accept_ms)
                return []
            if waited_ms > 3 * config.accept_ms:
                return self._stalled(run, now_ms)
            arm(run, now_ms + config.accept_ms)
            assert run.worker is not None
            return [Send(run.worker, self._dispatching.start(run))]
        if run.stage == "dispatched":
            limit_ms = run.dispatched_ms + config.first_token_ms
        elif run.stage == "running":
            limit_ms = run.heard_ms + config.token_gap_ms
        else:
            return []
        if now_ms > limit_ms:
            return self._stalled(run, now_ms)
        arm(run, limit_ms + 1)
        return []

    def _stalled(self, run: Run, now_ms: int) -> Effects:
        """A stall is a death: the worker loses the run; it is told so, in case it lives."""
        assert run.worker is not None
        self._pool.quarantine.died(run.worker, now_ms)
        drop = Send(run.worker, DropRun(run_id=run.spec.run_id, attempt=run.attempt))
        return [drop, *self._ending.lost_worker(run, now_ms)]

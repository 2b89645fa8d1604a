"""What workers say, and what it changes. Any of it may be lost, doubled or late. Pure."""

from actors.scheduler.ending import Ending
from actors.scheduler.pool import ON_WORKER, Effects, Pool
from actors.scheduler.state import Run, Send
from actors.scheduler.workers import Worker
from contracts.runs import RunOutcome
from contracts.scheduling import (
    DropRun,
    PrefixChanged,
    ResendPrefixes,
    RunBegan,
    RunningRun,
    RunRejected,
    RunSettled,
    WorkerReport,
)


class Hearing:
    """The transitions that reports and events of workers cause."""

    def __init__(self, pool: Pool, ending: Ending) -> None:
        self._pool = pool
        self._ending = ending

    def reported(self, report: WorkerReport, now_ms: int) -> Effects:
        """A worker said all about itself: what it has and we did not know, what it lost."""
        taken = self._pool.workers.heard(report, now_ms)
        if taken is None:
            return []
        worker, reborn = taken
        self._pool.full = False
        effects: Effects = []
        if reborn:
            if not worker.lost:
                self._pool.quarantine.died(report.worker, now_ms)
            effects = self.lose(worker, now_ms)
        if self._pool.homing.prefixes.reported(report, now_ms):
            effects.append(Send(report.worker, ResendPrefixes()))
        worker.lost = False
        if report.state == "stopped":
            return [*effects, *self.lose(worker, now_ms)]
        listed = set()
        for line in report.runs:
            listed.add(line.run_id)
            effects += self._listed(report.worker, worker, line, now_ms)
        for run_id, attempt in list(worker.assigned.items()):
            if run_id not in listed and attempt <= report.seen:
                effects += self._missing(run_id, now_ms)
        worker.foreign = len(listed.difference(worker.assigned))
        for run_id in [r for r in worker.unknown_since_ms if r not in listed]:
            del worker.unknown_since_ms[run_id]
        return effects

    def _listed(self, name: str, worker: Worker, line: RunningRun, now_ms: int) -> Effects:
        run = self._pool.runs.get(line.run_id)
        if run is None:
            since = worker.unknown_since_ms.setdefault(line.run_id, now_ms)
            if self._pool.listening(now_ms) or now_ms - since < self._pool.config.orphan_ms:
                return []
            return [Send(name, DropRun(run_id=line.run_id, attempt=line.attempt))]
        if run.stage == "queued" and line.attempt >= run.attempt:
            self._adopt(run, name, line, now_ms)
        if run.attempt != line.attempt or run.worker != name:
            return [Send(name, DropRun(run_id=line.run_id, attempt=line.attempt))]
        run.accepted = True
        if line.started:
            self._mark_began(run)
        if line.tokens != run.reported:
            run.reported, run.heard_ms = line.tokens, now_ms
        if line.tokens > run.tokens:
            run.tokens = line.tokens
            self._pool.order.progressed(run, line.tokens, now_ms)
            if self._pool.gate is not None:
                self._pool.gate.progressed(run)
        return []

    def _adopt(self, run: Run, name: str, line: RunningRun, now_ms: int) -> None:
        """A worker has a run that waits here: an earlier scheduler gave it to it."""
        self._pool.order.dispatched(run, 0, now_ms)
        run.stage, run.attempt, run.fresh = "dispatched", line.attempt, False
        self._pool.assign(run, name, now_ms, uncached=0)
        self._pool.arm(run, now_ms + self._pool.config.accept_ms)

    def _missing(self, run_id: str, now_ms: int) -> Effects:
        """The worker had the run and has it no more, and we did not hear why."""
        run = self._pool.runs.get(run_id)
        if run is None or run.stage == "checking":
            return []
        return self._ending.check(run, now_ms)

    def prefixes_changed(self, changed: PrefixChanged, now_ms: int) -> Effects:
        """A worker's cache holds other prefixes now."""
        if self._pool.homing.prefixes.heard(changed, now_ms):
            return [Send(changed.worker, ResendPrefixes())]
        return []

    def began(self, began: RunBegan, now_ms: int) -> Effects:
        """The first token is committed."""
        run = self._pool.current(began.run_id, began.attempt)
        if run is not None:
            run.accepted = True
            run.heard_ms = now_ms
            if run.cached is None:
                run.cached = began.cached_tokens
            self._mark_began(run)
        return []

    def _mark_began(self, run: Run) -> None:
        run.began = True
        self._pool.prefilled(run)
        if run.stage == "dispatched":
            run.stage = "running"

    def rejected(self, rejected: RunRejected, now_ms: int) -> Effects:
        """The worker has not taken the run."""
        run = self._pool.current(rejected.run_id, rejected.attempt)
        if run is None or run.worker != rejected.worker:
            return []
        self._pool.unassign(run)
        if run.cancel:
            return self._ending.end(run, RunOutcome(finish_reason="cancelled"))
        run.rejections += 1
        if run.rejections % self._pool.config.rejections_max == 0:
            return self._ending.lost_worker(run, now_ms)
        self._pool.requeue(run, now_ms)
        return []

    def settled(self, settled: RunSettled, now_ms: int) -> Effects:
        """A worker that was given up may still have finished: its last attempt counts until
        another is made."""
        run = self._pool.runs.get(settled.run_id)
        if run is None or run.attempt != settled.attempt or run.stage == "ending":
            return []
        if settled.outcome is None:
            return self._ending.check(run, now_ms) if run.stage in ON_WORKER else []
        usage = settled.outcome.usage
        run.tokens = max(run.tokens, usage.completion_tokens)
        if run.losses == 0:
            run.cached = usage.cached_tokens
        if settled.outcome.finish_reason in ("stop", "length"):
            self._pool.estimate.ended(now_ms - run.dispatched_ms)
            self._pool.lengths.learn(run.spec.user_id, run.spec.model, usage.completion_tokens)
        return self._ending.forget(settled.run_id, now_ms)

    def gone(self, name: str, incarnation: int, now_ms: int) -> Effects:
        """The worker is known to be dead; incarnation 0 means whichever it is."""
        worker = self._pool.workers.get(name)
        if worker is None or worker.lost:
            return []
        if incarnation and incarnation != worker.report.incarnation:
            return []
        self._pool.quarantine.died(name, now_ms)
        return self.lose(worker, now_ms)

    def give_up(self, worker: Worker, now_ms: int) -> None:
        """Let others go on with the runs of a worker that seems to stall: it has cost them
        nothing yet. What it writes from now on is fenced off, and when it is heard again it is
        told to drop them, or keeps those that nobody has taken."""
        worker.stalled = True
        for run in list(worker.runs.values()):
            if run.stage in ("dispatched", "running"):
                worker.moved.append(run)
                self._pool.unassign(run)
                self._pool.requeue(run, now_ms)

    def lose(self, worker: Worker, now_ms: int) -> Effects:
        """Take everything off a worker that is gone."""
        worker.lost = True
        worker.stalled = False
        for run in worker.moved:
            run.losses += 1
        worker.moved.clear()
        self._pool.homing.forget(worker.report.worker)
        lost = [self._pool.runs[run_id] for run_id in worker.assigned if run_id in self._pool.runs]
        worker.unknown_since_ms.clear()
        effects: Effects = []
        for run in lost:
            effects += self._ending.lost_worker(run, now_ms)
        worker.assigned.clear()
        worker.runs.clear()
        worker.kv_given = worker.pending_prefill = 0
        return effects

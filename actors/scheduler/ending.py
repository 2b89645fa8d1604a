"""How runs end without a worker's word, and what becomes of those that lost theirs. Pure."""

from actors.scheduler.pool import ON_WORKER, Effects, Pool
from actors.scheduler.state import Answer, CheckClosed, EndRun, Run, Send, Settle
from contracts.errors import Problem
from contracts.runs import RunOutcome
from contracts.scheduling import AbortRun, CancelTaken


class Ending:
    """The transitions of a run that is cancelled, lost, or settled."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def cancel(self, run_id: str, reply_to: str, now_ms: int) -> Effects:
        """Somebody wants the run stopped, whatever its state."""
        run = self._pool.runs.get(run_id)
        if run is None:
            if len(self._pool.early) < self._pool.config.early_cancels_max:
                self._pool.early[run_id] = now_ms + self._pool.config.early_cancel_ms
            return [Answer(reply_to, CancelTaken(known=False))]
        effects: Effects = [Answer(reply_to, CancelTaken(known=True, state="cancelling"))]
        if run.cancel or run.stage == "ending":
            return effects
        run.cancel, run.cancel_ms = True, now_ms
        if run.stage == "queued":
            return [*effects, *self.end(run, RunOutcome(finish_reason="cancelled"))]
        if run.stage in ON_WORKER:
            run.stage = "cancelling"
            self._pool.arm(run, now_ms + self._pool.config.resend_ms)
            effects.append(self.abort(run))
        return effects

    def abort(self, run: Run) -> Send:
        """Return the command that stops a run on its worker."""
        assert run.worker is not None
        return Send(run.worker, AbortRun(run_id=run.spec.run_id, attempt=run.attempt))

    def end(self, run: Run, outcome: RunOutcome) -> Effects:
        """End a run that no worker will end."""
        if run.stage == "queued":
            self._pool.withdraw(run)
        run.stage = "ending"
        self._pool.placed[run.spec.run_id] = run
        run.outcome = outcome
        run.attempt = self._pool.next_attempt()
        return [EndRun(run.spec, run.attempt, outcome)]

    def refuse(self, run: Run, problem: Problem) -> Effects:
        """End a run that has no place here."""
        return self.end(run, RunOutcome(finish_reason="error", error=problem))

    def check(self, run: Run, now_ms: int) -> Effects:
        """Find out whether the run has ended behind our back."""
        self._pool.unassign(run)
        run.stage = "checking"
        self._pool.placed[run.spec.run_id] = run
        self._pool.arm(run, now_ms + self._pool.config.accept_ms)
        return [CheckClosed(run.spec.run_id)]

    def checked(self, run_id: str, closed: bool, now_ms: int) -> Effects:
        """The log was read: the run is over, or lost its worker."""
        run = self._pool.runs.get(run_id)
        if run is None or run.stage != "checking":
            return []
        return self.forget(run_id, now_ms) if closed else self.lost_worker(run, now_ms)

    def lost_worker(self, run: Run, now_ms: int) -> Effects:
        """Give the run to another worker, or end it: it was cancelled, or cost too many."""
        self._pool.unassign(run)
        run.losses += 1
        if run.cancel:
            return self.end(run, RunOutcome(finish_reason="cancelled"))
        if run.losses >= self._pool.config.attempts_max:
            problem = Problem(
                code="worker_lost",
                detail=f"{run.losses} workers were lost while they wrote this answer.",
            )
            return self.end(run, RunOutcome(finish_reason="error", error=problem))
        self._pool.requeue(run, now_ms)
        return []

    def forget(self, run_id: str, now_ms: int) -> Effects:
        """The end is durable: acknowledge the run."""
        run = self._pool.runs.pop(run_id, None)
        if run is None:
            return []
        self._pool.unassign(run)
        self._pool.placed.pop(run_id, None)
        self._pool.close(run, now_ms)
        if self._pool.journal is not None:
            self._pool.journal.settled(run_id)
        return [Settle(delivery) for delivery in run.deliveries]

    def retry_later(self, run_id: str, now_ms: int) -> Effects:
        """A step failed; it is repeated."""
        run = self._pool.runs.get(run_id)
        if run is not None and run.stage == "ending":
            run.retry = True
            self._pool.arm(run, now_ms + self._pool.config.resend_ms)
        return []

    def repeat(self, run: Run, now_ms: int) -> Effects:
        """Repeat a step that failed, or whose answer is overdue; both may be repeated."""
        if run.stage == "checking":
            self._pool.arm(run, now_ms + self._pool.config.accept_ms)
            return [CheckClosed(run.spec.run_id)]
        if run.retry and run.outcome is not None:
            run.retry = False
            return [EndRun(run.spec, run.attempt, run.outcome)]
        return []

"""How a run that nobody knows any more comes to its end. Pure.

A run that this machine queued itself is safe in `RUNS`. One that was found active in history
(another owner queued it, or meant to), or that is to be cancelled, is asked after: if the
scheduler does not know it several times over, its queue message is lost, and the session ends
it under the closing claim, which fences off whoever might still write.
"""

from actors.session.conversation import Conversation, Effects
from actors.session.ending import Ending
from actors.session.state import AskKnown, Phase, Progress, RunKnown
from contracts.errors import Problem
from contracts.runs import RunOutcome


class Watching:
    """Asks after runs, and ends those that are lost."""

    def __init__(self, conversation: Conversation, ending: Ending) -> None:
        self._conversation = conversation
        self._ending = ending

    def ask(self, progress: Progress, now_ms: int) -> Effects:
        """Ask the scheduler whether it knows the run, if it is time to."""
        if progress.watch_at_ms is None or progress.watch_at_ms > now_ms:
            return ()
        if progress.phase is not Phase.RUNNING or progress.record is None:
            progress.watch_at_ms = None
            return ()
        progress.watch_at_ms = now_ms + self._conversation.config.watch_ms
        model = self._conversation.config.models.get(progress.record.model)
        if model is None:
            return self._unknown(progress)
        return (AskKnown(progress.run_id, model.pool),)

    def told(self, progress: Progress, answer: RunKnown) -> Effects:
        """The scheduler answered."""
        if not answer.known:
            return self._unknown(progress)
        progress.unknown_times = 0
        return ()

    def _unknown(self, progress: Progress) -> Effects:
        progress.unknown_times += 1
        if progress.unknown_times < self._conversation.config.unknown_max:
            return ()
        if progress.cancel_wanted:
            return self._ending.end_unqueued(progress, RunOutcome(finish_reason="cancelled"))
        problem = Problem(code="worker_lost", detail="The run was lost before it was written.")
        return self._ending.end_unqueued(progress, RunOutcome(finish_reason="error", error=problem))

"""How a run is stopped, whatever its state, also before anybody knows it. Pure."""

from actors.session import outcomes
from actors.session.conversation import Conversation, Effects, acknowledgements, unknown_to
from actors.session.ending import Ending
from actors.session.state import (
    Acknowledge,
    AskCancel,
    EarlyCancel,
    Effect,
    LookUpRun,
    Phase,
    Progress,
    Reply,
    RunLookedUp,
)
from contracts.session import CancelReply, CancelRun


class Cancelling:
    """The transitions from `CancelRun` to the scheduler's being asked."""

    def __init__(self, conversation: Conversation, ending: Ending) -> None:
        self._conversation = conversation
        self._ending = ending

    def cancel(self, cancel: CancelRun, delivery: int, now_ms: int) -> Effects:
        """Somebody wants the run stopped."""
        if cancel.user_id != self._conversation.chat.user_id:
            return (Reply(cancel.reply_to, CancelReply(status="unknown")), Acknowledge(delivery))
        done = self._conversation.done.get(cancel.run_id)
        progress = self._conversation.runs.get(cancel.run_id)
        if progress is None and done is not None:
            return (Reply(cancel.reply_to, outcomes.cancel_reply(done)), Acknowledge(delivery))
        effects: Effects = ()
        if progress is None:
            progress = Progress(cancel.run_id, Phase.LOOKING)
            self._conversation.runs[cancel.run_id] = progress
            effects = (LookUpRun(cancel.run_id),)
        progress.cancel_wanted = True
        progress.cancels.append(delivery)
        if cancel.reply_to:
            progress.waiting.append(cancel.reply_to)
        if progress.phase is Phase.RUNNING:
            return self.ask_cancel(progress, now_ms)
        return effects

    def ask_cancel(self, progress: Progress, now_ms: int) -> Effects:
        """Ask the scheduler, if the run is to be stopped, and again until it has ended."""
        if not progress.cancel_wanted or progress.record is None:
            return ()
        config = self._conversation.config
        progress.retry_at_ms = now_ms + config.cancel_retry_ms
        if progress.watch_at_ms is None:
            progress.watch_at_ms = now_ms + config.watch_ms
        model = config.models.get(progress.record.model)
        return (AskCancel(progress.run_id, model.pool),) if model else ()

    def found(self, progress: Progress, found: RunLookedUp, now_ms: int) -> Effects:
        """History was asked about a run that this machine did not know."""
        record = found.record
        if record is None and progress.finished is None:
            del self._conversation.runs[progress.run_id]
            return self._hold_early(progress, now_ms)
        progress.record = record
        progress.answer = found.answer
        if progress.finished is not None:
            return self._ending.close(progress)
        assert record is not None
        if record.state == "active":
            progress.phase = Phase.RUNNING
            return self.ask_cancel(progress, now_ms)
        self._conversation.inherit(record)
        return self._ending.end(progress)

    def _hold_early(self, progress: Progress, now_ms: int) -> Effects:
        early, config = self._conversation.early, self._conversation.config
        held = early.get(progress.run_id)
        if held is None and len(early) >= config.early_cancels_max:
            return (*unknown_to(progress.waiting), *acknowledgements(progress))
        early[progress.run_id] = EarlyCancel(
            now_ms + config.early_cancel_ms,
            [*(held.deliveries if held else ()), *progress.cancels],
            [*(held.waiting if held else ()), *progress.waiting],
        )
        return ()

    def expire_early(self, now_ms: int) -> list[Effect]:
        """Give up cancels whose runs never came."""
        effects: list[Effect] = []
        for run_id, early in list(self._conversation.early.items()):
            if early.expires_at_ms <= now_ms:
                del self._conversation.early[run_id]
                effects += unknown_to(early.waiting)
                effects += [Acknowledge(delivery) for delivery in early.deliveries]
        return effects

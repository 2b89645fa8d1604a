"""How a run ends: close its log, save the answer, write the terminal event. Pure."""

from actors.session import outcomes
from actors.session.conversation import (
    Conversation,
    Effects,
    acknowledgements,
    unknown_to,
)
from actors.session.state import (
    CloseLog,
    LookUpRun,
    Phase,
    Progress,
    Reply,
    RunClosed,
    SaveAnswer,
    Settle,
    Settled,
    WriteTerminal,
)
from contracts.errors import Problem
from contracts.runs import RunOutcome
from contracts.session import CancelReply, RunFinished


class Ending:
    """The transitions of a run from `RunFinished`, or from its refusal, to its last reply."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def finished(self, finished: RunFinished, delivery: int) -> Effects:
        """The worker, or the scheduler, says that the run is over."""
        self._conversation.home = finished.worker or self._conversation.home
        progress = self._conversation.runs.get(finished.run_id)
        if progress is None:
            progress = Progress(finished.run_id, Phase.LOOKING, finished=finished)
            progress.finishes.append(delivery)
            self._conversation.runs[finished.run_id] = progress
            return (LookUpRun(finished.run_id),)
        progress.finishes.append(delivery)
        if progress.finished is None:
            progress.finished = finished
        if progress.phase in (Phase.RUNNING, Phase.QUEUEING):
            return self.close(progress)
        return ()

    def end_unqueued(self, progress: Progress, outcome: RunOutcome) -> Effects:
        """End a run that never reached a worker."""
        record = progress.record
        assert record is not None
        progress.finished = RunFinished(
            run_id=progress.run_id,
            chat_id=self._conversation.chat.chat_id,
            epoch=0,
            next_seq=1,
            text="",
            outcome=outcome,
            model=record.model,
            message_id=record.answer_id,
        )
        return self.close(progress)

    def close(self, progress: Progress) -> Effects:
        """Claim the log, so that nobody writes any more."""
        assert progress.finished is not None
        progress.phase = Phase.CLOSING
        progress.retry_at_ms = None
        return (CloseLog(progress.run_id, progress.finished),)

    def closed(self, progress: Progress, closed: RunClosed, now_ms: int) -> Effects:
        """Nobody writes any more: what was streamed goes to history."""
        assert progress.finished is not None
        progress.closed = closed
        record = progress.record
        if record is None or progress.answer is None or record.state != "active":
            return self._write_terminal(progress)
        ended = outcomes.ended(record, progress.answer, progress.finished, closed, now_ms)
        progress.record, progress.answer = ended
        progress.phase = Phase.SAVING
        return (SaveAnswer(progress.answer, progress.record),)

    def saved(self, progress: Progress) -> Effects:
        """The answer is durable: readers may hear of the end."""
        assert progress.record is not None and progress.answer is not None
        known, answer = self._conversation, progress.answer
        if known.chat.active_run_id == progress.run_id:
            known.chat = outcomes.without_active_run(known.chat)
        known.messages = [m for m in known.messages if m.message_id != answer.message_id]
        known.messages.append(answer)
        del known.messages[: -known.config.messages_max]
        known.remember(progress.record)
        return self._write_terminal(progress)

    def _write_terminal(self, progress: Progress) -> Effects:
        closed = progress.closed
        assert closed is not None
        if closed.terminal is not None or self._log_is_gone(progress, closed):
            return self.end(progress)
        progress.phase = Phase.ENDING
        progress.retry_at_ms = None
        event = outcomes.terminal_event(progress.record)
        return (WriteTerminal(progress.run_id, closed.next_seq, event),)

    @staticmethod
    def _log_is_gone(progress: Progress, closed: RunClosed) -> bool:
        """An empty log of an answer that has text: readers have history by now, and a terminal
        event alone would tell them another story."""
        answer = progress.answer
        return closed.next_seq == 1 and answer is not None and bool(answer.content)

    def end(self, progress: Progress) -> Effects:
        """All is written: answer who waits, and forget the run."""
        del self._conversation.runs[progress.run_id]
        reply = (
            CancelReply(status="unknown")
            if progress.record is None
            else outcomes.cancel_reply(progress.record)
        )
        return (*(Reply(to, reply) for to in progress.waiting), *acknowledgements(progress))

    def reject(self, progress: Progress, problem: Problem) -> Effects:
        """Refuse a prompt of which nothing was stored, as soon as it comes to nobody any more."""
        progress.phase = Phase.REFUSING
        progress.problem = problem
        if progress.prompt is not None:
            self._conversation.messages.remove(progress.prompt)
        return self.settle(progress)

    def settle(self, progress: Progress) -> Effects:
        """Make sure of it, as often as it takes."""
        return (Settle(progress.run_id, tuple(progress.submits)),)

    def settled(self, progress: Progress, settled: Settled) -> Effects:
        """The prompt comes to nobody any more: its client may hear that it was refused."""
        progress.submits = [held for held in progress.submits if held not in settled.deliveries]
        if progress.submits:
            return self.settle(progress)
        assert progress.submit is not None and progress.problem is not None
        del self._conversation.runs[progress.run_id]
        if progress.branch:
            self._conversation.stale = True  # The path read for it is not the one shown.
        return (
            self._conversation.refuse(progress.submit, progress.problem),
            *unknown_to(progress.waiting),
            *acknowledgements(progress),
        )

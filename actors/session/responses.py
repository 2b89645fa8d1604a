"""How a stored response of the API is kept: taken, queued, ended, cancelled. Pure (ADR 0021).

A response is a single run with nothing around it: its prompt is made, it has no chat and no
turn before it. Who keeps it follows its commands as a chat's session does, on the same stream
and under the same fences, so that its end outlives its log whatever edge read it.
"""

import msgspec

from actors.session.config import SessionConfig
from actors.session.outcomes import STATES
from actors.session.responses_state import (
    DropResponse,
    Effects,
    EndedState,
    Held,
    Phase,
    ResponseDropped,
    ResponseEffect,
    ResponseMessage,
    ResponseSaved,
    ResponseStored,
    ResponseTaken,
    SaveResponse,
    StoreResponse,
)
from actors.session.state import (
    Acknowledge,
    AskCancel,
    AskKnown,
    CloseLog,
    Command,
    Effect,
    EnqueueRefused,
    EnqueueRun,
    Reply,
    RunClosed,
    RunEnqueued,
    RunKnown,
    SessionMessage,
    Settle,
    Settled,
    StepFailed,
    TerminalWritten,
    Tick,
    WriteTerminal,
)
from contracts.errors import IllegalMessage, Problem
from contracts.events import RunCancelled, RunCompleted, RunFailed, Terminal
from contracts.responses import ResponseRecord, SubmitResponse
from contracts.runs import RunOutcome
from contracts.session import (
    CancelReply,
    CancelRun,
    PromptAccepted,
    PromptRejected,
    RunFinished,
)


class ResponseMachine:
    """The keeper of one response. `record` is what history has of it, None if nothing."""

    stale = False

    def __init__(self, config: SessionConfig, record: ResponseRecord | None) -> None:
        self._config = config
        self._record = record
        self._phase = Phase.RESTING
        self._held = Held()
        self._problem: Problem | None = None
        self._finished: RunFinished | None = None
        self._closed: RunClosed | None = None
        self._cancelling = False
        self._retry_at_ms: int | None = None
        self._watch_at_ms: int | None = None
        self._unknown_times = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight and nothing waits."""
        held = self._held
        busy = held.submits or held.cancels or held.finishes
        return self._phase is Phase.RESTING and not busy

    @property
    def next_due_ms(self) -> int | None:
        """When the next `Tick` is needed."""
        due = [at for at in (self._retry_at_ms, self._watch_at_ms) if at is not None]
        return min(due, default=None)

    def close(self) -> None:
        """Nothing is held outside."""

    def handle(self, message: SessionMessage | ResponseMessage, now_ms: int) -> Effects:
        """Decide. An answer to a step that is over has no effect."""
        match message:
            case Command(SubmitResponse() as submit, delivery):
                return self._submit(submit, delivery, now_ms)
            case Command(CancelRun() as cancel, delivery):
                return self._cancel(cancel, delivery, now_ms)
            case Command(RunFinished() as finished, delivery):
                return self._finish(finished, delivery)
            case ResponseStored(record) if self._phase is Phase.STORING:
                self._record = record
                return self._go_on(now_ms)
            case ResponseTaken() if self._phase is Phase.STORING:
                return self._reject(Problem(code="conflict", detail="The key is in use."))
            case RunEnqueued() if self._phase is Phase.QUEUEING:
                return self._enqueued(now_ms)
            case EnqueueRefused() if self._phase is Phase.QUEUEING:
                assert self._record is not None
                self._phase = Phase.DROPPING
                return (DropResponse(self._record.run_id, self._record.response_id),)
            case ResponseDropped() if self._phase is Phase.DROPPING:
                self._record = None
                return self._reject(Problem(code="at_capacity", detail="The queue is full."))
            case Settled() if self._phase is Phase.REFUSING:
                return self._settled(message)
            case RunClosed() if self._phase is Phase.CLOSING:
                return self._closed_by(message, now_ms)
            case ResponseSaved() if self._phase is Phase.SAVING:
                return self._write_terminal()
            case TerminalWritten() if self._phase is Phase.ENDING:
                return self._end()
            case RunKnown(known=known):
                return self._told(known)
            case StepFailed():
                return self._failed(message, now_ms)
            case Tick():
                return self._tick(now_ms)
            case Command():
                raise IllegalMessage("a response takes no prompt")
        return ()

    # taking

    def _submit(self, submit: SubmitResponse, delivery: int, now_ms: int) -> Effects:
        self._held.submits.append((submit, delivery))
        if self._phase is not Phase.RESTING:
            return ()
        if self._record is not None:
            return self._go_on(now_ms)
        if now_ms > submit.expires_at_ms:
            return self._reject(Problem(code="expired", detail="It was not taken in time."))
        self._phase = Phase.STORING
        return (StoreResponse(submit.record),)

    def _go_on(self, now_ms: int) -> Effects:
        """The response is stored: queue its run, which may be there already."""
        assert self._record is not None
        self._phase = Phase.RESTING
        if self._finished is not None:
            return (*self._accept(), *self._close_log())
        if self._record.state != "active":
            return self._accept()
        return self._enqueue(now_ms)

    def _enqueue(self, now_ms: int) -> Effects:
        if not self._held.submits:
            return self._ask_cancel(now_ms)
        self._phase = Phase.QUEUEING
        return (EnqueueRun(self._held.submits[0][0].spec),)

    def _enqueued(self, now_ms: int) -> Effects:
        self._phase = Phase.RESTING
        accepted = self._accept()
        if self._finished is not None:
            return (*accepted, *self._close_log())
        return (*accepted, *self._ask_cancel(now_ms))

    def _accept(self) -> Effects:
        record = self._record
        assert record is not None
        effects: list[Effect | ResponseEffect] = []
        for submit, delivery in self._held.submits:
            accepted = PromptAccepted(
                run_id=record.run_id,
                prompt_id=record.response_id,
                answer_id=record.response_id,
                replayed=record.run_id != submit.spec.run_id,
            )
            effects += (Reply(submit.reply_to, accepted), Acknowledge(delivery))
        self._held.submits.clear()
        return tuple(effects)

    def _reject(self, problem: Problem) -> Effects:
        """Refuse what waits, as soon as it comes to nobody any more."""
        self._phase = Phase.REFUSING
        self._problem = problem
        return self._settle()

    def _settle(self) -> Effects:
        submits = self._held.submits
        return (Settle(submits[0][0].spec.run_id, tuple(delivery for _, delivery in submits)),)

    def _settled(self, settled: Settled) -> Effects:
        """Their clients may hear that they were refused; what came meanwhile is refused next."""
        assert self._problem is not None
        rejected = PromptRejected(problem=self._problem)
        gone, self._held.submits = (
            [held for held in self._held.submits if (held[1] in settled.deliveries) is known]
            for known in (True, False)
        )
        told = tuple(Reply(submit.reply_to, rejected) for submit, _ in gone)
        if self._held.submits:
            return (*told, *self._settle())
        self._phase = Phase.RESTING
        return (*told, *self._answer_cancels(CancelReply(status="unknown")))

    # stopping

    def _cancel(self, cancel: CancelRun, delivery: int, now_ms: int) -> Effects:
        record = self._record
        unknown = record is None and self._phase is Phase.RESTING
        if unknown or (record is not None and record.user_id != cancel.user_id):
            reply = CancelReply(status="unknown")
            return (Reply(cancel.reply_to, reply), Acknowledge(delivery))
        if record is not None and record.state != "active" and self._phase is Phase.RESTING:
            reply = CancelReply(status="ended", state=_ended_state(record))
            return (Reply(cancel.reply_to, reply), Acknowledge(delivery))
        self._held.cancels.append(delivery)
        if cancel.reply_to:
            self._held.waiting.append(cancel.reply_to)
        self._cancelling = True
        return self._ask_cancel(now_ms)

    def _ask_cancel(self, now_ms: int) -> Effects:
        """Ask the scheduler, again and again, until the run has finished."""
        if not self._cancelling or self._phase is not Phase.RESTING or self._record is None:
            return ()
        model = self._config.models.get(self._record.model)
        if model is None:
            return self._end_unqueued()
        self._retry_at_ms = now_ms + self._config.cancel_retry_ms
        if self._watch_at_ms is None:
            self._watch_at_ms = now_ms + self._config.watch_ms
        return (AskCancel(self._record.run_id, model.pool),)

    def _told(self, known: bool) -> Effects:
        if self._phase is not Phase.RESTING or not self._cancelling:
            return ()
        self._unknown_times = 0 if known else self._unknown_times + 1
        if self._unknown_times < self._config.unknown_max:
            return ()
        return self._end_unqueued()

    def _end_unqueued(self) -> Effects:
        """End a run that no worker will end."""
        record = self._record
        assert record is not None
        self._finished = RunFinished(
            run_id=record.run_id,
            chat_id=record.response_id,
            epoch=0,
            next_seq=1,
            text="",
            outcome=RunOutcome(finish_reason="cancelled"),
            model=record.model,
            message_id=record.response_id,
        )
        return self._close_log()

    # ending

    def _finish(self, finished: RunFinished, delivery: int) -> Effects:
        self._held.finishes.append(delivery)
        self._finished = self._finished or finished
        return self._close_log() if self._phase is Phase.RESTING else ()

    def _close_log(self) -> Effects:
        """Claim the log, so that nobody writes any more."""
        assert self._finished is not None
        self._phase = Phase.CLOSING
        self._retry_at_ms = self._watch_at_ms = None
        return (CloseLog(self._finished.run_id, self._finished),)

    def _closed_by(self, closed: RunClosed, now_ms: int) -> Effects:
        """Nobody writes any more: what was streamed goes to history."""
        assert self._finished is not None
        self._closed = closed
        if self._record is None or self._record.state != "active":
            return self._write_terminal()
        outcome = self._finished.outcome
        self._record = msgspec.structs.replace(
            self._record,
            state=STATES[outcome.finish_reason][0],
            text=closed.text,
            finish_reason=outcome.finish_reason,
            usage=msgspec.structs.replace(outcome.usage, completion_tokens=closed.tokens),
            error=outcome.error,
            ended_at_ms=now_ms,
        )
        return self._save()

    def _save(self) -> Effects:
        assert self._record is not None
        self._phase = Phase.SAVING
        return (SaveResponse(self._record),)

    def _write_terminal(self) -> Effects:
        """The end is durable: readers may hear of it. Where the log is gone, they have
        history, and a terminal event alone would tell them another story."""
        closed = self._closed
        assert closed is not None
        gone = closed.next_seq == 1 and self._record is not None and bool(self._record.text)
        if closed.terminal is not None or gone:
            return self._end()
        self._phase = Phase.ENDING
        return (WriteTerminal(closed.run_id, closed.next_seq, _terminal(self._record)),)

    def _end(self) -> Effects:
        self._phase = Phase.RESTING
        self._finished = self._closed = None
        self._cancelling = False
        self._retry_at_ms = self._watch_at_ms = None
        reply = CancelReply(status="unknown")
        if self._record is not None:
            reply = CancelReply(status="ended", state=_ended_state(self._record))
        done = tuple(Acknowledge(delivery) for delivery in self._held.finishes)
        self._held.finishes.clear()
        return (*self._answer_cancels(reply), *done)

    def _answer_cancels(self, reply: CancelReply) -> Effects:
        held = self._held
        told = tuple(Reply(to, reply) for to in held.waiting)
        done = tuple(Acknowledge(delivery) for delivery in held.cancels)
        held.waiting.clear()
        held.cancels.clear()
        return (*told, *done)

    # time

    def _failed(self, failure: StepFailed, now_ms: int) -> Effects:
        if self._phase is Phase.RESTING:
            return ()
        if failure.fenced:
            return self._close_log()
        self._retry_at_ms = now_ms + self._config.retry_ms
        return ()

    def _tick(self, now_ms: int) -> Effects:
        effects: Effects = ()
        if self._retry_at_ms is not None and self._retry_at_ms <= now_ms:
            self._retry_at_ms = None
            effects = self._again(now_ms)
        if self._watch_at_ms is not None and self._watch_at_ms <= now_ms:
            self._watch_at_ms = None
            model = self._config.models.get(self._record.model) if self._record else None
            if self._record is not None and model is not None and self._cancelling:
                self._watch_at_ms = now_ms + self._config.watch_ms
                effects = (*effects, AskKnown(self._record.run_id, model.pool))
        return effects

    def _again(self, now_ms: int) -> Effects:
        match self._phase:
            case Phase.RESTING:
                return self._ask_cancel(now_ms)
            case Phase.STORING:
                return (StoreResponse(self._held.submits[0][0].record),)
            case Phase.QUEUEING:
                return self._enqueue(now_ms)
            case Phase.DROPPING:
                assert self._record is not None
                return (DropResponse(self._record.run_id, self._record.response_id),)
            case Phase.REFUSING:
                return self._settle()
            case Phase.SAVING:
                return self._save()
            case Phase.CLOSING | Phase.ENDING:
                return self._close_log()


def _ended_state(record: ResponseRecord) -> EndedState:
    return "" if record.state == "active" else record.state


def _terminal(record: ResponseRecord | None) -> Terminal:
    """Return the event that ends the run for its readers: as history has it, if it does."""
    if record is None:
        return RunFailed(error=Problem(code="not_found", detail="The response is gone."))
    match record.state:
        case "completed":
            return RunCompleted(
                finish_reason="length" if record.finish_reason == "length" else "stop",
                usage=record.usage,
                message_id=record.response_id,
            )
        case "cancelled":
            return RunCancelled(usage=record.usage, message_id=record.response_id)
        case _:
            problem = record.error or Problem(code="internal", detail="The run failed.")
            return RunFailed(error=problem, message_id=record.response_id)

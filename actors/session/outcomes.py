"""How an ended run looks in history, in its log and to whoever cancelled it. Pure."""

from typing import Literal

import msgspec

from actors.session.state import RunClosed
from contracts.errors import Problem
from contracts.events import RunCancelled, RunCompleted, RunFailed, Terminal
from contracts.records import Chat, Message, MessageStatus, RunRecord, RunRecordState
from contracts.runs import FinishReason
from contracts.session import CancelReply, RunFinished

STATES: dict[FinishReason, tuple[RunRecordState, MessageStatus]] = {
    "stop": ("completed", "complete"),
    "length": ("completed", "complete"),
    "cancelled": ("cancelled", "cancelled"),
    "error": ("failed", "failed"),
}


def ended(
    record: RunRecord, answer: Message, finished: RunFinished, closed: RunClosed, now_ms: int
) -> tuple[RunRecord, Message]:
    """Return run and answer as history keeps them: the text is what was streamed."""
    outcome = finished.outcome
    state, status = STATES[outcome.finish_reason]
    usage = msgspec.structs.replace(outcome.usage, completion_tokens=closed.tokens)
    run = msgspec.structs.replace(
        record,
        state=state,
        finish_reason=outcome.finish_reason,
        usage=usage,
        error=outcome.error,
        ended_at_ms=now_ms,
    )
    message = msgspec.structs.replace(
        answer,
        content=closed.text,
        status=status,
        finish_reason=outcome.finish_reason,
        usage=usage,
    )
    return run, message


def terminal_event(record: RunRecord | None) -> Terminal:
    """Return the event that ends the run for its readers: as history has it, if it does."""
    if record is None or record.state == "active":
        problem = Problem(code="not_found", detail="The chat of this run is gone.")
        return RunFailed(error=problem)
    match record.state:
        case "completed":
            reason: Literal["stop", "length"] = (
                "length" if record.finish_reason == "length" else "stop"
            )
            return RunCompleted(
                finish_reason=reason, usage=record.usage, message_id=record.answer_id
            )
        case "cancelled":
            return RunCancelled(usage=record.usage, message_id=record.answer_id)
        case "failed":
            problem = record.error or Problem(code="internal", detail="The run failed.")
            return RunFailed(error=problem, message_id=record.answer_id)


def cancel_reply(record: RunRecord) -> CancelReply:
    """Return the answer to a cancel of an ended run."""
    if record.state == "active":
        return CancelReply(status="unknown")
    return CancelReply(status="ended", state=record.state)


def without_active_run(chat: Chat) -> Chat:
    """Return the chat with no run in flight."""
    return msgspec.structs.replace(chat, active_run_id=None)

"""The events of a finished run, made from what history keeps when its log is gone.

History does not keep the log's numbers. The snapshot and the terminal event therefore get
the two largest ids that JavaScript counts exactly: above every id that the log can have given
out, the same at every edge and at every time. A client resumes from them as from any other.
"""

from contracts.errors import Problem
from contracts.events import (
    MessageSnapshot,
    NumberedEvent,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunStarted,
)
from contracts.records import Message, RunRecord

LAST_ID = 2**53 - 1
"""The id of a terminal event served from history; also the largest cursor there is."""


def events_from_history(
    run: RunRecord, answer: Message | None, after: int | None
) -> list[NumberedEvent]:
    """Return what follows id `after` of a finished run; empty for a client at its end."""
    text = answer.content if answer is not None else ""
    began = bool(text) or run.usage.prompt_tokens > 0
    events = []
    if began and not after:
        started = RunStarted(
            model=run.model, message_id=run.answer_id, cached_tokens=run.usage.cached_tokens
        )
        events.append(NumberedEvent(seq=1, event=started))
    if (text or after) and (after is None or after < LAST_ID - 1):
        events.append(NumberedEvent(seq=LAST_ID - 1, event=MessageSnapshot(text=text)))
    if after is None or after < LAST_ID:
        events.append(NumberedEvent(seq=LAST_ID, event=_terminal(run)))
    return events


def _terminal(run: RunRecord) -> RunEvent:
    match run.state:
        case "completed":
            return RunCompleted(
                finish_reason="length" if run.finish_reason == "length" else "stop",
                usage=run.usage,
                message_id=run.answer_id,
            )
        case "cancelled":
            return RunCancelled(usage=run.usage, message_id=run.answer_id)
        case _:
            error = run.error or Problem(code="internal", detail="The answer could not be ended.")
            return RunFailed(error=error, message_id=run.answer_id)

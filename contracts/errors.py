"""Error codes that clients see, the problem document, and the errors that ports raise."""

from typing import Literal

from contracts.base import Wire

ErrorCode = Literal[
    "bad_request",
    "unauthenticated",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "not_acceptable",
    "conflict",
    "run_active",
    "email_taken",
    "too_large",
    "unsupported_media_type",
    "idempotency_mismatch",
    "invalid_value",
    "unknown_model",
    "prompt_too_long",
    "rate_limited",
    "over_budget",
    "at_capacity",
    "no_worker",
    "unavailable",
    "expired",
    "cannot_resume",
    "worker_lost",
    "engine_error",
    "internal",
]

STATUS: dict[ErrorCode, tuple[int, str]] = {
    "bad_request": (400, "The request is malformed"),
    "unauthenticated": (401, "Log in first"),
    "forbidden": (403, "Not allowed"),
    "not_found": (404, "Not found"),
    "method_not_allowed": (405, "Method not allowed"),
    "not_acceptable": (406, "No acceptable form"),
    "conflict": (409, "Conflict"),
    "run_active": (409, "The chat is answering"),
    "email_taken": (409, "The address has an account"),
    "too_large": (413, "Too large"),
    "unsupported_media_type": (415, "Unsupported media type"),
    "idempotency_mismatch": (422, "The idempotency key was used for another request"),
    "invalid_value": (422, "A value is out of range"),
    "unknown_model": (404, "No such model"),
    "prompt_too_long": (422, "The prompt is longer than the model's window"),
    "rate_limited": (429, "Too many requests"),
    "over_budget": (429, "The token budget is spent"),
    "at_capacity": (503, "At capacity"),
    "no_worker": (503, "No worker for this model"),
    "unavailable": (503, "Temporarily unavailable"),
    "expired": (503, "Not accepted in time"),
    "cannot_resume": (500, "The answer could not be continued exactly"),
    "worker_lost": (500, "The workers writing this answer were lost"),
    "engine_error": (500, "The engine refused the prompt"),
    "internal": (500, "Internal error"),
}
"""HTTP status and title of each code; the edge serves them, `/docs` lists them."""


class Problem(Wire):
    """Why something was refused or failed, in the terms of RFC 9457, less the request id.

    `detail` is a sentence for a person. `retry_after_ms`, where set, is the computed wait
    after which the same request is expected to be taken.
    """

    code: ErrorCode
    detail: str
    retry_after_ms: int | None = None
    active_run_id: str | None = None

    @property
    def status(self) -> int:
        """The HTTP status of this code."""
        return STATUS[self.code][0]

    @property
    def title(self) -> str:
        """The short, fixed title of this code."""
        return STATUS[self.code][1]


class ParleyError(Exception):
    """The root of every error that Parley raises on purpose."""


class InvariantBroken(ParleyError):
    """A bug: a state that the design excludes. The actor crashes to its supervisor."""


class IllegalMessage(ParleyError):
    """A machine was given a message that its state does not allow; the state is unchanged."""


class BadMessage(ParleyError):
    """Bytes that do not decode to the expected wire struct."""


class Refused(ParleyError):
    """A request that is refused with a problem document; the edge serves it as it is."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class BusError(ParleyError):
    """The root of what a bus raises."""


class BusUnavailable(BusError):
    """The server can't be reached, or has no leader for the stream. The effect of the call
    is unknown: it may have been applied."""


class BusTimeout(BusUnavailable):
    """No answer within the caller's limit; the effect is unknown."""


class NoResponders(BusError):
    """Nobody serves the subject of a request; it had no effect."""


class WrongSequence(BusError):
    """A compare-and-set or a fence failed; the message was not stored."""


class StreamFull(BusError):
    """The stream is at its limit and discards new messages; the message was not stored."""


class LogError(ParleyError):
    """The root of what the token log raises."""


class Fenced(LogError):
    """A newer claim exists; nothing of this writer is or will be stored. Stop writing."""


class LogGone(LogError):
    """The run's log is not there (aged out, or a memory stream was lost): use history."""


class HistoryUnavailable(ParleyError):
    """The history store can't be reached or timed out; the effect of a write is unknown."""


class HistoryRefused(HistoryUnavailable):
    """The same, and it is certain that the write had no effect."""


class HistoryConflict(ParleyError):
    """A compare-and-set in history failed; nothing was written."""


class EngineDead(ParleyError):
    """The engine is gone; the gpu actor that owns it ends too."""


class EngineRefused(ParleyError):
    """The engine does not accept this request (too long, bad parameter); others go on."""

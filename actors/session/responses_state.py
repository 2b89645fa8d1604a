"""What the keeper of a response is told, what it asks for, and where it stands. Pure."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from actors.session.state import Effect
from contracts.responses import ResponseRecord, SubmitResponse

EndedState = Literal["completed", "cancelled", "failed", ""]


class Phase(Enum):
    """Where the response stands; each but RESTING has an effect in flight or a retry due."""

    RESTING = "resting"
    STORING = "storing"
    QUEUEING = "queueing"
    DROPPING = "dropping"
    REFUSING = "refusing"
    CLOSING = "closing"
    SAVING = "saving"
    ENDING = "ending"


@dataclass(slots=True)
class Held:
    """Commands to be answered and acknowledged when their time comes."""

    submits: list[tuple[SubmitResponse, int]] = field(default_factory=list)
    cancels: list[int] = field(default_factory=list)
    finishes: list[int] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StoreResponse:
    """Answer with `ResponseStored`, `ResponseTaken` or `StepFailed`."""

    record: ResponseRecord


@dataclass(frozen=True, slots=True)
class SaveResponse:
    """Store the end; answer with `ResponseSaved` or `StepFailed`."""

    record: ResponseRecord


@dataclass(frozen=True, slots=True)
class DropResponse:
    """Forget a response that was not taken after all; answer with `ResponseDropped` or
    `StepFailed`."""

    run_id: str
    response_id: str


ResponseEffect = StoreResponse | SaveResponse | DropResponse
Effects = tuple[Effect | ResponseEffect, ...]


@dataclass(frozen=True, slots=True)
class ResponseStored:
    """The response is in history, as it stands there."""

    record: ResponseRecord


@dataclass(frozen=True, slots=True)
class ResponseTaken:
    """Another response has its idempotency key; nothing was stored."""

    run_id: str


@dataclass(frozen=True, slots=True)
class ResponseSaved:
    """The end is in history, or the response is not active there any more."""

    run_id: str


@dataclass(frozen=True, slots=True)
class ResponseDropped:
    """The response is not in history."""

    run_id: str


ResponseMessage = ResponseStored | ResponseTaken | ResponseSaved | ResponseDropped

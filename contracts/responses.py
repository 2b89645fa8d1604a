"""Responses of the API that outlive their runs, and what their keeper is told.

A stored response has no chat: its run carries the response's id in the place of a chat's
(`RunSpec.chat_id`), so its commands and its end go to the keeper of that id (ADR 0021).
"""

from contracts.base import Tagged, Wire
from contracts.errors import Problem
from contracts.ids import is_id
from contracts.records import RunRecordState
from contracts.runs import FinishReason, RunSpec, Usage
from contracts.session import CancelRun, RunFinished


class ResponseRecord(Wire):
    """A response. `request` and `items` are JSON text: what of the request is told again, and
    the items of its input, each with its id. `text` is all that the model wrote, calls of
    tools included as it wrote them; it is final once `state` is not active."""

    response_id: str
    user_id: str
    run_id: str
    model: str
    created_at_ms: int
    request: str = "{}"
    items: str = "[]"
    previous_id: str | None = None
    background: bool = False
    idempotency_key: str | None = None
    body_hash: str = ""
    state: RunRecordState = "active"
    text: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage = Usage()
    error: Problem | None = None
    ended_at_ms: int | None = None


class SubmitResponse(Tagged, tag="submit_response"):
    """Store this response and have its run answered. After `expires_at_ms` it is refused
    (`expired`) unless it is stored: its client was told so already. The reply is a
    `SubmitReply`."""

    record: ResponseRecord
    spec: RunSpec
    expires_at_ms: int
    reply_to: str = ""

    @property
    def run_id(self) -> str:
        """The run's id, as in every command."""
        return self.record.run_id

    @property
    def chat_id(self) -> str:
        """The id under which it is sent, in the place of a chat's."""
        return self.record.response_id

    @property
    def submitted_at_ms(self) -> int:
        """When it was asked for, as in `SubmitPrompt`."""
        return self.record.created_at_ms


ResponseCommand = SubmitResponse | CancelRun | RunFinished


def is_response(session_id: str) -> bool:
    """Say whether commands under this id are for the keeper of a response."""
    return is_id(session_id, "resp")

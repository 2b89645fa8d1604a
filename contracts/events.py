"""The events of a run's stream, as clients see them (`api.md`, "The event stream").

They are stored in the run's token log and numbered there, so every edge gives the same id
to the same event. The edge adds `runId` and `seq` to each when it serves it.
"""

from typing import Literal

import msgspec

from contracts.base import Tagged, Wire
from contracts.errors import Problem
from contracts.runs import Degradation, LeftOut, Usage


class RunQueued(Tagged, tag="run.queued", omit_defaults=False):
    """The run waits; `position` 1 is next. `eta_ms` is an estimate, None when unknown."""

    position: int
    eta_ms: int | None = None
    degraded: tuple[Degradation, ...] = ()


class RunStarted(Tagged, tag="run.started", omit_defaults=False):
    """A worker took the run and its prefill is done. `left_out`: what the prompt does not hold of
    its chat; absent where it has all, and where the event is told from history."""

    model: str
    message_id: str
    cached_tokens: int = 0
    left_out: LeftOut | msgspec.UnsetType = msgspec.UNSET


class MessageDelta(Tagged, tag="message.delta", omit_defaults=False):
    """Text that follows what came before; whole characters only; never empty."""

    delta: str


class MessageSnapshot(Tagged, tag="message.snapshot", omit_defaults=False):
    """All text so far. Made by a reader; stored only as the first event of a log that is begun
    anew, where it says that what was told before is void (ADR 0030)."""

    text: str


class RunRecovered(Tagged, tag="run.recovered", omit_defaults=False):
    """Another worker goes on where the last one stopped, `gap_ms` after its last token."""

    gap_ms: int


class RunCompleted(Tagged, tag="run.completed", omit_defaults=False):
    """The end: the message is durable."""

    finish_reason: Literal["stop", "length"] = msgspec.field(name="finish_reason")
    usage: Usage
    message_id: str


class RunCancelled(Tagged, tag="run.cancelled", omit_defaults=False):
    """The end: stopped by the user; the partial answer is durable."""

    usage: Usage
    message_id: str
    finish_reason: Literal["cancelled"] = msgspec.field(name="finish_reason", default="cancelled")


class RunFailed(Tagged, tag="run.failed", omit_defaults=False):
    """The end: what was streamed is stored with status `failed`."""

    error: Problem
    message_id: str = ""


RunEvent = (
    RunQueued
    | RunStarted
    | MessageDelta
    | MessageSnapshot
    | RunRecovered
    | RunCompleted
    | RunCancelled
    | RunFailed
)
Terminal = RunCompleted | RunCancelled | RunFailed


class NumberedEvent(Wire):
    """An event and its place in the run: 1, 2, 3, …; a snapshot has the place of the last
    event that it stands for."""

    seq: int
    event: RunEvent

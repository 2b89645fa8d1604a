"""What a fold or a title is told and what it asks for. Pure. One question is open at a time."""

from dataclasses import dataclass

from contracts.memory import FoldWanted, TitleWanted
from contracts.records import Message, Summary
from contracts.runs import RunOutcome, RunSpec

# --- messages --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """Somebody wants the fold."""


@dataclass(frozen=True, slots=True)
class TurnsRead:
    """What history has: the chat's summary, and of the wanted messages those that are there.
    `gone`: there is no such chat."""

    summary: Summary | None = None
    messages: tuple[Message, ...] = ()
    gone: bool = False


@dataclass(frozen=True, slots=True)
class ExchangeRead:
    """What history has: the chat's title and its first exchange. None: one of them is gone."""

    title: str | None = None
    messages: tuple[Message, ...] | None = None


@dataclass(frozen=True, slots=True)
class TitleSet:
    """The title is durable, or another one took the place of the one to be replaced."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run has reached its end, with all of its text."""

    text: str
    outcome: RunOutcome


@dataclass(frozen=True, slots=True)
class RunLost:
    """The run did not end in time (`waited`), was refused by a full queue, or its log is gone."""

    waited: bool = False


@dataclass(frozen=True, slots=True)
class SummaryStored:
    """The summary is durable."""


@dataclass(frozen=True, slots=True)
class SummaryConflict:
    """Somebody else replaced the summary, or the chat is gone; nothing was stored."""


@dataclass(frozen=True, slots=True)
class StepFailed:
    """The step's effect is unknown or none; it may be repeated."""


@dataclass(frozen=True, slots=True)
class Rested:
    """The pause is over."""


FoldMessage = (
    Begin | TurnsRead | RunEnded | RunLost | SummaryStored | SummaryConflict | StepFailed | Rested
)
TitleMessage = Begin | ExchangeRead | RunEnded | RunLost | TitleSet | StepFailed | Rested


# --- effects ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadTurns:
    """Answer with `TurnsRead` or `StepFailed`."""

    wish: FoldWanted


@dataclass(frozen=True, slots=True)
class ReadExchange:
    """Answer with `ExchangeRead` or `StepFailed`."""

    wish: TitleWanted


@dataclass(frozen=True, slots=True)
class SetTitle:
    """Answer with `TitleSet` or `StepFailed`. `instead_of`: the title to be replaced."""

    chat_id: str
    title: str
    instead_of: str


@dataclass(frozen=True, slots=True)
class RunModel:
    """Queue the run, unless its log shows that it has ended, and read the log to its end. Answer
    with `RunEnded`, `RunLost` or `StepFailed`."""

    spec: RunSpec
    patience_ms: int


@dataclass(frozen=True, slots=True)
class StopRun:
    """Ask the pool's scheduler to end a run that nobody waits for; no answer is awaited."""

    run_id: str
    pool: str


@dataclass(frozen=True, slots=True)
class StoreSummary:
    """Answer with `SummaryStored`, `SummaryConflict` or `StepFailed`."""

    summary: Summary
    replaces: int | None


@dataclass(frozen=True, slots=True)
class Rest:
    """Answer with `Rested` after `pause_ms`."""

    pause_ms: int


@dataclass(frozen=True, slots=True)
class Finish:
    """Acknowledge the wish: nothing more is done. `how` is for operators."""

    how: str


FoldEffect = ReadTurns | RunModel | StopRun | StoreSummary | Rest | Finish
TitleEffect = ReadExchange | RunModel | StopRun | SetTitle | Rest | Finish

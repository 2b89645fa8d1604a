"""What a session machine is told, what it asks for, and where a run stands. Pure."""

from dataclasses import dataclass, field
from enum import Enum

from actors.session.retrieval import Meaning, Passage
from contracts.errors import Problem
from contracts.events import Terminal
from contracts.memory import SummarizerWish
from contracts.records import Chat, Message, RunRecord, Summary
from contracts.responses import SubmitResponse
from contracts.runs import RunOutcome, RunSpec
from contracts.session import CancelReply, CancelRun, RunFinished, SubmitPrompt, SubmitReply

DeliveryId = int
"""The shell's name for an unacknowledged delivery of `SESS`."""


# --- messages --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """A delivery of `SESS`."""

    body: SubmitPrompt | CancelRun | RunFinished | SubmitResponse
    delivery: DeliveryId


@dataclass(frozen=True, slots=True)
class PromptStored:
    """`AcceptPrompt` took effect (now or before)."""

    run_id: str
    chat: Chat


@dataclass(frozen=True, slots=True)
class PromptConflict:
    """`AcceptPrompt` changed nothing: the chat moved on under another owner, or is gone."""

    run_id: str


@dataclass(frozen=True, slots=True)
class KeyLookedUp:
    """Who used the idempotency key of this waiting prompt before; None: nobody."""

    run_id: str
    earlier: RunRecord | None


@dataclass(frozen=True, slots=True)
class MemoryRead:
    """What history holds of the chat's memory: its summary, and the messages before those that
    were known, oldest first; None: it was not asked for them, or they can't be had now. Of the
    pictures that were asked for, those of `gone` were deleted."""

    run_id: str
    summary: Summary | None = None
    older: tuple[Message, ...] | None = None
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryEmbedded:
    """What the new message means; None: it is not known in time."""

    run_id: str
    meaning: Meaning | None


@dataclass(frozen=True, slots=True)
class TurnsEmbedded:
    """What older turns mean; nothing: it can't be had now."""

    meanings: tuple[tuple[Passage, Meaning], ...] = ()


@dataclass(frozen=True, slots=True)
class PathRead:
    """The newest messages of the path to the one that was named, oldest first; None: there is
    no such message."""

    run_id: str
    messages: tuple[Message, ...] | None


@dataclass(frozen=True, slots=True)
class RunEnqueued:
    """The run is in `RUNS`."""

    run_id: str


@dataclass(frozen=True, slots=True)
class EnqueueRefused:
    """`RUNS` is full; the run is not in it."""

    run_id: str


@dataclass(frozen=True, slots=True)
class RunLookedUp:
    """What history knows of a run that somebody wants cancelled or ended."""

    run_id: str
    record: RunRecord | None
    answer: Message | None


@dataclass(frozen=True, slots=True)
class RunKnown:
    """Whether the pool's scheduler has the run."""

    run_id: str
    known: bool


@dataclass(frozen=True, slots=True)
class RunClosed:
    """The log is claimed for closing and read: `text` is all that was streamed, `next_seq` the
    place of the next event, `terminal` the event that an earlier closer wrote."""

    run_id: str
    text: str
    tokens: int
    next_seq: int
    terminal: Terminal | None = None


@dataclass(frozen=True, slots=True)
class AnswerSaved:
    """The answer is in history; `applied` False: it was there already."""

    run_id: str
    applied: bool


@dataclass(frozen=True, slots=True)
class TerminalWritten:
    """The terminal event is committed."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Settled:
    """These deliveries of a prompt come to nobody any more: neither to us nor to a later owner."""

    run_id: str
    deliveries: tuple[DeliveryId, ...]


@dataclass(frozen=True, slots=True)
class StepFailed:
    """The effect in flight for this run failed or its fate is unknown; it may be repeated.
    `fenced`: another closer claimed the log. `certain`: it had no effect."""

    run_id: str
    fenced: bool = False
    certain: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


SessionMessage = (
    Command
    | PromptStored
    | PromptConflict
    | KeyLookedUp
    | PathRead
    | MemoryRead
    | QueryEmbedded
    | TurnsEmbedded
    | RunEnqueued
    | EnqueueRefused
    | RunLookedUp
    | RunKnown
    | RunClosed
    | AnswerSaved
    | TerminalWritten
    | Settled
    | StepFailed
    | Tick
)


# --- effects ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reply:
    """Tell whoever asked; nobody may be listening any more."""

    to: str
    body: SubmitReply | CancelReply


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The command is done for good."""

    delivery: DeliveryId


@dataclass(frozen=True, slots=True)
class Settle:
    """Make sure that these deliveries of a prompt come to nobody any more; answer with `Settled` or
    `StepFailed`. A refusal must not be told before: a later owner would take the prompt."""

    run_id: str
    deliveries: tuple[DeliveryId, ...]


@dataclass(frozen=True, slots=True)
class LookUpKey:
    """Answer with `KeyLookedUp`."""

    run_id: str
    key: str


@dataclass(frozen=True, slots=True)
class ReadMemory:
    """Answer with `MemoryRead`, whatever happens: a prompt does without. `before` asks for up
    to `limit` messages of the path that leads to this one, without it; `pictures` are files of
    which to tell the deleted ones."""

    run_id: str
    before: Message | None
    limit: int = 0
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbedQuery:
    """Ask what a new message means; answer with `QueryEmbedded`, soon, whatever happens."""

    run_id: str
    text: str


@dataclass(frozen=True, slots=True)
class EmbedTurns:
    """Ask in the background what older turns mean; answer with `TurnsEmbedded`, whatever
    happens, or not at all if the machine is gone by then."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """Ask the summarizers, once; no answer is awaited, and losing it costs little."""

    wish: SummarizerWish


@dataclass(frozen=True, slots=True)
class ReadPath:
    """Answer with `PathRead` or `StepFailed`."""

    run_id: str
    leaf_id: str
    limit: int


@dataclass(frozen=True, slots=True)
class LookUpRun:
    """Answer with `RunLookedUp`."""

    run_id: str


@dataclass(frozen=True, slots=True)
class AcceptPrompt:
    """Answer with `PromptStored`, `PromptConflict` or `StepFailed`. `prompt` None: it is there
    already; `branch`: the turn need not follow the path shown."""

    prompt: Message | None
    answer: Message
    run: RunRecord
    branch: bool = False


@dataclass(frozen=True, slots=True)
class EnqueueRun:
    """Answer with `RunEnqueued`, `EnqueueRefused` or `StepFailed`."""

    spec: RunSpec


@dataclass(frozen=True, slots=True)
class AskCancel:
    """Ask the pool's scheduler to stop the run; no answer is awaited."""

    run_id: str
    pool: str


@dataclass(frozen=True, slots=True)
class AskKnown:
    """Ask the pool's scheduler whether it has the run; answer with `RunKnown` or `StepFailed`."""

    run_id: str
    pool: str


@dataclass(frozen=True, slots=True)
class CloseLog:
    """Claim the run's log for closing; answer with `RunClosed` or `StepFailed`. `finished`
    carries the worker's claim and text: if that claim is still the last, nothing need be
    read."""

    run_id: str
    finished: RunFinished


@dataclass(frozen=True, slots=True)
class SaveAnswer:
    """Answer with `AnswerSaved` or `StepFailed`."""

    answer: Message
    run: RunRecord


@dataclass(frozen=True, slots=True)
class WriteTerminal:
    """Append the terminal event under the closing claim; answer with `TerminalWritten` or
    `StepFailed`."""

    run_id: str
    seq: int
    event: Terminal


Effect = (
    Reply
    | Acknowledge
    | Settle
    | LookUpKey
    | ReadPath
    | ReadMemory
    | EmbedQuery
    | EmbedTurns
    | Wish
    | LookUpRun
    | AcceptPrompt
    | EnqueueRun
    | AskCancel
    | AskKnown
    | CloseLog
    | SaveAnswer
    | WriteTerminal
)


# --- state -----------------------------------------------------------------------------------


class Phase(Enum):
    """Where a run stands; each phase but RUNNING has one effect in flight or a retry due."""

    KEYING = "keying"
    BRANCHING = "branching"
    RECALLING = "recalling"
    UNDERSTANDING = "understanding"
    STORING = "storing"
    RESOLVING = "resolving"
    REFUSING = "refusing"
    QUEUEING = "queueing"
    RUNNING = "running"
    LOOKING = "looking"
    CLOSING = "closing"
    SAVING = "saving"
    ENDING = "ending"


@dataclass(slots=True)
class Progress:
    """One run's way through the session. `retry_at_ms` None: an effect is in flight, or
    nothing is due. `submits`, `cancels` and `finishes` are deliveries to acknowledge when
    their time comes; `waiting` are reply subjects of cancels. `doubtful`: the prompt may have been
    stored although history reported a failure, or by an earlier owner. `held` are prompts that
    came while the run was looked up: what they mean is known then. `meaning` is the new
    message's, where it was asked for, as were the pictures `looked`. `branch`: the turn begins a
    branch, and the machine has its path. `problem` is what the client will be told."""

    run_id: str
    phase: Phase
    submit: SubmitPrompt | None = None
    prompt: Message | None = None
    record: RunRecord | None = None
    answer: Message | None = None
    spec: RunSpec | None = None
    finished: RunFinished | None = None
    outcome: RunOutcome | None = None
    problem: Problem | None = None
    closed: RunClosed | None = None
    meaning: Meaning | None = None
    doubtful: bool = False
    branch: bool = False
    cancel_wanted: bool = False
    retry_at_ms: int | None = None
    watch_at_ms: int | None = None
    unknown_times: int = 0
    submits: list[DeliveryId] = field(default_factory=list)
    cancels: list[DeliveryId] = field(default_factory=list)
    finishes: list[DeliveryId] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    held: list[tuple[SubmitPrompt, DeliveryId]] = field(default_factory=list)
    looked: set[str] = field(default_factory=set)


@dataclass(slots=True)
class EarlyCancel:
    """A cancel of a run that is not known (yet)."""

    expires_at_ms: int
    deliveries: list[DeliveryId] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

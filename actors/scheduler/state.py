"""What a scheduler machine is told, what it asks for, and what it knows. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from actors.scheduler.config import TierConfig
from actors.scheduler.costs import Costs
from contracts.events import RunQueued
from contracts.runs import Degradation, RunOutcome, RunSpec
from contracts.scheduling import (
    AbortRun,
    Allowance,
    CancelTaken,
    DropRun,
    PoolStatus,
    ResendPrefixes,
    RunList,
    SchedulerRequest,
    StartRun,
    WorkerMessage,
)

DeliveryId = int
"""The shell's name for an unacknowledged delivery of `RUNS`."""


# --- messages --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunSubmitted:
    """A delivery of `RUNS`. `redelivered` True: another scheduler may have dispatched it
    before (False proves nothing after a take-over)."""

    spec: RunSpec
    delivery: DeliveryId
    redelivered: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """A worker (or its parent) said something."""

    body: WorkerMessage


@dataclass(frozen=True, slots=True)
class Asked:
    """A request; the answer goes to `reply_to`."""

    body: SchedulerRequest
    reply_to: str


@dataclass(frozen=True, slots=True)
class EndStored:
    """`EndRun` took effect."""

    run_id: str


@dataclass(frozen=True, slots=True)
class EndFailed:
    """`EndRun` may not have taken effect; it may be repeated."""

    run_id: str


@dataclass(frozen=True, slots=True)
class ClosedChecked:
    """The answer to `CheckClosed`: whether the run's story is over (closed or ended)."""

    run_id: str
    closed: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class ReaderSeen:
    """An edge lives, in the life `epoch` (its start, milliseconds)."""

    edge: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """Other tiers and costs hold from now on."""

    tiers: Mapping[str, TierConfig]
    costs: Costs


SchedulerMessage = (
    RunSubmitted
    | Heard
    | Asked
    | EndStored
    | EndFailed
    | ClosedChecked
    | ReaderSeen
    | Reconfigured
    | Tick
)


# --- effects ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Give a worker a command; it may be lost."""

    worker: str
    command: StartRun | AbortRun | DropRun | ResendPrefixes


@dataclass(frozen=True, slots=True)
class Settle:
    """The run's end is durable elsewhere: acknowledge it in `RUNS`."""

    delivery: DeliveryId


@dataclass(frozen=True, slots=True)
class EndRun:
    """End a run that no worker will end: for a chat `RunFinished` to its session, for an API
    run an end entry under a claim. Answer with `EndStored` or `EndFailed`."""

    spec: RunSpec
    attempt: int
    outcome: RunOutcome


@dataclass(frozen=True, slots=True)
class CheckClosed:
    """Read the run's claim; answer with `ClosedChecked` (no answer if it can't be read)."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Notify:
    """Write a `run.queued` event into the run's log under the claim `attempt`; losing it is
    harmless."""

    run_id: str
    attempt: int
    event: RunQueued


@dataclass(frozen=True, slots=True)
class Answer:
    """Reply to a request."""

    to: str
    body: CancelTaken | RunList | Allowance


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Tell every edge how the pool is."""

    status: PoolStatus


Effect = Send | Settle | EndRun | CheckClosed | Notify | Answer | Broadcast


# --- state -----------------------------------------------------------------------------------

Stage = Literal["queued", "dispatched", "running", "cancelling", "ending", "checking"]


@dataclass(slots=True, eq=False)
class Run:
    """A run from its submission to its settlement.

    `arrival` numbers submissions. `attempt` is the last one used (0: none yet). `fresh`
    stays true while no claim on its log can exist, so that the first worker need not read.
    `losses` counts workers lost under it, `rejections` workers that would not take it. `retry`:
    its ending failed and is to be repeated. `heard_ms` is when its worker last showed progress,
    `tokens` the most it ever had, `reported` the count that its worker said last. `front`: it
    has lost a worker, and goes before fresh runs of its tier.

    For the order: `predicted` output tokens, `kv_need` tokens of memory, `home` the worker
    whose cache has `home_hit` tokens of its prompt, `queued_ms` since when it waits, `skips`
    how often it was passed over to wait for its home, `place` and `cost` where it stands among
    its user's and what it is expected to cost, `cached` what the engine found in its cache
    (None: not told yet), `prefill` tokens of its prompt that its worker has yet to compute.
    `armed_ms` is when the machine looks at it again (0: not due). `degraded` is what was done
    to it because the pool was pressed, `promised`: its user was told to come again for it.
    `prompt_length` counts the tokens of its prompt.
    """

    spec: RunSpec
    deliveries: list[DeliveryId]
    arrival: int
    fresh: bool = True
    stage: Stage = "queued"
    worker: str | None = None
    attempt: int = 0
    losses: int = 0
    rejections: int = 0
    accepted: bool = False
    began: bool = False
    tokens: int = 0
    reported: int = 0
    dispatched_ms: int = 0
    heard_ms: int = 0
    cancel: bool = False
    cancel_ms: int = 0
    outcome: RunOutcome | None = None
    retry: bool = False
    noticed: int = 0
    notice_attempt: int = 0
    front: bool = False
    predicted: int = 1
    kv_need: int = 0
    home: str = ""
    home_hit: int = 0
    queued_ms: int = 0
    skips: int = 0
    cached: int | None = None
    prefill: int = 0
    armed_ms: int = 0
    place: int = 0
    cost: int = 0
    degraded: tuple[Degradation, ...] = ()
    promised: bool = False
    prompt_length: int = field(init=False)

    def __post_init__(self) -> None:
        self.prompt_length = self.spec.prompt_length

"""What the supervisor is told, what it does, and what it knows."""

from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A process to keep.

    It starts once every child of a lower `stage` has been ready, and is told to end once
    every child of a higher `rank` has ended. `stop_ms` is what a graceful end may take before
    the group is killed. `gone` says that a death must be announced (a worker's runs and
    a host's leases move at once). `awaited` False: the whole counts as ready without it.
    """

    name: str
    stage: int
    rank: int
    stop_ms: int = 10_000
    gone: bool = False
    awaited: bool = True


@dataclass(frozen=True, slots=True)
class Policy:
    """When to give up, and how long to wait before a restart.

    A child that was ready may die `deaths_max` times within `period_ms`; one that never
    became ready may fail `failures_max` times in a row. The n-th death within the period
    waits `delays_ms[n - 1]`, the last of them from then on.
    """

    deaths_max: int = 20
    period_ms: int = 60_000
    failures_max: int = 3
    delays_ms: tuple[int, ...] = (0, 0, 200, 500, 1_000)


class Phase(Enum):
    """Where a child is."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    DOWN = "down"


@dataclass(slots=True)
class Child:
    """What is known of a child. `generation` counts its processes: a message about an older
    one has no effect. `deaths` are the times at which it died within the period."""

    spec: ChildSpec
    phase: Phase = Phase.WAITING
    generation: int = 0
    was_ready: bool = False
    failures: int = 0
    deaths: list[int] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """True while it has a process."""
        return self.phase in (Phase.STARTING, Phase.READY, Phase.STOPPING)


# --- what it is told -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """Start the stack."""


@dataclass(frozen=True, slots=True)
class BecameReady:
    """The child does its work."""

    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class Exited:
    """The child's process ended: `code` as `subprocess` gives it (negative: a signal).
    `hopeless`: another start would fail the same way (a setting is wrong)."""

    name: str
    generation: int
    code: int
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class RestartDue:
    """The wait before a restart is over."""

    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class StopOverdue:
    """The time for a graceful end is over."""

    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End the stack in order; told twice, end it by force."""


Message = Begin | BecameReady | Exited | RestartDue | StopOverdue | Stop


# --- what it does ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start the child's process. `again`: it is not the first."""

    name: str
    generation: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask the child to end (SIGTERM), and report `StopOverdue` after `overdue_ms`."""

    name: str
    generation: int
    overdue_ms: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the child's whole process group."""

    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class RestartLater:
    """Report `RestartDue` after `delay_ms`."""

    name: str
    generation: int
    delay_ms: int


@dataclass(frozen=True, slots=True)
class AnnounceGone:
    """Tell the scheduler that this worker is dead."""

    name: str


@dataclass(frozen=True, slots=True)
class Died:
    """Tell the person at the terminal that a child died and comes back."""

    name: str
    code: int
    delay_ms: int


@dataclass(frozen=True, slots=True)
class GaveUp:
    """Tell the person at the terminal that a child cannot be kept running."""

    name: str
    code: int
    deaths: int


@dataclass(frozen=True, slots=True)
class AllReady:
    """Every child is ready, for the first time."""


@dataclass(frozen=True, slots=True)
class Finished:
    """No child is left. `code` is the exit status of `parley up`."""

    code: int


Effect = (
    Spawn | Terminate | Kill | RestartLater | AnnounceGone | Died | GaveUp | AllReady | Finished
)

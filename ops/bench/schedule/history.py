"""What happens to a simulation, and what it leaves. Times in microseconds of virtual time."""

from dataclasses import dataclass, field

from contracts.scheduling import PoolStatus
from ops.bench.schedule.prompts import Record


class Length(tuple[int, ...]):
    """So many prompt tokens that nobody will read: only their number counts here."""

    __slots__ = ()

    def __new__(cls, length: int) -> "Length":
        """Return what says that it has `length` tokens."""
        return super().__new__(cls, (length,))

    def __len__(self) -> int:
        return self[0]


@dataclass(slots=True)
class Cost:
    """What the machine took of the processor."""

    spent_ns: int = 0
    messages: int = 0
    decisions: int = 0

    @property
    def decisions_s(self) -> float:
        """Dispatches for each second that the machine took in all."""
        return self.decisions / (self.spent_ns / 1e9) if self.spent_ns else 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A GPU (`gpu-0`, …) or the `scheduler` dies, and another of it is there after `lasts_us`.
    A new GPU is cold; a new scheduler is given all runs of the queue's stream again."""

    at_us: int
    what: str
    lasts_us: int


@dataclass(slots=True)
class Outcome:
    """What a simulation leaves: every prompt's record in order of arrival, what the machine
    cost, and the time of the last event in seconds."""

    records: list[Record]
    cost: Cost
    lasted_s: float
    statuses: list[tuple[int, PoolStatus]] = field(default_factory=list)

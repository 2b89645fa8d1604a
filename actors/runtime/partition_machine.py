"""Which partitions a host should own, decided without I/O.

Every host decides for itself from the same two facts, who lives and who owns what; the leases
keep two from owning one, so a stale view costs a move, never safety.

Shares are fair: with n partitions and h hosts, each owns ⌊n/h⌋ or ⌈n/h⌉. Moves are few: a host
gives up only what is above its share, and a free partition goes to the host with the highest
rendezvous weight (Thaler and Ravishankar, 1998) among those below theirs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from contracts.ids import partition_of

RETRY_MS = 500
"""How long a partition is left alone after it was not got, or was given up."""

GRACE_MS = 1000
"""How long a partition may stay free before any host takes it, whoever ought to."""


@dataclass(frozen=True, slots=True)
class HostSeen:
    """A host lives, or does not any more."""

    host: str
    alive: bool


@dataclass(frozen=True, slots=True)
class OwnerSeen:
    """A partition's lease names this owner, None if it is free."""

    partition: int
    owner: str | None


@dataclass(frozen=True, slots=True)
class Gained:
    """The partition is this host's now."""

    partition: int


@dataclass(frozen=True, slots=True)
class Yielded:
    """The partition is not this host's (lost, given up, or never got)."""

    partition: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


PartitionMessage = HostSeen | OwnerSeen | Gained | Yielded | Tick


@dataclass(frozen=True, slots=True)
class Acquire:
    """Try to own the partition; answer with Gained or Yielded."""

    partition: int


@dataclass(frozen=True, slots=True)
class Release:
    """Hand the partition over; answer with Yielded."""

    partition: int


PartitionEffect = Acquire | Release


@lru_cache(maxsize=65_536)
def weight(partition: int, host: str) -> int:
    """Return how much a host wants a partition: the same number on every host."""
    return partition_of(f"{host}/{partition}/{host}", 1 << 32)


def shares(owned: dict[str, int], partitions: int) -> dict[str, int]:
    """Return how many partitions each host should own; they add up to `partitions`.

    The larger shares go to those who own more already, then by name.
    """
    least, larger = divmod(partitions, len(owned))
    order = sorted(owned, key=lambda host: (-owned[host], host))
    return {host: least + (place < larger) for place, host in enumerate(order)}


class PartitionMachine:
    """One host's view and wishes.

    Invariant: it asks to release only what it holds and to acquire only what it believes free,
    and never twice before an answer.
    """

    def __init__(self, me: str, partitions: int) -> None:
        self._me = me
        self._hosts: dict[str, None] = {me: None}
        self._owners: dict[int, str | None] = dict.fromkeys(range(partitions))
        self._free_since_ms: dict[int, int] = {}
        self._asked: dict[int, None] = {}
        self._held: dict[int, None] = {}
        self._not_before_ms: dict[int, int] = {}
        self._informed = False

    @property
    def held(self) -> tuple[int, ...]:
        """What this host owns, ascending."""
        return tuple(sorted(self._held))

    def handle(self, message: PartitionMessage, now_ms: int) -> tuple[PartitionEffect, ...]:
        """Take a message; return what to acquire and what to release.

        Messages about unknown partitions are ignored. Nothing is decided before the first
        Tick: by then the shell has told what it found.
        """
        match message:
            case HostSeen(host, True):
                self._hosts[host] = None
            case HostSeen(host, False) if host != self._me:
                self._hosts.pop(host, None)
            case OwnerSeen(partition, owner) if partition in self._owners:
                self._owners[partition] = owner
            case Gained(partition):
                self._held[partition] = None
                self._owners[partition] = self._me
                self._asked.pop(partition, None)
            case Yielded(partition):
                self._held.pop(partition, None)
                if self._owners[partition] == self._me:
                    self._owners[partition] = None
                self._asked.pop(partition, None)
                self._not_before_ms[partition] = now_ms + RETRY_MS
            case Tick():
                self._informed = True
        return self._decide(now_ms) if self._informed else ()

    def _decide(self, now_ms: int) -> tuple[PartitionEffect, ...]:
        free = [p for p, owner in self._owners.items() if owner not in self._hosts]
        self._free_since_ms = {p: self._free_since_ms.get(p, now_ms) for p in free}
        owned = dict.fromkeys(sorted(self._hosts), 0)
        for owner in self._owners.values():
            if owner in owned:
                owned[owner] += 1
        quota = shares(owned, len(self._owners))
        effects: list[PartitionEffect] = [
            Release(p) for p in self._surplus(owned[self._me] - quota[self._me])
        ]
        for partition in free:
            overdue = now_ms - self._free_since_ms[partition] >= GRACE_MS
            chosen = self._chosen(partition, (h for h in owned if owned[h] < quota[h]))
            if chosen is not None:
                owned[chosen] += 1
            if (chosen == self._me or overdue) and self._may_acquire(partition, now_ms):
                effects.append(Acquire(partition))
        for effect in effects:
            self._asked[effect.partition] = None
        return tuple(effects)

    def _surplus(self, count: int) -> list[int]:
        """Return what to give up: the least wanted first, counting what is on its way."""
        leaving = sum(1 for p in self._asked if p in self._held)
        idle = sorted(
            (p for p in self._held if p not in self._asked), key=lambda p: weight(p, self._me)
        )
        return idle[: max(0, count - leaving)]

    def _chosen(self, partition: int, hosts: Iterable[str]) -> str | None:
        return max(hosts, key=lambda host: (weight(partition, host), host), default=None)

    def _may_acquire(self, partition: int, now_ms: int) -> bool:
        """An owner that is not known to live may still hold its lease: that must expire. What
        this host held until its lease was lost is only free once its actors have stopped."""
        return (
            self._owners[partition] is None
            and partition not in self._held
            and partition not in self._asked
            and now_ms >= self._not_before_ms.get(partition, 0)
        )

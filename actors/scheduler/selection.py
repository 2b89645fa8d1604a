"""Which of a tier's runs goes to which worker with room. Pure.

The steps of `scheduling.md`: who has waited long with little, then whoever finds most of its
prompt in a cache within the slack, then whoever is first, unless its home is free sooner than
its prompt would be computed elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.scheduler.backlog import Backlog, User
from actors.scheduler.order import Choice, WorkerRoom
from actors.scheduler.state import Run

_FEW_RUNS = 4
_FRONT_LOOKS = 8
_TRIES = 10
_HIT_PERCENT = 30
_COLD_PART = 4
"""Passing a run that fits nowhere gains less than a warm prefix does: a quarter of the slack."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a run is held back: `hold_ms` and `skips_max` times at most for its home; after
    `hold_ms` a user with few runs waiting goes before any prefix."""

    hold_ms: int = 300
    skips_max: int = 8


class Placing(Protocol):
    """Knows where prompts are warm."""

    def place(self, run: Run, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:
        """Return the run with the best room that it fits, None if it fits none."""
        ...

    def waits(self, run: Run, rooms: Sequence[WorkerRoom]) -> bool:
        """Say whether the run had better wait for its home, which has no room."""
        ...


class Selection:
    """Chooses within a tier.

    Args:
        slack: how far, in cost, a user's tag may be ahead of the smallest one.
    """

    def __init__(self, slack: int, patience: Patience, placing: Placing) -> None:
        self._slack = slack
        self._patience = patience
        self._placing = placing

    def choose(self, tier: Backlog, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:
        """Return the run of this tier that goes next, None if none of those within the slack
        fits anywhere."""
        for run in first_front(tier):
            choice = self._placing.place(run, rooms, now_ms)
            if choice is not None:
                return choice
        user = tier.head()
        if user is None:
            return None
        head = user.head()
        waited_ms = now_ms - head.queued_ms
        if len(user.waiting) <= _FEW_RUNS and waited_ms > self._patience.hold_ms:
            choice = self._placing.place(head, rooms, now_ms)
            if choice is not None:
                return choice
        limit = user.tag + self._slack
        if head.spec.block_keys and self._slack:
            choice = _warmest(tier.within(limit), rooms)
            if choice is not None:
                return choice
        if not self._held(head, rooms, now_ms):
            choice = self._placing.place(head, rooms, now_ms)
            if choice is not None:
                return choice
        return self._another(tier, user.tag + self._slack // _COLD_PART, rooms, now_ms)

    def _another(
        self, tier: Backlog, limit: int, rooms: Sequence[WorkerRoom], now_ms: int
    ) -> Choice | None:
        """Return another run within the slack: the first is held back, or fits nowhere. What
        is held back goes elsewhere rather than leave a worker idle."""
        held: list[Run] = []
        for user in sorted(tier.within(limit), key=_tag):
            run = user.head()
            if self._held(run, rooms, now_ms):
                held.append(run)
                continue
            choice = self._placing.place(run, rooms, now_ms)
            if choice is not None:
                for passed in held:
                    passed.skips += 1
                return choice
        for run in held:
            choice = self._placing.place(run, rooms, now_ms)
            if choice is not None:
                return choice
        return None

    def _held(self, run: Run, rooms: Sequence[WorkerRoom], now_ms: int) -> bool:
        """Whether waiting for the run's home pays: it will have room before its prompt could be
        computed anywhere else."""
        if not run.home or run.skips >= self._patience.skips_max:
            return False
        if now_ms - run.queued_ms > self._patience.hold_ms:
            return False
        if any(room.worker == run.home for room in rooms):
            return False
        return self._placing.waits(run, rooms)


def first_front(tier: Backlog) -> list[Run]:
    """Return the first runs that lost a worker: few are looked at, so that many that fit
    nowhere do not stop all others."""
    if not tier.front:
        return []
    found = []
    for run in tier.front.values():
        found.append(run)
        if len(found) == _FRONT_LOOKS:
            break
    return found


def _warmest(users: Sequence[User], rooms: Sequence[WorkerRoom]) -> Choice | None:
    """Return the run that finds most of its prompt in the cache of a worker with room, for
    what it costs there; at least 30 % of it must be there."""
    by_name = {room.worker: room for room in rooms}
    scored: list[tuple[int, int, Run]] = []
    for user in users:
        if not user.homed:
            continue
        for run in (run for name in by_name for run in user.at_home(name)):
            hit = run.home_hit
            if hit * 100 < run.prompt_length * _HIT_PERCENT:
                continue
            cost = 10 * (run.prompt_length - hit) + 20 * run.predicted + hit
            scored.append((-hit * 1_000_000 // max(1, cost), run.arrival, run))
    for _, _, run in sorted(scored)[:_TRIES]:
        room = by_name[run.home]
        run.home_hit = warm = room.warm(run)
        if warm * 100 >= run.prompt_length * _HIT_PERCENT and room.fits(run, warm):
            return Choice(run, room.worker, warm)
    return None


def _tag(user: User) -> int:
    return user.tag

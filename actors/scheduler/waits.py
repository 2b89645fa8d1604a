"""How long a run that came now would wait. Pure, integer milliseconds.

By start tags: what lies between a tier's virtual time and the user's tail, over the speed of
that virtual time while the tier was backlogged. Never more than the whole queue takes, and one
place on a worker has to come free in any case.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from actors.scheduler.config import TierConfig
from actors.scheduler.state import Run

_WINDOW_MS = 20_000
_STEP_MAX_MS = 1_000
_BELIEVED = 8
"""So many dispatches are assumed beside those that were seen: at the usual pace."""

_LEAVE_MIN = 20
"""Newcomers leave at least one place in so many to those who wait longer, as far as is told."""


class Backlogs(Protocol):
    """What a fair order tells of those who wait in it. Each takes constant time, or nearly."""

    def __len__(self) -> int:
        """Return how many runs wait."""
        ...

    def lead(self, tier: str, user_id: str) -> tuple[int, int]:
        """Return how many runs of the tier would go before a new one of this user, and how many
        of all, by estimate."""
        ...

    def lag(self, tier: str, user_id: str) -> int:
        """Return the cost between the tier's virtual time and the start tag of a run of this
        user that came now."""
        ...

    def virtual(self, tier: str) -> int:
        """Return the tier's virtual time, in cost; it never falls."""
        ...

    def waiting(self, tier: str) -> int:
        """Return how many runs of the tier wait."""
        ...

    def counts(self, tier: str, user_id: str) -> tuple[int, int]:
        """Return how many runs of the user wait, and how many are on workers."""
        ...

    def longest(self, tier: str) -> Run | None:
        """Return the newest waiting run of the tier's user with the largest tail."""
        ...


@dataclass(slots=True)
class _Speed:
    """How far a virtual time went, and how many runs, in `over_ms` of backlog."""

    last: int = 0
    gained: int = 0
    over_ms: int = 0
    dispatches: int = 0
    backlogged: bool = False

    def observe(self, virtual: int, elapsed_ms: int, *, backlogged: bool) -> None:
        if backlogged:
            self.gained += max(0, virtual - self.last)
            self.over_ms += elapsed_ms
            if self.over_ms >= _WINDOW_MS:
                self.gained //= 2
                self.over_ms //= 2
                self.dispatches //= 2
        self.last = virtual
        self.backlogged = backlogged


_STILL = _Speed()
"""Of a tier that was never looked at; not to be changed."""


class Waits:
    """Measures, from one look to the next, how fast those who wait are served. What is old
    counts half after ten to twenty seconds of backlog; time without a backlog says nothing and
    does not count.

    Args:
        order: who waits.
        tiers: read anew at each look.
    """

    def __init__(self, order: Backlogs, tiers: Mapping[str, TierConfig]) -> None:
        self._order = order
        self._tiers = tiers
        self._speeds: dict[str, _Speed] = {}
        self._leads: dict[str, tuple[int, int]] = {}
        self._later: dict[str, int] = {}
        self._newcomers = 0
        self._looked_ms: int | None = None
        self._backlogged = False
        self._slots = 0
        self._service_ms = 0
        self._room = False
        self._slot_ms = 0
        self._dispatches = 0

    def observe(self, *, slots: int, room: bool, service_ms: int, now_ms: int) -> None:
        """Look at the queue, some times a second.

        Args:
            slots: places on ready workers, in use or not.
            room: whether one is free.
            service_ms: how long a run holds one, where nothing better is known.
        """
        elapsed_ms = 0
        if self._looked_ms is not None:
            elapsed_ms = min(max(0, now_ms - self._looked_ms), _STEP_MAX_MS)
        self._looked_ms = now_ms
        backlogged = len(self._order) > 0
        if self._backlogged and backlogged:
            self._slot_ms += elapsed_ms * slots
            if self._slot_ms >= _WINDOW_MS * max(1, slots):
                self._slot_ms //= 2
                self._dispatches //= 2
                self._newcomers //= 2
        for name in self._tiers:
            speed = self._speeds.setdefault(name, _Speed())
            waits = self._order.waiting(name) > 0
            speed.observe(self._order.virtual(name), elapsed_ms, backlogged=waits)
            self._leads[name] = self._order.lead(name, "")
        self._later.clear()
        self._backlogged = backlogged
        self._slots, self._room, self._service_ms = slots, room, service_ms

    def entered(self, run: Run) -> None:
        """The run waits in the order now. If it is its user's only one, and its user was not
        served lately, it goes before those of users who were, and newcomers go behind it."""
        alone = self._order.counts(run.spec.tier, run.spec.user_id)[0] <= 1
        if alone and self._order.lag(run.spec.tier, run.spec.user_id) <= run.cost:
            self._newcomers += self._backlogged
            self._later[run.spec.tier] = self._later.get(run.spec.tier, 0) + 1

    def dispatched(self, run: Run) -> None:
        """The run has got a place."""
        self._dispatches += self._backlogged
        self._later[run.spec.tier] = self._later.get(run.spec.tier, 0) - 1
        speed = self._speeds.get(run.spec.tier)
        if speed is not None:
            speed.dispatches += speed.backlogged

    def turn_us(self, tier: str) -> int:
        """Return the time between two dispatches of the tier while it waits, in microseconds."""
        speed = self._speeds.get(tier, _STILL)
        assumed_us = _BELIEVED * self._gap_us()
        return (speed.over_ms * 1_000 + assumed_us) // (speed.dispatches + _BELIEVED)

    def _gap_us(self) -> int:
        """Return the time between two dispatches while runs wait."""
        span_us = (self._slot_ms + _BELIEVED * self._service_ms) * 1_000
        return span_us // ((self._dispatches + _BELIEVED) * max(1, self._slots))

    def wait_ms(self, tier: str, user_id: str = "") -> int | None:
        """Return how long a run of this user ('': one who has nothing here) would wait for a
        place, None while there are no workers: nobody can say."""
        if self._slots == 0:
            return None
        waiting = len(self._order)
        if waiting == 0 and self._room:
            return 0
        lag = self._order.lag(tier, user_id) if user_id else 0
        if lag:
            within, ahead = self._order.lead(tier, user_id)
            return self._beyond(tier, lag, within + 1, ahead + 1)
        within, ahead = self._leads.get(tier, (waiting, waiting))
        later = self._later.get(tier, 0)
        within = max(0, min(within + later, self._order.waiting(tier)))
        return self._served_ms(tier, within + 1, max(0, min(ahead + later, waiting)) + 1)

    def place_ms(self, tier: str, lag: int, places: tuple[int, int]) -> int | None:
        """Return how long a waiting run will wait yet whose start tag lies `lag` beyond the
        tier's virtual time; None while there are no workers.

        Args:
            places: the run's within its tier, and among all, by estimate; 1 is next.
        """
        if self._slots == 0:
            return None
        within, place = places
        return (
            self._beyond(tier, lag, within, place) if lag else self._served_ms(tier, within, place)
        )

    def _served_ms(self, tier: str, within: int, place: int) -> int:
        """Return how long it takes until so many of the tier, and of all, are served: better
        tiers' runs that come meanwhile go first, which the tier's own pace tells."""
        return max(place * self._gap_us(), within * self.turn_us(tier)) // 1_000

    def _beyond(self, tier: str, lag: int, within: int, place: int) -> int:
        """Return the wait of a run whose tag lies beyond the virtual time: newcomers begin
        there and go before it, so only the places that they leave bring it nearer. The speed
        of the virtual time says the same where it moves; it stands while newcomers are many."""
        served_ms = self._served_ms(tier, within, place)
        left = max(self._dispatches - self._newcomers, self._dispatches // _LEAVE_MIN, 1)
        by_place_ms = served_ms * max(1, self._dispatches) // left
        speed = self._speeds.get(tier)
        if speed is None or speed.gained == 0:
            return by_place_ms
        return max(served_ms, min(by_place_ms, lag * speed.over_ms // speed.gained))

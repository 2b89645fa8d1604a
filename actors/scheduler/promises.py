"""What refused users were told: come again in so many seconds. Pure.

A book of places, each given once: whoever is refused gets the next one of a line, and the time
that is named is when it comes up. So no two are told the same moment for the same place, and
who comes when told is let in.
"""

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush

import msgspec

_MS_US = 1_000
_SECOND_MS = 1_000
_WAIT_MAX_MS = 3_600_000
_PER_USER_MAX = 256
_LAPSE_MS = 15_000
_CALL_MS = 5_000


class PromiseState(msgspec.Struct, frozen=True, array_like=True):
    """When a user was told to come, as it is stored; no times: all are kept or have lapsed."""

    user_id: str
    due_ms: tuple[int, ...]


class Promises:
    """The promises of a pool, at most `size` of them, 256 a user, an hour ahead. Beyond that a
    time is named and not remembered: who was told it is judged like a newcomer."""

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._due: dict[str, list[int]] = {}
        self._called: dict[str, list[int]] = {}
        self._lapses: list[tuple[int, str]] = []
        self._next_us: dict[str, int] = {}
        self._count = 0
        self._touched: dict[str, None] | None = None

    def __len__(self) -> int:
        return self._count

    def next_ms(self, line: str, now_ms: int) -> int:
        """Return in how long the last place that was given in this line comes up, 0 if it has."""
        return max(0, self._next_us.get(line, 0) // _MS_US - now_ms)

    def give(
        self,
        user_id: str,
        now_ms: int,
        *,
        line: str,
        after_ms: int,
        turn_us: int,
        not_before_ms: int = 0,
    ) -> int:
        """Promise the user the next place, and return when to come for it, in milliseconds from
        now: whole seconds, 1 s to 1 h.

        Args:
            line: those who wait for the same places; '': the user waits for nobody else.
            after_ms: when the line's first place comes up.
            turn_us: how long one place after the other takes, in microseconds.
            not_before_ms: when the user may come at the earliest.
        """
        dues = self._due.setdefault(user_id, [])
        due_us = (now_ms + after_ms) * _MS_US + turn_us
        latest_us = (now_ms + _WAIT_MAX_MS) * _MS_US
        if line:
            due_us = max(due_us, self._next_us.get(line, 0) + turn_us)
            self._next_us[line] = min(due_us, latest_us)
        if dues:
            apart_us = turn_us * len(self._due) if line else turn_us
            due_us = max(due_us, dues[-1] * _MS_US + apart_us)
        due_us = max(due_us, (now_ms + not_before_ms) * _MS_US)
        whole_s = -(-(min(due_us, latest_us) - now_ms * _MS_US) // (_SECOND_MS * _MS_US))
        wait_ms = max(1, whole_s) * _SECOND_MS
        if due_us <= latest_us and self._count < self._size and len(dues) < _PER_USER_MAX:
            self._remember(user_id, dues, now_ms + wait_ms)
        elif not dues:
            del self._due[user_id]
        return wait_ms

    def reserve(self, line: str, now_ms: int, turn_us: int) -> int:
        """Take the next place of the line for somebody who waits for something else as well,
        and return in how many milliseconds it comes up."""
        place_us = max(self._next_us.get(line, 0), now_ms * _MS_US) + turn_us
        self._next_us[line] = min(place_us, (now_ms + _WAIT_MAX_MS) * _MS_US)
        return -(-place_us // _MS_US) - now_ms

    def call(self, user_id: str, now_ms: int) -> bool:
        """Say whether a promise to the user is due; it is set aside for the prompt that is asked
        for now, which is submitted within 5 s."""
        dues = self._due.get(user_id)
        if dues is None or dues[0] > now_ms:
            return False
        self._drop(user_id, dues)
        self._called.setdefault(user_id, []).append(now_ms + _CALL_MS)
        heappush(self._lapses, (now_ms + _CALL_MS, user_id))
        return True

    def keep(self, user_id: str, now_ms: int) -> bool:
        """Say whether a promise to the user was called or is due, and count it as kept."""
        called = self._called.get(user_id)
        if called is not None:
            self._uncall(user_id, called)
            return True
        dues = self._due.get(user_id)
        if dues is None or dues[0] > now_ms:
            return False
        self._drop(user_id, dues)
        return True

    def lapse(self, now_ms: int) -> None:
        """Forget promises whose holders did not come."""
        while self._lapses and self._lapses[0][0] <= now_ms:
            lapse_ms, user_id = heappop(self._lapses)
            dues = self._due.get(user_id)
            if dues and dues[0] <= lapse_ms - _LAPSE_MS:
                self._drop(user_id, dues)
            called = self._called.get(user_id)
            if called and called[0] <= lapse_ms:
                self._uncall(user_id, called)

    # durability

    def track(self) -> None:
        """Remember what changes from now on, for `changes`."""
        self._touched = {}

    def changes(self) -> tuple[PromiseState, ...]:
        """Return what users were promised whose promises have changed since the last call."""
        changed = tuple(self._state(user_id) for user_id in self._touched or ())
        if self._touched is not None:
            self._touched.clear()
        return changed

    def states(self) -> Iterator[PromiseState]:
        """Yield all promises of now, each user's as they are when their turn comes."""
        return (self._state(user_id) for user_id in list(self._due))

    @property
    def lines(self) -> Mapping[str, int]:
        """When each line's last place comes up, in microseconds."""
        return self._next_us

    def restore(self, lines: Mapping[str, int], states: Iterable[PromiseState]) -> None:
        """Begin with what an earlier scheduler has promised."""
        self._next_us.update(lines)
        for state in states:
            for due_ms in state.due_ms:
                self._remember(state.user_id, self._due.setdefault(state.user_id, []), due_ms)

    def _state(self, user_id: str) -> PromiseState:
        return PromiseState(user_id, tuple(self._due.get(user_id, ())))

    def _remember(self, user_id: str, dues: list[int], due_ms: int) -> None:
        insort(dues, due_ms)
        self._count += 1
        heappush(self._lapses, (due_ms + _LAPSE_MS, user_id))
        self._touch(user_id)

    def _touch(self, user_id: str) -> None:
        if self._touched is not None:
            self._touched[user_id] = None

    def _drop(self, user_id: str, dues: list[int]) -> None:
        dues.pop(0)
        self._count -= 1
        self._touch(user_id)
        if not dues:
            del self._due[user_id]

    def _uncall(self, user_id: str, called: list[int]) -> None:
        called.pop(0)
        if not called:
            del self._called[user_id]

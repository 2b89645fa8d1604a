"""What refused users were told: come again in so many seconds. Pure.

Who obeys is let in, so no two are told the same moment for the same place: a promise counts as
waiting until it is kept or has lapsed.
"""

from bisect import insort
from heapq import heappop, heappush

_PER_USER_MAX = 256
_LAPSE_MS = 15_000


class Promises:
    """The promises of a pool, at most `size` of them, 256 a user; more are not remembered, and
    who was given one is judged like a newcomer."""

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._due: dict[str, list[int]] = {}
        self._lapses: list[tuple[int, str]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, user_id: str) -> int:
        """Return how many the user has."""
        return len(self._due.get(user_id, ()))

    def give(self, user_id: str, due_ms: int) -> None:
        """Promise the user a place from `due_ms` on, for 15 s."""
        dues = self._due.setdefault(user_id, [])
        if self._count >= self._size or len(dues) >= _PER_USER_MAX:
            if not dues:
                del self._due[user_id]
            return
        insort(dues, due_ms)
        self._count += 1
        heappush(self._lapses, (due_ms + _LAPSE_MS, user_id))

    def due(self, user_id: str, now_ms: int) -> bool:
        """Say whether a promise to the user is due."""
        dues = self._due.get(user_id)
        return dues is not None and dues[0] <= now_ms

    def keep(self, user_id: str, now_ms: int) -> bool:
        """Say whether a promise to the user is due, and count it as kept."""
        if not self.due(user_id, now_ms):
            return False
        self._drop(user_id, self._due[user_id])
        return True

    def lapse(self, now_ms: int) -> None:
        """Forget promises whose holders did not come."""
        while self._lapses and self._lapses[0][0] <= now_ms:
            lapse_ms, user_id = heappop(self._lapses)
            dues = self._due.get(user_id)
            if dues and dues[0] <= lapse_ms - _LAPSE_MS:
                self._drop(user_id, dues)

    def _drop(self, user_id: str, dues: list[int]) -> None:
        dues.pop(0)
        self._count -= 1
        if not dues:
            del self._due[user_id]

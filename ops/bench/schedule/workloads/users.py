"""Who owns a chat, by a stated, seeded rule."""

import bisect
import itertools
import random


class ZipfUsers:
    """Draws the owner of each new chat among `count` users, the k-th with a chance in
    proportion to k^-s."""

    def __init__(self, count: int, s: float, chance: random.Random) -> None:
        self._ladder = list(itertools.accumulate((k + 1) ** -s for k in range(count)))
        self._chance = chance
        self._owners: dict[str, str] = {}

    def user_of(self, chat: str) -> str:
        """Return the chat's owner, the same each time."""
        if chat not in self._owners:
            at = self._chance.random() * self._ladder[-1]
            self._owners[chat] = f"user-{bisect.bisect_left(self._ladder, at):03d}"
        return self._owners[chat]

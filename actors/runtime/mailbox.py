"""Bounded mailboxes that say what happens when they are full."""

import asyncio
from collections import deque
from enum import Enum
from typing import Generic, TypeVar

from actors.runtime import metrics

T = TypeVar("T")


class WhenFull(Enum):
    """What a full mailbox does with one item more."""

    REFUSE = "refuse"
    """`put` returns False; the item is the sender's to answer for."""

    DROP_OLDEST = "drop_oldest"
    """The oldest item goes: for states of which only the newest counts."""

    BLOCK = "block"
    """`put_wait` waits; `put` refuses, since it can't wait."""


class Mailbox(Generic[T]):
    """Items for one receiver, first in first out, at most `limit` of them.

    Any number of senders, one receiver, one event loop. `name` labels the metrics.
    """

    def __init__(self, name: str, limit: int, when_full: WhenFull = WhenFull.REFUSE) -> None:
        self._items: deque[T] = deque()
        self._limit = limit
        self._when_full = when_full
        self._arrival: asyncio.Future[None] | None = None
        self._room: deque[asyncio.Future[None]] = deque()
        self._depth = metrics.mailbox_depth.labels(name)
        self._refused = metrics.mailbox_refused.labels(name)

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Add an item; False if it was refused. Never waits."""
        if len(self._items) >= self._limit:
            self._refused.inc()
            if self._when_full is not WhenFull.DROP_OLDEST:
                return False
            self._items.popleft()
        self._items.append(item)
        self._depth.set(len(self._items))
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
        return True

    async def put_wait(self, item: T) -> None:
        """Add an item when there is room (senders in their order)."""
        while len(self._items) >= self._limit:
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._room.append(room)
            try:
                await room
            finally:
                if room in self._room:
                    self._room.remove(room)
        self.put(item)

    async def get(self) -> T:
        """Remove and return the oldest item; waits for one."""
        while not self._items:
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        return self._take()

    def get_nowait_batch(self, most: int) -> list[T]:
        """Remove and return up to `most` items, oldest first; empty if none wait."""
        return [self._take() for _ in range(min(most, len(self._items)))]

    def _take(self) -> T:
        item = self._items.popleft()
        self._depth.set(len(self._items))
        if self._room:
            room = self._room.popleft()
            if not room.done():
                room.set_result(None)
        return item

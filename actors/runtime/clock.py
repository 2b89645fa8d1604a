"""Clocks: the system's, and one that tests turn by hand."""

import asyncio
import heapq
import itertools
import random
import secrets
import time


class SystemClock:
    """The machine's clocks and entropy."""

    def now_ms(self) -> int:
        """Return wall-clock milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return milliseconds of a clock that never steps, of arbitrary origin."""
        return time.monotonic_ns() // 1_000_000

    def entropy(self, size: int) -> bytes:
        """Return `size` unpredictable bytes."""
        return secrets.token_bytes(size)

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands still until `advance`; its entropy is seeded, so a test repeats.

    `start_ms` is both the wall clock and the monotonic origin. Sleepers wake in the order of
    their deadlines, each before time goes further.
    """

    def __init__(self, start_ms: int = 1_700_000_000_000, seed: int = 0) -> None:
        self._now_ms = float(start_ms)
        self._random = random.Random(seed)
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        """Return the milliseconds that the clock shows."""
        return int(self._now_ms)

    def monotonic_ms(self) -> int:
        """Return the milliseconds that the clock shows."""
        return int(self._now_ms)

    def entropy(self, size: int) -> bytes:
        """Return `size` bytes of the seeded generator."""
        return self._random.randbytes(size)

    async def sleep(self, seconds: float) -> None:
        """Return when the clock has been advanced by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        deadline = self._now_ms + seconds * 1000
        heapq.heappush(self._sleepers, (deadline, next(self._order), woken))
        await woken

    async def advance(self, ms: float) -> None:
        """Let `ms` pass, waking each sleeper at its time and letting it run until it waits."""
        target = self._now_ms + ms
        await settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            self._now_ms, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
                await settle()
        self._now_ms = target
        await settle()


async def settle(turns: int = 30) -> None:
    """Let every ready task run until it waits; `turns` bounds the chain of wake-ups."""
    for _ in range(turns):
        await asyncio.sleep(0)

"""An event loop whose time is a number: it jumps to the next timer when nothing is ready.

No socket, no thread, no clock of the machine: the same program gives the same history.
"""

import asyncio
import random
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
START_MS = 1_700_000_000_000


class Deadlock(Exception):
    """Nothing is ready and no timer is set: the simulated world would wait for ever."""


class _NoSockets(selectors.BaseSelector):
    """Knows the loop's own pipe and reports nothing; waiting moves the time."""

    def __init__(self) -> None:
        self.loop: VirtualTimeLoop | None = None
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, number, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert self.loop is not None
        if timeout is None:
            raise Deadlock
        self.loop.advance(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[fileobj]


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        selector = _NoSockets()
        self._virtual_s = 0.0
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        """Return virtual seconds since the start."""
        return self._virtual_s

    def advance(self, seconds: float) -> None:
        """Move the time on."""
        self._virtual_s += max(0.0, seconds)


class VirtualClock:
    """The clock port on a virtual loop, with seeded entropy."""

    def __init__(self, loop: VirtualTimeLoop, rng: random.Random) -> None:
        self._loop = loop
        self._rng = rng

    def now_ms(self) -> int:
        """Return the virtual wall clock."""
        return START_MS + round(self._loop.time() * 1000)

    def monotonic_ms(self) -> int:
        """Return virtual milliseconds since the start."""
        return round(self._loop.time() * 1000)

    def entropy(self, size: int) -> bytes:
        """Return seeded bytes."""
        return self._rng.randbytes(size)

    async def sleep(self, seconds: float) -> None:
        """Return after virtual `seconds`."""
        await asyncio.sleep(seconds)


def run_virtual(make: "Coroutine[Any, Any, T]", loop: VirtualTimeLoop) -> T:
    """Run one coroutine to its end on `loop` and close it."""
    try:
        return loop.run_until_complete(make)
    finally:
        while leftover := asyncio.all_tasks(loop):
            for task in leftover:
                task.cancel()
            loop.run_until_complete(asyncio.wait(leftover))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

"""An event loop whose time is a number: it jumps to the next timer when nothing is ready.

No socket, no thread, no clock of the machine: the same program gives the same history. The
callbacks and timers of one simulated process can be held back, as SIGSTOP would.
"""

import asyncio
import heapq
import random
import selectors
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")
START_MS = 1_700_000_000_000

PROCESS: ContextVar[str] = ContextVar("PROCESS", default="")
"""The simulated process that a callback belongs to; '' is the world's own."""


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
    """See the module. `_ready` and `_scheduled` are the base loop's own queues (CPython 3.11
    to 3.14): what a stopped process has in them is taken out and put back."""

    _ready: Any
    _scheduled: Any

    def __init__(self) -> None:
        selector = _NoSockets()
        self._virtual_s = 0.0
        self._stopped: dict[str, list[asyncio.Handle]] = {}
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        """Return virtual seconds since the start."""
        return self._virtual_s

    def advance(self, seconds: float) -> None:
        """Move the time on."""
        self._virtual_s += max(0.0, seconds)

    def call_soon(  # type: ignore[override]  # the base class's is generic in its arguments
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Run it as soon as may be; for a stopped process, once it goes on."""
        if self._stopped:
            context = context if context is not None else copy_context()
            held = self._stopped.get(context.get(PROCESS, ""))
            if held is not None:
                handle = asyncio.Handle(callback, args, self, context)
                held.append(handle)
                return handle
        return super().call_soon(callback, *args, context=context)

    def stop_process(self, name: str) -> None:
        """Let nothing of this process run until `resume_process`."""
        if name in self._stopped:
            return
        held: list[asyncio.Handle] = []
        for queue in (self._ready, self._scheduled):
            kept: list[asyncio.Handle] = []
            for handle in queue:
                mine = handle._context.get(PROCESS, "") == name
                (held if mine else kept).append(handle)
            queue.clear()
            queue.extend(kept)
        heapq.heapify(self._scheduled)
        self._stopped[name] = held

    def resume_process(self, name: str) -> None:
        """Let the process go on: what was due meanwhile is due now."""
        for handle in self._stopped.pop(name, ()):
            if isinstance(handle, asyncio.TimerHandle):
                heapq.heappush(self._scheduled, handle)
            else:
                self._ready.append(handle)


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

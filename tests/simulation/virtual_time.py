"""An event loop whose time is a number: it jumps to the next timer when nothing is ready.

No socket, no thread, no clock of the machine: the same program gives the same history. The
callbacks and timers of one simulated process can be held back, as SIGSTOP would.
"""

import asyncio
import heapq
import itertools
import random
import selectors
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")
START_MS = 1_700_000_000_000

PROCESS: ContextVar[str] = ContextVar("PROCESS", default="")
"""The simulated process that a callback belongs to; '' is the world's own."""


LIMIT_S = 3_600.0
"""Virtual time by which every story has ended: faults last seconds, calm a few minutes."""


class Deadlock(Exception):
    """Nothing is ready and no timer is set: the simulated world would wait for ever."""


class Endless(Exception):
    """The simulated world goes on past `LIMIT_S`: something in it never ends."""


class _NoSockets(selectors.BaseSelector):
    """Knows the loop's own pipe and reports nothing."""

    def __init__(self) -> None:
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, number, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:  # noqa: ARG002
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[fileobj]


class _Call:
    """What is to be called, now or (`when`) later: a handle without what the base class's looks
    after, which takes longer than the call. The loop orders timers by their place in its heap,
    so they compare nothing."""

    __slots__ = ("args", "callback", "context", "gone", "when_s")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context,
        when_s: float = 0.0,
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.when_s = when_s
        self.gone = False

    def cancel(self) -> None:
        """Let it not run: the loop passes over it when its time has come."""
        self.gone = True

    def cancelled(self) -> bool:
        """Whether it will not run."""
        return self.gone

    def when(self) -> float:
        """Return the virtual time of a timer, in seconds."""
        return self.when_s


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """See the module. Of the base loop it uses what futures and tasks are given (CPython 3.11
    to 3.14); the queue of callbacks and the heap of timers are its own, without what a loop
    on sockets and threads must look after, which takes most of a base loop's time."""

    _ready: Any
    _stopping: bool

    def __init__(self) -> None:
        selector = _NoSockets()
        self._virtual_s = 0.0
        self._numbers = itertools.count()
        self._timers: list[tuple[float, int, _Call]] = []
        self._stopped: dict[str, tuple[list[_Call], list[Any]]] = {}
        super().__init__(selector)

    def time(self) -> float:
        """Return virtual seconds since the start."""
        return self._virtual_s

    def call_soon(  # type: ignore[override]  # returns a handle of its own
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Call:
        """Run it as soon as may be; for a stopped process, once it goes on."""
        if context is None:
            context = copy_context()
        call = _Call(callback, args, context)
        if self._stopped:
            held = self._stopped.get(context.get(PROCESS, ""))
            if held is not None:
                held[0].append(call)
                return call
        self._ready.append(call)
        return call

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Call:
        """Run it as soon as may be: the end of a generator that nobody holds any more."""
        call = _Call(callback, args, copy_context() if context is None else context)
        self._ready.append(call)
        return call

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> _Call:
        """Run it after virtual `delay` seconds."""
        return self.call_at(self._virtual_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> _Call:
        """Run it when the virtual time is `when`."""
        call = _Call(callback, args, copy_context() if context is None else context, when)
        heapq.heappush(self._timers, (when, next(self._numbers), call))
        return call

    def _run_once(self) -> None:
        """Run what is ready until the loop is told to stop; whenever nothing is, let the time
        jump to the next timer before."""
        ready, timers, pop = self._ready, self._timers, heapq.heappop
        while not self._stopping:
            while timers and timers[0][2].gone:
                pop(timers)
            if not ready:
                self._jump()
            while timers and timers[0][0] <= self._virtual_s:
                ready.append(pop(timers)[2])
            for _ in range(len(ready)):
                if not ready:  # a process was stopped meanwhile
                    break
                call = ready.popleft()
                if call.gone:
                    continue
                try:
                    call.context.run(call.callback, *call.args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - as the base loop's handles do
                    self.call_exception_handler({"message": "in a callback", "exception": error})

    def _jump(self) -> None:
        """Let the time be that of the next timer."""
        if not self._timers:
            raise Deadlock
        self._virtual_s = max(self._virtual_s, self._timers[0][0])
        if self._virtual_s > LIMIT_S:
            raise Endless

    def stop_process(self, name: str) -> None:
        """Let nothing of this process run until `resume_process`."""
        if name in self._stopped:
            return

        def mine(call: _Call) -> bool:
            return call.context.get(PROCESS, "") == name

        soon = [call for call in self._ready if mine(call)]
        later = [timer for timer in self._timers if mine(timer[2])]
        kept = [call for call in self._ready if not mine(call)]
        self._ready.clear()
        self._ready.extend(kept)
        self._timers[:] = [timer for timer in self._timers if not mine(timer[2])]
        heapq.heapify(self._timers)
        self._stopped[name] = soon, later

    def resume_all(self) -> None:
        """Let every process go on."""
        for name in list(self._stopped):
            self.resume_process(name)

    def resume_process(self, name: str) -> None:
        """Let the process go on: what was due meanwhile is due now."""
        soon, later = self._stopped.pop(name, ((), ()))
        self._ready.extend(soon)
        for timer in later:
            heapq.heappush(self._timers, timer)


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

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        """Return after virtual `seconds`."""
        return asyncio.sleep(seconds)


def run_virtual(make: "Coroutine[Any, Any, T]", loop: VirtualTimeLoop) -> T:
    """Run one coroutine to its end on `loop` and close it, with whatever it left behind."""
    try:
        return loop.run_until_complete(make)
    finally:
        loop.resume_all()
        while leftover := asyncio.all_tasks(loop):
            for task in leftover:
                task.cancel()
            loop.run_until_complete(asyncio.wait(leftover))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

"""The host of a process: starts actors in order, restarts what crashes, stops in reverse.

The ways of OTP's supervisor (one for one), with its restart intensity: more crashes than
`max_restarts` within `period_s`, and the host gives up, for its own supervisor to decide.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from actors.runtime import metrics
from actors.runtime.clock import SystemClock
from actors.runtime.failure import on_failure
from actors.runtime.racing import first_of
from contracts.errors import ParleyError
from contracts.ports.clock import Clock

_log = structlog.get_logger()


class Actor(Protocol):
    """What a host runs."""

    async def run(self) -> None:
        """Work until `stop` was called; anything raised is a crash."""
        ...

    async def stop(self) -> None:
        """Finish in order; `run` returns soon after."""
        ...


@dataclass(frozen=True, slots=True)
class Child:
    """A place in the host: `start` makes the actor, anew after each crash."""

    name: str
    start: Callable[[], Awaitable[Actor]]


@dataclass(frozen=True, slots=True)
class Intensity:
    """More than `max_restarts` crashes of all children within `period_s`: give up."""

    max_restarts: int = 5
    period_s: float = 30.0


class TooManyCrashes(ParleyError):
    """The host gave up; its cause is the last crash."""


class _Place:
    """A child's actor of the moment."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.actor: Actor | None = None
        self.begun = False
        self.done = asyncio.Event()


class Host:
    """Runs its children until `stop`, or until they crash too often.

    Args:
        children: started in this order, each before the next; stopped in reverse.
        intensity: how many crashes are borne.
        pause_s: before a crashed child is started again.
    """

    def __init__(
        self,
        children: Sequence[Child],
        intensity: Intensity | None = None,
        *,
        pause_s: float = 0.1,
        clock: Clock | None = None,
    ) -> None:
        self._places = [_Place(child) for child in children]
        self._intensity = intensity or Intensity()
        self._pause_s = pause_s
        self._clock = clock or SystemClock()
        self._crashes_ms: deque[int] = deque()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Return after `stop`, when all have stopped. Raises TooManyCrashes, or what the
        first start of a child raised, with the other children stopped."""
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                try:
                    for place in self._places:
                        if self._stopping.is_set():
                            break
                        place.begun = True
                        started = asyncio.get_running_loop().create_future()
                        tasks.create_task(self._keep(place, started), name=place.child.name)
                        await started
                    await self._stopping.wait()
                finally:
                    await self._stop_all()
        except* ParleyError as group:
            failure = group.exceptions[0]
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Ask the host to stop its children and return from `run`. May be called twice."""
        self._stopping.set()

    async def _stop_all(self) -> None:
        self._stopping.set()
        for place in reversed(self._places):
            if place.actor is not None:
                await place.actor.stop()
            if place.begun:
                await place.done.wait()

    async def _keep(self, place: _Place, started: "asyncio.Future[None]") -> None:
        """Start, run and restart one child; `started` tells of the first start."""
        try:
            while not self._stopping.is_set():
                crash = await self._live(place, started)
                if crash is None:
                    return
                metrics.actor_restarts.labels(place.child.name).inc()
                _log.error("actor crashed", actor=place.child.name, exc_info=crash)
                self._count(place, crash)
                await first_of(self._stopping.wait(), self._clock.sleep(self._pause_s))
        finally:
            place.done.set()
            started.cancel()

    async def _live(self, place: _Place, started: "asyncio.Future[None]") -> Exception | None:
        """Live one actor's life; return what ended it, None if it was told to stop."""
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[Exception] = loop.create_future()

        def fail(error: Exception) -> None:
            if not failed.done():
                failed.set_result(error)

        on_failure.set(fail)
        try:
            actor = await place.child.start()
        except ParleyError as error:
            if not started.done():
                started.set_exception(error)
                return None
            return error
        place.actor = actor
        if not started.done():
            started.set_result(None)
        running = loop.create_task(actor.run(), name=place.child.name)
        waits: list[asyncio.Future[Any]] = [running, failed]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return _crash(running, failed)
        finally:
            place.actor = None
            failed.cancel()
            if not running.done():
                running.cancel()
                await asyncio.wait([running])

    def _count(self, place: _Place, crash: Exception) -> None:
        now_ms = self._clock.monotonic_ms()
        self._crashes_ms.append(now_ms)
        while self._crashes_ms[0] < now_ms - self._intensity.period_s * 1000:
            self._crashes_ms.popleft()
        if len(self._crashes_ms) > self._intensity.max_restarts:
            raise TooManyCrashes(f"{place.child.name} and others crash too often") from crash


def _crash(running: "asyncio.Task[None]", failed: "asyncio.Future[Exception]") -> Exception | None:
    """Return what an actor crashed with; a task that was cancelled from within counts."""
    if failed.done():
        return failed.result()
    if running.cancelled():
        return asyncio.InvalidStateError("the actor was cancelled")
    error = running.exception()
    if error is not None and not isinstance(error, Exception):
        raise error
    return error

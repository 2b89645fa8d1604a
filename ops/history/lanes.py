"""A lane: threads that work off a bounded queue for coroutines on any event loop.

SQLite blocks, so each connection lives in a thread of a lane. The writing lane has one
thread and takes all that waits as one batch: that is the group commit.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from contracts.errors import HistoryRefused

C = TypeVar("C")
R = TypeVar("R")


@dataclass(slots=True)
class Job(Generic[C]):
    """One call that waits for its turn: `work` runs on the thread's connection, and then
    either `result` or `error` is set."""

    work: Callable[[C], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Lane(Generic[C]):
    """`threads` threads, each with a connection of its own, working off one queue.

    `execute(connection, batch)` runs the work of up to `batch_max` jobs, and sets each job's
    result or error. At most `limit` jobs wait; one more gets HistoryRefused.
    """

    name: str
    connect: Callable[[], C]
    disconnect: Callable[[C], None]
    execute: Callable[[C, Sequence[Job[C]]], None]
    threads: int = 1
    batch_max: int = 1
    limit: int = 4096
    _waiting: deque[Job[C]] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _running: list[threading.Thread] = field(default_factory=list)
    _open: bool = False

    def start(self) -> None:
        """Connect and start the threads; what `connect` raises comes out of here."""
        connections = [self.connect() for _ in range(self.threads)]
        self._open = True
        for number, connection in enumerate(connections):
            thread = threading.Thread(
                target=self._work, args=(connection,), name=f"{self.name}-{number}", daemon=True
            )
            self._running.append(thread)
            thread.start()

    def stop(self) -> None:
        """Finish what waits, then disconnect and end the threads; blocks until then."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        for thread in self._running:
            thread.join()
        self._running.clear()

    async def call(self, work: Callable[[C], R]) -> R:
        """Return what `work` returns on one of the connections, or raise what it raises.

        Raises HistoryRefused if the lane is closed or full.
        """
        loop = asyncio.get_running_loop()
        job: Job[C] = Job(work, loop, loop.create_future())
        with self._changed:
            if not self._open:
                raise HistoryRefused("the history file is not open")
            if len(self._waiting) >= self.limit:
                raise HistoryRefused(f"{self.limit} calls already wait for the history file")
            self._waiting.append(job)
            self._changed.notify()
        result: R = await job.future
        return result

    def _work(self, connection: C) -> None:
        while batch := self._next_batch():
            self.execute(connection, batch)
            _resolve(batch)
        self.disconnect(connection)

    def _next_batch(self) -> list[Job[C]]:
        with self._changed:
            while not self._waiting and self._open:
                self._changed.wait()
            size = min(len(self._waiting), self.batch_max)
            return [self._waiting.popleft() for _ in range(size)]


def _resolve(batch: Sequence[Job[Any]]) -> None:
    """Hand the results back, waking each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Job[Any]]] = {}
    for job in batch:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, jobs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, jobs)
        except RuntimeError:
            # The loop was closed: nobody waits for these any more.
            continue


def _settle(jobs: Sequence[Job[Any]]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)

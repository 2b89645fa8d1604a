"""A thread that keeps what it started: the kernel ties an engine's processes to it."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Keeper:
    """One thread that does one thing after another, and lives until `dismiss`.

    It is a daemon: a process that is told to end while an engine is still loading does not
    wait for it.
    """

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    async def do(self, job: Callable[[], T]) -> T:
        """Return or raise what `job` does, in the thread. Giving up the wait does not stop
        the job."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()

        def settle(value: T | None, error: Exception | None) -> None:
            if outcome.done():
                return
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(value)  # type: ignore[arg-type]

        def work() -> None:
            value: T | None = None
            error: Exception | None = None
            try:
                value = job()
            except Exception as raised:  # noqa: BLE001 - it is raised again where it is awaited
                error = raised
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, value, error)

        if not self._thread.is_alive():
            self._thread.start()
        self._work.put(work)
        return await outcome

    def dismiss(self) -> None:
        """Let the thread end after what it is doing."""
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

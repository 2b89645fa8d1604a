"""Noticing that a file has changed, by looking at it every second."""

import asyncio
from collections.abc import Callable
from pathlib import Path

_LOOK_S = 1.0


class FileWatch:
    """Calls `changed` after each change of a file: other content, a new file in its place, or
    one that was not there. An actor of a host; it looks until it is stopped."""

    def __init__(self, path: Path, changed: Callable[[], None], look_s: float = _LOOK_S) -> None:
        self._path = path
        self._changed = changed
        self._look_s = look_s
        self._stopping = asyncio.Event()
        self._seen = self._look()

    async def run(self) -> None:
        """Look until `stop`."""
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(self._look_s):
                    await self._stopping.wait()
            except TimeoutError:
                self._notice()

    async def stop(self) -> None:
        """End now."""
        self._stopping.set()

    def _notice(self) -> None:
        now = self._look()
        if now not in (None, self._seen):
            self._seen = now
            self._changed()

    def _look(self) -> tuple[int, int, int] | None:
        """Return what tells one version of the file from the next, None without a file."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

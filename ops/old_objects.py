"""Keeping the collector of reference cycles from objects that live long.

A full collection looks at every object: with 100,000 runs queued that takes a second, in which
nobody is answered and no lease renewed. Runs are freed by their counts alone.
"""

import asyncio
import gc
import time

_SET_ASIDE_S = 1.0
_WHOLE_S = 600.0
_WHOLE_MAX = 300_000
_NEVER = 1 << 30


class OldObjects:
    """Sets aside, every second, what the collector need not look at any more, and keeps it from
    full collections of its own accord, which come in the midst of a second in which a queue is
    read; collects all every ten minutes unless that are more than 300,000 objects. An actor of a
    host, of which a process has one at most."""

    def __init__(
        self,
        set_aside_s: float = _SET_ASIDE_S,
        whole_s: float = _WHOLE_S,
        whole_max: int = _WHOLE_MAX,
    ) -> None:
        self._set_aside_s = set_aside_s
        self._whole_s = whole_s
        self._whole_max = whole_max
        self._collected_s = time.monotonic()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop`; then the collector looks at everything again."""
        gc.collect()
        gc.freeze()
        thresholds = gc.get_threshold()
        gc.set_threshold(*thresholds[:2], _NEVER)
        try:
            while not self._stopping.is_set():
                try:
                    async with asyncio.timeout(self._set_aside_s):
                        await self._stopping.wait()
                except TimeoutError:
                    self._set_aside()
        finally:
            gc.set_threshold(*thresholds)
            gc.unfreeze()

    async def stop(self) -> None:
        """End now."""
        self._stopping.set()

    def _set_aside(self) -> None:
        now_s = time.monotonic()
        if now_s - self._collected_s >= self._whole_s and gc.get_freeze_count() <= self._whole_max:
            self._collected_s = now_s
            gc.unfreeze()
            gc.collect()
        else:
            gc.collect(1)
        gc.freeze()

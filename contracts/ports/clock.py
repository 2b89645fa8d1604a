"""Time and entropy."""

from typing import Protocol


class Clock(Protocol):
    """Where shells get time and entropy; machines get both inside messages."""

    def now_ms(self) -> int:
        """Return wall-clock milliseconds since 1970."""
        ...

    def monotonic_ms(self) -> int:
        """Return milliseconds of a clock that never steps, of arbitrary origin."""
        ...

    def entropy(self, size: int) -> bytes:
        """Return `size` unpredictable bytes."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...

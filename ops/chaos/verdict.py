"""How a chaos round says that it failed, and how it waits."""

import asyncio
import time
from collections.abc import Callable

_POLL_S = 0.005


class Broken(AssertionError):
    """The stack did what it must never do."""


def require(truth: bool, story: str) -> None:
    """Raise Broken with what happened, unless `truth`."""
    if not truth:
        raise Broken(story)


async def until(condition: Callable[[], object], limit_s: float) -> None:
    """Return when the condition holds. Raises Broken after `limit_s` seconds."""
    deadline = time.monotonic() + limit_s
    while not condition():
        require(time.monotonic() < deadline, f"waited {limit_s} s in vain")
        await asyncio.sleep(_POLL_S)

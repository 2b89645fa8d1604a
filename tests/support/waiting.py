"""Waiting for what must come, with a limit that only a failure reaches."""

import asyncio
from collections.abc import Callable

PATIENCE_S = 20.0


async def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Return when `condition` holds; a test that waits in vain fails with its name."""
    try:
        async with asyncio.timeout(patience_s):
            while not condition():  # noqa: ASYNC110  any condition, of code that knows no event
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"in vain: {condition}") from None

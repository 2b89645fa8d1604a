"""Where an actor's synchronous handlers may fail: the boundary between bus and actor.

A handler runs inside the bus's read loop. If it raises, its actor must end and the bus must
not; so the host leaves a way to fail in the context in which an actor runs, and the bus takes
it along with each handler.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import ParamSpec

P = ParamSpec("P")

on_failure: ContextVar[Callable[[Exception], None] | None] = ContextVar("on_failure", default=None)
"""Set by the host around each child: ends that child with the given error."""


def contained(handler: Callable[P, None]) -> Callable[P, None]:
    """Return `handler` such that what it raises ends the actor that is current now.

    Without a host, the error goes to the event loop's exception handler.
    """
    fail = on_failure.get()

    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            handler(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  supervision boundary: nothing is swallowed
            if fail is not None:
                fail(error)
            else:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "a bus handler failed", "exception": error}
                )

    return run

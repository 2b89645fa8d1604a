"""One more actor of a role on another host, whose network may be cut."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from edge.listening import listen
from ops.chaos.network_host import NoNamespaces
from ops.chaos.operator import PATIENCE_S, Operator
from ops.chaos.stack import RunningStack
from ops.setting_table import Role

_LOOK_S = 0.2
_TAKEN_OVER_S = 3.0
_END_S = 15.0


@asynccontextmanager
async def far_actor(
    stack: RunningStack, role: Role, operator: Operator
) -> AsyncIterator[tuple[str, ...]]:
    """Run one more actor of this role on the stack's other host, `<role>-far`; yields when it
    takes part (a scheduler: decides), with the edges that people should come to: a far one
    before the near. The clients of a far edge are not cut off with it.

    Raises NoNamespaces: the stack has no other host; TimeoutError: the actor does not come.
    """
    if stack.host is None:
        raise NoNamespaces("this stack has one host")
    name = far_name(role)
    with ExitStack() as around:
        edges: tuple[str, ...] = (stack.url,)
        listener = None
        if role == "edge":
            listener = around.enter_context(listen("127.0.0.1", 0))
            edges = (f"http://127.0.0.1:{listener.getsockname()[1]}", stack.url)
        process = stack.beside(role, name, prefix=stack.host.prefix, listener=listener)
        try:
            await until_there(operator, name)
            if role == "scheduler":
                await _until_active(operator, name)
            yield edges
        finally:
            await asyncio.to_thread(_end, process)


def far_name(role: str) -> str:
    """Return the name of the actor of this role on the other host."""
    return f"{role}-far"


async def until_there(operator: Operator, name: str) -> None:
    """Return when an actor of this name takes part. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        while not any(  # noqa: ASYNC110 - another process's state
            actor.id == name and not actor.state.startswith(("0/", "starting"))
            for actor in await operator.actors()
        ):
            await asyncio.sleep(_LOOK_S)


async def _until_active(operator: Operator, name: str) -> None:
    """Return when this scheduler decides: the other is killed until it does."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            known = [actor for actor in await operator.actors() if actor.role == "scheduler"]
            active = [actor for actor in known if actor.state == "active"]
            if [actor.id for actor in active] == [name]:
                return
            for actor in active:
                os.kill(actor.pid, signal.SIGKILL)
            await asyncio.sleep(_TAKEN_OVER_S)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""One more actor of a role on another host, whose network may be cut."""

import asyncio
import itertools
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from edge.listening import listen
from ops.chaos.network_host import NoNamespaces
from ops.chaos.operator import PATIENCE_S, Operator
from ops.chaos.stack import RunningStack
from ops.chaos.verdict import require
from ops.setting_table import Role

_TAKEN_OVER_S = 3.0
_END_S = 15.0
_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class FarActor:
    """Its name, and the edges that people should come to: a far one before the near."""

    name: str
    edges: tuple[str, ...]


@asynccontextmanager
async def far_actor(stack: RunningStack, role: Role, operator: Operator) -> AsyncIterator[FarActor]:
    """Run one more actor of this role on the stack's other host; yields when it takes part (a
    scheduler: decides), and at the end waits until it does again. The clients of a far edge are
    not cut off with it. Each has a name of its own: one that is lost again and again would be
    given nothing more (quarantine).

    Raises NoNamespaces: the stack has no other host; Broken: the actor ended, which a cut network
    is no reason for; TimeoutError: it does not come.
    """
    if stack.host is None:
        raise NoNamespaces("this stack has one host")
    name = f"{role}-far-{next(_NUMBERS)}"
    with ExitStack() as around:
        edges: tuple[str, ...] = (stack.url,)
        listener = None
        if role == "edge":
            listener = around.enter_context(listen("127.0.0.1", 0))
            edges = (f"http://127.0.0.1:{listener.getsockname()[1]}", stack.url)
        process = stack.beside(role, name, prefix=stack.host.prefix, listener=listener)
        try:
            await _until_there(operator, name, process)
            if role == "scheduler":
                await _until_active(operator, name)
            yield FarActor(name, edges)
            await _until_there(operator, name, process)
        finally:
            await asyncio.to_thread(_end, process)


async def _until_there(operator: Operator, name: str, process: "subprocess.Popen[bytes]") -> None:
    """Return when an actor of this name takes part, and has the share that it will have."""
    before = state = ""
    async with asyncio.timeout(PATIENCE_S):
        while not state or state != before or state.startswith(("0/", "starting")):
            before = state
            ended = process.poll()
            require(ended is None, f"{name} ended, with code {ended}")
            actors = await operator.actors()  # takes longer than they take to say something new
            state = next((actor.state for actor in actors if actor.id == name), "")


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

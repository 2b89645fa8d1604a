"""The whole stack as a newcomer starts it, and its parts by process id."""

import os
import shutil
import signal

from ops.chaos.stack import RunningStack
from ops.live import describe_pools, living_actors, operator_bus
from ops.settings import load

_RUNS_MAX = 100


class Stack(RunningStack):
    """`parley up`; which process does what is asked over NATS, in milliseconds, so that a test
    can act in the middle of an answer however busy the machine is."""

    async def actor(self, role: str) -> int:
        """Return the process id of the first actor of a role."""
        async with operator_bus(load({"home": str(self.home)}, {}, {})) as bus:
            return next(row.pid for row in await living_actors(bus) if row.role == role)

    async def writer(self) -> int:
        """Return the process id of the worker that writes; there must be one."""
        async with operator_bus(load({"home": str(self.home)}, {}, {})) as bus:
            [(_, seen)] = await describe_pools(bus, _RUNS_MAX, ("default",))
        writing = {run.worker for run in seen.runs}
        return next(each.pid for each in seen.workers if each.worker in writing)

    async def kill_writer(self) -> None:
        """End the worker that writes as a crash would; the stack brings it back."""
        os.kill(await self.writer(), signal.SIGKILL)


def chromium() -> str | None:
    """Return the machine's Chromium, None if it has none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)

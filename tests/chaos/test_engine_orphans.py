"""kill -9 of the process that owns a vLLM engine leaves nothing behind."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from actors.gpu.orphans import end_processes, engine_processes
from tests.support.waiting import until

pytestmark = [pytest.mark.vllm, pytest.mark.chaos, pytest.mark.timeout(240)]
ROOT = Path(__file__).resolve().parents[2]


class Owner:
    """The process to be killed, and all that it has started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.seen: dict[int, psutil.Process] = {}

    async def says(self, wanted: str) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.look()
            if wanted in line.decode():
                return
        raise AssertionError(f"the owner ended before it said {wanted!r}")

    def look(self) -> list[psutil.Process]:
        for process in engine_processes(self.process.pid):
            self.seen.setdefault(process.pid, process)
        return self.alive()

    def alive(self) -> list[psutil.Process]:
        return [p for p in self.seen.values() if p.is_running() and p.status() != "zombie"]

    async def kill(self) -> None:
        self.look()
        self.process.kill()
        # Not `wait`: it waits for the pipe, which survivors would hold open.
        await until(lambda: self.process.returncode is not None)


@pytest.fixture
async def owner() -> AsyncIterator[Owner]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.engine_owner",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    owner = Owner(process)
    yield owner
    owner.look()
    if process.returncode is None:
        await owner.kill()
    end_processes(owner.alive())
    await process.communicate()


async def test_owner_killed_while_decoding_leaves_nothing(owner: Owner) -> None:
    await owner.says("ready")
    assert len(owner.look()) >= 2
    await owner.kill()
    await until(lambda: not owner.alive())


@pytest.mark.parametrize("processes", [1, 2])
async def test_owner_killed_while_starting_leaves_nothing(owner: Owner, processes: int) -> None:
    await owner.says("Loading")
    await until(lambda: len(owner.look()) >= processes, patience_s=120)
    await owner.kill()
    await until(lambda: not owner.alive())

"""kill -9 of `parley up`, one engine writing and one starting: no process of it survives."""

import asyncio
import signal

import psutil
import pytest

from actors.gpu.orphans import engine_processes
from ops.chaos.stack import RunningStack
from ops.supervision import leftovers
from tests.chaos.scene import PROMPT, scene
from tests.support.families import wait_gone

pytestmark = [
    pytest.mark.chaos, pytest.mark.nats, pytest.mark.vllm, pytest.mark.timeout(480),
]  # fmt: skip


async def test_a_killed_stack_leaves_no_engine_behind(vllm_stack: RunningStack) -> None:
    async with scene(vllm_stack) as at:
        await at.operator.workers_ready(1)
        story = await at.guest.ask(PROMPT, 1_000, stay=False)
        writer = await at.operator.writer_of(story)
        assert engine_processes(writer.pid)
        family = [child.pid for child in psutil.Process(vllm_stack.pid).children(recursive=True)]
        await asyncio.to_thread(vllm_stack.end, signal.SIGKILL)
        await asyncio.to_thread(wait_gone, *family)
        assert not leftovers.find(vllm_stack.home)

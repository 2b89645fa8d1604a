"""SIGSTOP for the writer, its run taken over, SIGCONT: nothing that it then says is heard."""

import asyncio
import os
import signal

import pytest

from ops.chaos.figures import Report
from ops.chaos.stack import RunningStack
from tests.chaos.scene import PROMPT, SOME_ROUNDS, scene

pytestmark = [pytest.mark.chaos, pytest.mark.nats, pytest.mark.timeout(480)]
TOKENS = 200


@pytest.mark.parametrize("wakes", ["while the successor writes", "after the end"])
@pytest.mark.parametrize("round_", range(1, SOME_ROUNDS + 1))
async def test_a_paused_writer_is_never_heard_again(
    sim_stack: RunningStack, report: Report, wakes: str, round_: int
) -> None:
    await pause_writer(sim_stack, report, "simulated", TOKENS, wakes, round_)


@pytest.mark.vllm
@pytest.mark.parametrize("wakes", ["while the successor writes", "after the end"])
async def test_a_paused_vllm_writer_is_never_heard_again(
    vllm_stack: RunningStack, report: Report, wakes: str
) -> None:
    await pause_writer(vllm_stack, report, "vLLM", 1_500, wakes, 1)


async def pause_writer(
    stack: RunningStack, report: Report, engine: str, tokens: int, wakes: str, round_: int
) -> None:
    async with scene(stack) as at:
        expected = await at.undisturbed(tokens)
        await at.operator.workers_ready(2)
        story = await at.guest.ask(PROMPT, tokens)
        writer = await at.operator.hit_writer(story, signal.SIGSTOP, after=10)
        try:
            successor = await at.operator.writer_of(story, other_than=writer.pid)
            assert successor.worker != writer.worker
            before = story.deltas
            await story.reached(before + 3)
            if wakes == "after the end":
                await story.ended()
        finally:
            os.kill(writer.pid, signal.SIGCONT)
        await story.ended()
        await at.operator.idle()
        await asyncio.sleep(0.5)
        late = await at.guest.read(story, after=0)
        assert late is not None and late.events == story.events
        assert story.text == expected
        assert (await at.guest.stored(story))["content"] == expected
        assert story.kinds.count("run.recovered") == 1
        await at.operator.audit(story)
        await at.operator.workers_ready(2)
        report.add(f"SIGSTOP of the writing gpu actor ({engine})", "gap", story.gap_ms, round_)

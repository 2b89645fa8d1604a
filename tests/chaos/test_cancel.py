"""Stop means stop: at any moment after the prompt, whatever the engine."""

import asyncio
import random
import time

import pytest

from ops.chaos.figures import Report
from ops.chaos.stack import RunningStack
from tests.chaos.scene import PROMPT, scene

pytestmark = [pytest.mark.chaos, pytest.mark.nats, pytest.mark.timeout(480)]
TIMES = 20
DELAY_MAX_S = 0.3
TOKENS = 1_000


async def test_a_cancelled_answer_says_nothing_more(
    sim_stack: RunningStack, report: Report, chance: random.Random
) -> None:
    await cancel_often(sim_stack, report, chance, "simulated")


@pytest.mark.vllm
async def test_a_cancelled_vllm_answer_says_nothing_more(
    vllm_stack: RunningStack, report: Report, chance: random.Random
) -> None:
    await cancel_often(vllm_stack, report, chance, "vLLM")


async def cancel_often(
    stack: RunningStack, report: Report, chance: random.Random, engine: str
) -> None:
    async with scene(stack) as at:
        await at.operator.workers_ready(2)
        for round_ in range(1, TIMES + 1):
            story = await at.guest.ask(PROMPT, TOKENS)
            await asyncio.sleep(chance.uniform(0, DELAY_MAX_S))
            asked_s = time.monotonic()
            reply = await at.guest.cancel(story)
            took_ms = round(1000 * (time.monotonic() - asked_s))
            answer = (reply.status_code, reply.json()["status"])
            waited = answer == (202, "cancelling") and took_ms >= 1_990  # as api.md allows
            assert waited or answer == (200, "cancelled")
            await at.operator.idle()
            await story.ended()
            assert story.end == "run.cancelled"
            stored = await at.guest.stored(story)
            assert (stored["status"], stored["content"]) == ("cancelled", story.text)
            again = await at.guest.cancel(story)
            assert (again.status_code, again.json()["status"]) == (200, "cancelled")
            late = await at.guest.read(story, after=0)
            assert late is not None and late.events == story.events
            await at.operator.audit(story)
            report.add(f"cancel ({engine})", "confirmed after", took_ms, round_)

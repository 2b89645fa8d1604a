"""Clients that misbehave: who stops reading is cut off and misses nothing, who floods is refused,
and the others don't notice either."""

import asyncio
from collections import Counter

import pytest

from ops.chaos import rude
from ops.chaos.faults import targets
from ops.chaos.figures import Report
from ops.chaos.stack import RunningStack
from tests.chaos.scene import PROMPT, Scene, exactly_told, scene

pytestmark = [pytest.mark.chaos, pytest.mark.nats, pytest.mark.timeout(480)]
TOKENS = 200


async def test_viewers_who_stop_reading_are_cut_off_and_resume_exactly(
    sim_stack: RunningStack, report: Report
) -> None:
    async with scene(sim_stack) as at:
        expected = await at.undisturbed(TOKENS)
        edge = (await targets(sim_stack, at.operator))["edge"][0]
        gone = asyncio.create_task(rude.stop_reading(sim_stack.url, edge))
        gap_ms = 0
        while not gone.done():
            gap_ms = max(gap_ms, await one_answer(at, expected))
        assert await gone == rude.STALLED
        report.add("viewers stop reading (simulated engine)", "gap of others", gap_ms)


async def test_a_flood_is_refused_as_documented_and_others_do_not_notice(
    sim_stack: RunningStack, report: Report
) -> None:
    async with scene(sim_stack) as at:
        expected = await at.undisturbed(TOKENS)
        stories = [await at.guest.ask(PROMPT, TOKENS) for _ in range(2)]
        answers: Counter[str] = await rude.flood(sim_stack.url)
        report.note(f"flood: {dict(answers)}")
        assert answers["accepted"] and answers["at_capacity"]
        gap_ms = await exactly_told(at, stories, expected)
        report.add("flood (simulated engine)", "gap of others", gap_ms)


async def one_answer(at: Scene, expected: str) -> int:
    story = await (await at.guest.ask(PROMPT, TOKENS)).ended()
    assert (story.end, story.text) == ("run.completed", expected)
    return story.gap_ms

"""NATS gone for seconds, history locked: refusals are quick and clear, what runs goes on."""

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from ops.chaos.figures import Report
from ops.chaos.nats_cluster import NatsNode
from ops.chaos.people import Story
from ops.chaos.stack import RunningStack
from tests.chaos.scene import PROMPT, SIMULATED, Scene, scene
from tests.support.nats import nats_node
from tests.support.waiting import until

pytestmark = [pytest.mark.chaos, pytest.mark.nats, pytest.mark.timeout(480)]
TOKENS = 200
AWAY_S = 3.0


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsNode]:
    with nats_node() as node:
        yield node


@pytest.fixture(scope="module")
def own_nats_stack(
    nats: NatsNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStack]:
    """A stack on a NATS server that nobody restarts for us."""
    stack = RunningStack(tmp_path_factory.mktemp("own-nats"), *SIMULATED, "--nats", nats.url)
    try:
        yield stack.start()
    finally:
        assert stack.end() == 0, stack.said


async def test_while_nats_is_dead_prompts_are_refused_and_streams_wait(
    nats: NatsNode, own_nats_stack: RunningStack, report: Report
) -> None:
    async with scene(own_nats_stack, nats.url) as at:
        expected = await at.undisturbed(TOKENS)
        stories = [await at.guest.ask(PROMPT, TOKENS) for _ in range(3)]
        await stories[-1].reached(20)
        nats.end()
        try:
            await not_ready(at)
            took_ms = await refused(at)
            await asyncio.sleep(AWAY_S)
            assert not any(story.end for story in stories)
        finally:
            nats.start()
        await go_on(at, stories, expected)
        report.add("NATS dead for seconds", "prompt refused after", took_ms)
        report.add("NATS dead for seconds", "gap", max(story.gap_ms for story in stories))


async def test_while_nats_is_paused_prompts_are_refused_and_streams_wait(
    sim_stack: RunningStack, report: Report
) -> None:
    async with scene(sim_stack) as at:
        expected = await at.undisturbed(TOKENS)
        stories = [await at.guest.ask(PROMPT, TOKENS) for _ in range(3)]
        await stories[-1].reached(20)
        paused = await asyncio.to_thread(sim_stack.kill, "nats", signal.SIGSTOP)
        try:
            await not_ready(at)
            took_ms = await refused(at)
        finally:
            os.kill(paused, signal.SIGCONT)
        await go_on(at, stories, expected)
        report.add("NATS paused", "prompt refused after", took_ms)
        report.add("NATS paused", "gap", max(story.gap_ms for story in stories))


async def not_ready(at: Scene) -> None:
    async with asyncio.timeout(30):
        while await at.guest.readiness() != 503:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.05)


async def refused(at: Scene) -> int:
    """Send a prompt that must be refused; return how long that took, in milliseconds."""
    chat_id = await at.guest.chat()
    began_s = time.monotonic()
    reply = await at.guest.post(chat_id, PROMPT, TOKENS)
    took_ms = round(1000 * (time.monotonic() - began_s))
    assert reply.status_code == 503
    assert reply.json()["code"] == "unavailable"
    assert int(reply.headers["retry-after"]) >= 1
    assert await at.guest.messages(chat_id) == []
    return took_ms


async def go_on(at: Scene, stories: list[Story], expected: str) -> None:
    """What was accepted comes to its end; new prompts are answered."""
    async with asyncio.timeout(60):
        while await at.guest.readiness() != 200:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.05)
    stories = [*stories, await at.guest.ask(PROMPT, TOKENS)]
    for story in stories:
        await story.ended()
        assert (story.end, story.text) == ("run.completed", expected)
        assert (await at.guest.stored(story))["content"] == expected
        await at.operator.audit(story)


async def test_while_history_is_locked_a_finished_answer_waits_and_prompts_are_refused(
    sim_stack: RunningStack, report: Report
) -> None:
    """Another process holds SQLite's write lock longer than anybody waits for it."""
    async with scene(sim_stack) as at:
        expected = await at.undisturbed(TOKENS)
        story = await at.guest.ask(PROMPT, TOKENS)
        chat_id = await at.guest.chat()
        await story.reached(100)
        with closing(sqlite3.connect(sim_stack.home / "history.db")) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            await until(lambda: story.text == expected)
            began_s = time.monotonic()
            reply = await at.guest.post(chat_id, PROMPT, TOKENS)
            refused_ms = round(1000 * (time.monotonic() - began_s))
            assert reply.status_code == 503, reply.text
            assert int(reply.headers["retry-after"]) >= 1
            assert story.kinds[-1] == "message.delta", "the end was told before it was durable"
            connection.rollback()
        await story.ended()
        assert story.end == "run.completed"
        assert (await at.guest.stored(story))["content"] == expected
        await at.operator.audit(story)
        await at.operator.idle()
        kept = await at.guest.messages(chat_id)
        assert not kept or (kept[0]["status"], kept[0]["content"]) == ("failed", "")
        report.add("history locked", "prompt refused after", refused_ms)
        again = await at.guest.post(chat_id, PROMPT, TOKENS)
        assert again.status_code == 202
        await at.operator.idle()

"""Leaving, joining and coming back, anywhere: every viewer sees the same story."""

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from ops.chaos.people import Person, person
from ops.chaos.stack import RunningStack
from ops.ports import free_port
from tests.chaos.scene import PROMPT, scene

pytestmark = [pytest.mark.chaos, pytest.mark.nats, pytest.mark.timeout(480)]
TOKENS = 80
VIEWERS = 20
_ROOT = Path(__file__).parents[2]


def start_edge(stack: RunningStack, port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "edge", "--home", str(stack.home), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=_ROOT,
        process_group=0,
    )


@asynccontextmanager
async def another_edge(stack: RunningStack, token: str) -> AsyncIterator[Person]:
    """Run a second edge beside the stack, and bring the guest there."""
    port = free_port()
    process = start_edge(stack, port)
    try:
        url = f"http://127.0.0.1:{port}"
        while not await ready(url):
            assert process.poll() is None, "the second edge ended"
            await asyncio.sleep(0.1)
        async with person(url, token=token) as guest:
            yield guest
    finally:
        process.terminate()
        process.wait(20)


async def ready(url: str) -> bool:
    async with httpx.AsyncClient(base_url=url) as http:
        try:
            return (await http.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False


async def test_a_second_edge_resumes_a_run_from_every_id(sim_stack: RunningStack) -> None:
    async with scene(sim_stack) as at, another_edge(sim_stack, at.guest.token) as elsewhere:
        story = await at.guest.ask(PROMPT, TOKENS)
        joined = [elsewhere.join(story, after=0)]
        while not story.end:
            if len(joined) <= len(story.events):
                joined.append(elsewhere.join(story, after=story.ids[len(joined) - 1]))
            await asyncio.sleep(0.005)
        for after, viewer in enumerate(joined[:-1]):
            await viewer.ended()
            assert viewer.events == story.events[after:]
        for after in range(len(story.events)):
            finished = await elsewhere.read(story, after=after)
            assert finished is not None and finished.events == story.events[after:]
        assert await elsewhere.read(story, after=story.ids[-1]) is None
        assert story.ids == list(range(1, len(story.events) + 1))


async def test_viewers_who_join_at_random_see_the_same(
    sim_stack: RunningStack, chance: random.Random
) -> None:
    async with scene(sim_stack) as at, another_edge(sim_stack, at.guest.token) as elsewhere:
        expected = await at.undisturbed(TOKENS)
        story = await at.guest.ask(PROMPT, TOKENS)
        viewers = []
        for pause_s in sorted(chance.uniform(0, 2.5) for _ in range(VIEWERS)):
            await asyncio.sleep(pause_s / VIEWERS)
            viewers.append(chance.choice((at.guest, elsewhere)).join(story, after=None))
        await story.ended()
        assert story.text == expected
        for viewer in viewers:
            await viewer.ended()
            assert viewer.text == expected
            assert viewer.ids[-1] == story.ids[-1]
            shown = [event for event in viewer.events if event.kind != "message.snapshot"]
            assert all(event == story.events[event.id - 1] for event in shown)


async def test_a_run_goes_on_when_everybody_has_left(sim_stack: RunningStack) -> None:
    async with scene(sim_stack) as at:
        expected = await at.undisturbed(TOKENS)
        left = await at.guest.ask(PROMPT, TOKENS, stay=False)
        assert not left.events
        stored = await at.guest.stored(left)
        assert (stored["status"], stored["content"]) == ("complete", expected)
        late = await at.guest.read(left, after=0)
        assert late is not None and late.text == expected
        await at.operator.audit(late)

"""The network between an actor's host and the rest is cut, one way or both: packets vanish, no
connection is reset. Answers go on elsewhere, and who was cut off writes nothing more."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from ops.chaos import faults
from ops.chaos.far_actor import FarActor, far_actor
from ops.chaos.figures import Report
from ops.chaos.network_host import NetworkHost, NoNamespaces, Way
from ops.chaos.people import Story, person
from ops.chaos.places import running_stack
from ops.chaos.stack import RunningStack
from ops.setting_table import Role
from tests.chaos.scene import (
    DEFAULT_ROUNDS,
    PROMPT,
    ROUNDS,
    SIMULATED,
    Scene,
    exactly_told,
    scene,
)

pytestmark = [pytest.mark.chaos, pytest.mark.nats, pytest.mark.timeout(240)]
TOKENS = 250
CHATS = 6
CHATS_MAX = 20
"""More are begun until one of them is the far actor's."""

CUT_S = 4.0
"""Longer than any lease."""

CUTS: list[tuple[Role, Way]] = [("gpu", "both")]
if ROUNDS > DEFAULT_ROUNDS:
    ways: list[Way] = ["both", "in", "out"]
    CUTS = [(role, way) for role in faults.CUTS for way in ways]


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    try:
        with running_stack("two hosts", SIMULATED, gpus=1, nats_nodes=1) as stack:
            yield stack
    except NoNamespaces as error:
        pytest.skip(str(error))


@dataclass(frozen=True)
class Cut:
    """A host that is about to be cut off, and who looks on."""

    at: Scene
    host: NetworkHost
    role: Role
    way: Way
    far: FarActor
    report: Report

    def tell(self, measure: str, value_ms: int) -> None:
        self.report.add(f"network of the {self.role} host cut ({self.way})", measure, value_ms)

    @asynccontextmanager
    async def isolated(self) -> AsyncIterator[float]:
        """Cut it off for longer than any lease; yields when that began (monotonic seconds)."""
        with self.host.isolated(self.way):
            cut_s = time.monotonic()
            yield cut_s
            await asyncio.sleep(max(0.0, cut_s + CUT_S - time.monotonic()))


@pytest.mark.parametrize(("role", "way"), CUTS)
async def test_answers_are_exact_when_an_actors_host_is_cut_off(
    stack: RunningStack, report: Report, role: Role, way: Way
) -> None:
    host = stack.host
    assert host is not None
    async with (
        scene(stack, stack.nats_url) as at,
        far_actor(stack, role, at.operator) as far,
    ):
        cut = Cut(at, host, role, way, far, report)
        expected = await at.undisturbed(TOKENS)
        if role == "edge":
            await readers_reconnect_once(cut, expected)
        elif role == "scheduler":
            await prompts_are_answered(cut, expected)
        else:
            await answers_go_on(cut, expected)


async def answers_go_on(cut: Cut, expected: str) -> None:
    at = cut.at
    stories = await begun(at, CHATS)
    while not await busy(at, cut.far.name):
        assert len(stories) < CHATS_MAX, f"{cut.far.name} does nothing"
        stories += await begun(at, 1)
    async with cut.isolated():
        for story in stories:
            await story.ended()
        moved = [story for story in stories if "run.recovered" in story.kinds]
        assert moved or cut.role != "gpu"
    cut.tell("gap", await exactly_told(at, stories, expected))


async def readers_reconnect_once(cut: Cut, expected: str) -> None:
    at = cut.at
    async with person(*cut.far.edges, token=at.guest.token) as reader:
        stories = [await at.guest.ask(PROMPT, TOKENS) for _ in range(CHATS)]
        read = [reader.join(story, after=0) for story in stories]
        for story in read:
            await story.reached(20)
        async with cut.isolated():
            for story in read:
                await story.ended()
        await exactly_told(at, stories, expected)
        cut.tell("gap", await exactly_told(at, read, expected))
        assert {story.connections for story in read} == {2}


async def prompts_are_answered(cut: Cut, expected: str) -> None:
    at = cut.at
    stories = await begun(at, CHATS // 2)
    async with cut.isolated() as cut_s:
        late = [await at.guest.ask(PROMPT, TOKENS) for _ in range(CHATS // 2)]
        for story in late:
            await story.reached(1)
        waited_ms = round(1000 * (max(story.events[0].at_s for story in late) - cut_s))
    cut.tell("gap", await exactly_told(at, stories, expected))
    await exactly_told(at, late, expected)
    cut.tell("prompt answered after", waited_ms)


async def begun(at: Scene, count: int) -> list[Story]:
    stories = [await at.guest.ask(PROMPT, TOKENS) for _ in range(count)]
    for story in stories:
        await story.reached(20)
    return stories


async def busy(at: Scene, name: str) -> int:
    """Return how many runs, or chats, an actor is at work on."""
    return sum(actor.running for actor in await at.operator.actors() if actor.id == name)

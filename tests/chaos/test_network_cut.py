"""The network between an actor's host and the rest is cut, one way or both: packets vanish, no
connection is reset. Answers go on elsewhere, and who was cut off writes nothing more."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge.listening import listen
from ops.chaos.figures import Report
from ops.chaos.nats_cluster import NatsCluster, nats_cluster
from ops.chaos.network_host import NetworkHost, NoNamespaces, Way, network_host
from ops.chaos.people import person
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
CUT_S = 4.0
"""Longer than any lease."""

WAYS: list[Way] = ["both", "in", "out"]
CUTS: list[tuple[Role, Way]] = [("gpu", "both")]
CUTS_OF_OTHERS: list[Way] = []
if ROUNDS > DEFAULT_ROUNDS:
    CUTS = [(role, way) for role in ("gpu", "session") for way in WAYS]
    CUTS_OF_OTHERS = WAYS


@pytest.fixture(scope="module")
def host() -> Iterator[NetworkHost]:
    number = os.getpid() % 250
    try:
        with network_host(f"pc{number}", f"10.231.{number}") as made:
            yield made
    except NoNamespaces as error:
        pytest.skip(str(error))


@pytest.fixture
def server(host: NetworkHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    del host  # its bridge must be there to be listened at
    with nats_cluster(tmp_path_factory.mktemp("nats"), size=1, host="0.0.0.0") as servers:
        yield servers


@pytest.fixture
def stack(server: NatsCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    words = [*SIMULATED]
    words[words.index("--gpus") + 1] = "1"
    words += ["--affinity", "off"]
    here = RunningStack(tmp_path_factory.mktemp("home"), *words, nats=server)
    try:
        yield here.start()
    finally:
        assert here.end() == 0, here.said


@contextmanager
def beside(
    stack: RunningStack,
    host: NetworkHost,
    server: NatsCluster,
    role: Role,
    listener: socket.socket | None = None,
) -> Iterator[str]:
    """Run one more actor of a role on the other host; yields its name. An edge's clients come
    to `listener`, which is on this host: they are not cut off."""
    (node,) = server.nodes.values()
    name = f"{role}-far"
    address = f"nats://{host.near}:{node.port}"
    far = stack.beside(role, name, "--nats", address, prefix=host.prefix, listener=listener)
    try:
        yield name
    finally:
        far.kill()
        far.wait()


async def busy(at: Scene, name: str) -> int:
    """Return how many runs, or chats, an actor is at work on."""
    return sum(actor.running for actor in await at.operator.actors() if actor.id == name)


@pytest.mark.parametrize(("role", "way"), CUTS)
async def test_answers_are_exact_when_an_actors_host_is_cut_off(
    host: NetworkHost,
    server: NatsCluster,
    stack: RunningStack,
    report: Report,
    role: Role,
    way: Way,
) -> None:
    failure = f"network of a {role} host cut ({way})"
    with beside(stack, host, server, role) as name:
        async with scene(stack, stack.nats_url) as at:
            await until_there(at, name)
            expected = await at.undisturbed(TOKENS)
            stories = [await at.guest.ask(PROMPT, TOKENS) for _ in range(CHATS)]
            for story in stories:
                await story.reached(20)
            assert await busy(at, name), f"{name} does nothing"
            host.cut(way)
            cut_s = time.monotonic()
            try:
                for story in stories:
                    await story.ended()
                moved = [story for story in stories if "run.recovered" in story.kinds]
                assert moved or role != "gpu"
                await asyncio.sleep(max(0.0, cut_s + CUT_S - time.monotonic()))
            finally:
                host.heal(way)
            report.add(failure, "gap", await exactly_told(at, stories, expected))
            await until_there(at, name)


async def until_there(at: Scene, name: str) -> None:
    """Return when an actor of this name takes part."""
    async with asyncio.timeout(30):
        while not any(  # noqa: ASYNC110 - another process's state
            actor.id == name and not actor.state.startswith(("0/", "starting"))
            for actor in await at.operator.actors()
        ):
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("way", CUTS_OF_OTHERS)
async def test_readers_of_an_edge_that_is_cut_off_reconnect_once(
    host: NetworkHost, server: NatsCluster, stack: RunningStack, report: Report, way: Way
) -> None:
    with listen("127.0.0.1", 0) as listener, beside(stack, host, server, "edge", listener):
        far = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with (
            scene(stack, stack.nats_url) as at,
            person(far, stack.url, token=at.guest.token) as reader,
        ):
            expected = await at.undisturbed(TOKENS)
            stories = [await at.guest.ask(PROMPT, TOKENS) for _ in range(CHATS)]
            read = [reader.join(story, after=0) for story in stories]
            for story in read:
                await story.reached(20)
            host.cut(way)
            try:
                for story in read:
                    await story.ended()
            finally:
                host.heal(way)
            await exactly_told(at, stories, expected)
            gap_ms = await exactly_told(at, read, expected)
            assert {story.connections for story in read} == {2}
            report.add(f"network of an edge host cut ({way})", "gap", gap_ms)


@pytest.mark.parametrize("way", CUTS_OF_OTHERS)
async def test_prompts_are_answered_when_the_schedulers_host_is_cut_off(
    host: NetworkHost, server: NatsCluster, stack: RunningStack, report: Report, way: Way
) -> None:
    with beside(stack, host, server, "scheduler") as name:
        async with scene(stack, stack.nats_url) as at:
            await until_there(at, name)
            expected = await at.undisturbed(TOKENS)
            await until_active(at, name)
            stories = [await at.guest.ask(PROMPT, TOKENS) for _ in range(CHATS // 2)]
            for story in stories:
                await story.reached(20)
            host.cut(way)
            cut_s = time.monotonic()
            try:
                late = [await at.guest.ask(PROMPT, TOKENS) for _ in range(CHATS // 2)]
                for story in late:
                    await story.reached(1)
                waited_ms = round(1000 * (max(s.events[0].at_s for s in late) - cut_s))
                await asyncio.sleep(max(0.0, cut_s + CUT_S - time.monotonic()))
            finally:
                host.heal(way)
            failure = f"network of a scheduler host cut ({way})"
            report.add(failure, "gap", await exactly_told(at, stories, expected))
            await exactly_told(at, late, expected)
            report.add(failure, "prompt answered after", waited_ms)


async def until_active(at: Scene, name: str) -> None:
    """Return when this scheduler decides: the other is killed until it does."""
    async with asyncio.timeout(60):
        while True:
            known = [actor for actor in await at.operator.actors() if actor.role == "scheduler"]
            active = [actor for actor in known if actor.state == "active"]
            if [actor.id for actor in active] == [name]:
                return
            for actor in active:
                os.kill(actor.pid, signal.SIGKILL)
            await asyncio.sleep(3.0)

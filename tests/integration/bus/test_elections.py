"""While a stream changes its leader: what was acknowledged stays, fences hold, and what nobody
acknowledged comes again. One suite for the model in memory and three real servers."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest

from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryServer
from actors.runtime.nats_bus import NatsBus
from actors.runtime.token_log import BusTokenLog
from contracts.errors import BusError, BusUnavailable, Fenced, WrongSequence
from contracts.ports.bus import Bus, Delivery, Fence, StreamSpec
from contracts.subjects import token_partition, token_sibling, token_stream
from ops.leaders import part_leaders
from ops.streams import stream_specs
from tests.support.log_writing import COMPLETED, Script, collect, numbers, text
from tests.support.nats import nats_cluster
from tests.support.waiting import until

CLOCK = SystemClock()
RUN = "run_elected"
LOG = token_stream(token_partition(RUN))
SIBLING = token_stream(token_sibling(token_partition(RUN)))


@dataclass
class Scene:
    """A client, and how to let a stream change its leader: `depose`, then `elect`."""

    bus: Bus
    replicas: int
    depose: Callable[[str], Awaitable[None]]
    elect: Callable[[str], Awaitable[None]]
    without_home: Callable[[], AbstractAsyncContextManager[None]]
    """Nobody leads `LOG` meanwhile, for seconds; somebody leads `SIBLING`."""

    async def declare(self, spec: StreamSpec) -> None:
        """Create a stream, as soon as there is somebody to do it."""
        for _ in range(100):
            try:
                await self.bus.declare(spec)
            except BusUnavailable:
                await asyncio.sleep(0.2)
            else:
                return


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.nats)])
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    if request.param == "memory":
        server = MemoryServer(CLOCK)
        memory = await server.connect("test")

        async def take(name: str) -> None:
            server.depose(name)

        async def give(name: str) -> None:
            server.elect(name)

        @asynccontextmanager
        async def without() -> AsyncIterator[None]:
            server.depose(LOG)
            yield
            server.elect(LOG)

        yield Scene(memory, 1, take, give, without)
        await memory.close()
        return
    with nats_cluster() as nodes:
        bus = await NatsBus.connect([node.url for node in nodes], name="test", clock=CLOCK)

        async def step_down(name: str) -> None:
            await bus.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{name}", b"", timeout_s=5.0)

        async def nothing(_: str) -> None:
            """The servers elect by themselves."""

        @asynccontextmanager
        async def killed() -> AsyncIterator[None]:
            await part_leaders(bus, [token_partition(RUN)])
            leader = await leader_of(bus, LOG)
            while await leader_of(bus, SIBLING) in ("", leader):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            node = next(node for node in nodes if node.name == leader)
            node.end()
            yield
            node.start()
            while not await leader_of(bus, LOG):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

        yield Scene(bus, 3, step_down, nothing, killed)
        await bus.close()


async def leader_of(bus: Bus, stream: str) -> str:
    """Return the name of the node that leads a stream, "" if none does."""
    try:
        answer = await bus.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout_s=2.0)
    except BusError:
        return ""
    return str(json.loads(answer).get("cluster", {}).get("leader", ""))


async def stored(ask: Callable[[], Awaitable[int]]) -> int:
    """Append as often as it takes; what was in flight may be there already."""
    while True:
        try:
            return await ask()
        except BusUnavailable:
            await asyncio.sleep(0.05)


async def test_log_goes_on_exactly_when_its_leader_changes(scene: Scene) -> None:
    await scene.declare(next(s for s in stream_specs(scene.replicas) if s.name == LOG))
    log = BusTokenLog(scene.bus, CLOCK)
    writer = await log.claim(RUN, writer="w", attempt=1, expect_epoch=None)
    script = Script(writer)
    await script.say("a", "b")
    await scene.depose(LOG)
    saying = asyncio.create_task(script.say("c", "d"))
    await asyncio.sleep(0.3)
    await scene.elect(LOG)
    await saying
    await script.write(COMPLETED)
    state = await log.read(RUN)
    assert (state.text, state.next_seq) == ("abcd", script.next_seq)


async def test_fence_holds_across_a_change_of_leader(scene: Scene) -> None:
    await scene.declare(next(s for s in stream_specs(scene.replicas) if s.name == LOG))
    log = BusTokenLog(scene.bus, CLOCK)
    old = Script(await log.claim(RUN, writer="old", attempt=1, expect_epoch=None))
    await old.say("a")
    await scene.depose(LOG)
    claiming = asyncio.create_task(log.claim(RUN, writer="new", attempt=2, expect_epoch=None))
    await asyncio.sleep(0.3)
    await scene.elect(LOG)
    await claiming
    with pytest.raises(Fenced):
        await old.say("b")
    assert (await log.read(RUN)).text == "a"


async def test_log_with_a_sibling_goes_on_there_while_nobody_leads_its_home(
    scene: Scene,
) -> None:
    for spec in stream_specs(scene.replicas):
        if spec.name in (LOG, SIBLING):
            await scene.declare(spec)
    log = BusTokenLog(scene.bus, CLOCK, siblings=True)
    async with log.follow(RUN, after=0) as reader:
        writer = await log.claim(RUN, writer="w", attempt=1, expect_epoch=0)
        script = Script(writer)
        await script.say("a", "b")
        async with scene.without_home():
            await script.say("c", "d")
            assert writer.moved
        successor = await log.claim(RUN, writer="next", attempt=2, expect_epoch=None)
        with pytest.raises(Fenced):
            await script.say("zombie")
        state = await log.read(RUN)
        assert (state.text, state.next_seq) == ("abcd", 5)
        last = Script(successor, state.next_seq, len(state.tokens))
        await last.say("e")
        await last.write(COMPLETED)
        seen = await collect(reader)
    assert (text(seen), numbers(seen)) == ("abcde", [1, 2, 3, 4, 5, 6])
    async with log.follow(RUN, after=3) as late:
        assert text(await collect(late)) == "de"


async def test_writer_that_was_replaced_does_not_get_the_sibling(scene: Scene) -> None:
    for spec in stream_specs(scene.replicas):
        if spec.name in (LOG, SIBLING):
            await scene.declare(spec)
    log = BusTokenLog(scene.bus, CLOCK, siblings=True)
    old = Script(await log.claim(RUN, writer="old", attempt=1, expect_epoch=0))
    await old.say("a")
    new = Script(await log.claim(RUN, writer="new", attempt=2, expect_epoch=None), 2, 1)
    async with scene.without_home():
        with pytest.raises(Fenced):
            await old.say("zombie")
        await new.say("b")
    assert (await log.read(RUN)).text == "ab"


async def test_unacknowledged_message_comes_again_after_a_change_of_leader(
    scene: Scene,
) -> None:
    await scene.declare(
        StreamSpec(
            name="elq",
            subjects=("elq.*",),
            description="a test's queue",
            storage="memory",
            retention="work",
            replicas=scene.replicas,
        )
    )
    first = await stored(lambda: scene.bus.append("elq.a", b"1"))
    got: list[Delivery] = []
    consumer = await scene.bus.consume("elq", "owner", "elq.*", got.append)
    await until(lambda: len(got) == 1)
    await scene.depose("elq")
    await scene.elect("elq")
    await stored(lambda: scene.bus.append("elq.a", b"2", fence=Fence(first), msg_id="two"))
    await until(lambda: {d.stored.data for d in got} == {b"1", b"2"})
    with pytest.raises(WrongSequence):
        await stored(lambda: scene.bus.append("elq.a", b"3", fence=Fence(first)))
    await consumer.stop()

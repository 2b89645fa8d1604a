"""While a stream changes its leader: what was acknowledged stays, fences hold, and what nobody
acknowledged comes again. One suite for the model in memory and three real servers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryServer
from actors.runtime.nats_bus import NatsBus
from actors.runtime.token_log import BusTokenLog
from contracts.errors import BusUnavailable, Fenced, WrongSequence
from contracts.ports.bus import Bus, Delivery, Fence, StreamSpec
from contracts.subjects import token_partition, token_stream
from ops.streams import stream_specs
from tests.support.log_writing import COMPLETED, Script
from tests.support.nats import nats_cluster
from tests.support.waiting import until

CLOCK = SystemClock()
RUN = "run_elected"
LOG = token_stream(token_partition(RUN))


@dataclass
class Scene:
    """A client, and how to let a stream change its leader: `depose`, then `elect`."""

    bus: Bus
    replicas: int
    depose: Callable[[str], Awaitable[None]]
    elect: Callable[[str], Awaitable[None]]

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

        yield Scene(memory, 1, take, give)
        await memory.close()
        return
    with nats_cluster() as nodes:
        bus = await NatsBus.connect([node.url for node in nodes], name="test", clock=CLOCK)

        async def step_down(name: str) -> None:
            await bus.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{name}", b"", timeout_s=5.0)

        async def nothing(_: str) -> None:
            """The servers elect by themselves."""

        yield Scene(bus, 3, step_down, nothing)
        await bus.close()


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
    writer = await log.claim(RUN, writer="w", attempt=1, expect_epoch=None, now_ms=1)
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
    old = Script(await log.claim(RUN, writer="old", attempt=1, expect_epoch=None, now_ms=1))
    await old.say("a")
    await scene.depose(LOG)
    claiming = asyncio.create_task(
        log.claim(RUN, writer="new", attempt=2, expect_epoch=None, now_ms=2)
    )
    await asyncio.sleep(0.3)
    await scene.elect(LOG)
    await claiming
    with pytest.raises(Fenced):
        await old.say("b")
    assert (await log.read(RUN)).text == "a"


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

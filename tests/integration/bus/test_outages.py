"""What clients see when a real server dies, stalls, or loses one of three nodes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from nats.aio.transport import TcpTransport

from actors.runtime.clock import SystemClock
from actors.runtime.nats_bus import NatsBus
from actors.runtime.token_log import BusTokenLog
from contracts.errors import BusTimeout, BusUnavailable
from contracts.ports.bus import Delivery, Inbound, LeaseEntry, StreamSpec
from contracts.subjects import token_partition, token_stream
from ops.chaos.nats_cluster import NatsNode
from ops.streams import stream_specs
from tests.support.log_writing import COMPLETED, Script, collect, numbers
from tests.support.nats import nats_cluster, nats_node
from tests.support.waiting import until

pytestmark = pytest.mark.nats

CLOCK = SystemClock()
QUEUE = StreamSpec(name="Q", subjects=("q.*",), description="a queue", retention="work")


@pytest.fixture
def node() -> Iterator[NatsNode]:
    with nats_node() as node:
        yield node


@pytest.fixture
async def bus(node: NatsNode) -> AsyncIterator[NatsBus]:
    bus = await NatsBus.connect([node.url], name="outage", clock=CLOCK)
    yield bus
    await bus.close()


async def test_connect_to_no_server_names_it() -> None:
    with pytest.raises(BusUnavailable, match=r"127\.0\.0\.1:1"):
        await NatsBus.connect(["nats://127.0.0.1:1"], name="x", clock=CLOCK, timeout_s=0.3)


async def test_killed_server_is_noticed_at_once_and_found_again(
    node: NatsNode, bus: NatsBus
) -> None:
    await bus.declare(QUEUE)
    changes: list[bool] = []
    got: list[Inbound] = []
    bus.on_connection(changes.append)
    await bus.subscribe("news", got.append)
    node.end()
    await until(lambda: changes == [False])
    assert not bus.connected
    with pytest.raises(BusUnavailable):
        bus.publish("news", b"lost")
    with pytest.raises(BusUnavailable):
        await bus.append("q.a", b"lost")
    with pytest.raises(BusUnavailable):
        await bus.subscribe("more", got.append)
    node.start()
    await until(lambda: changes == [False, True])
    bus.publish("news", b"back")
    await until(lambda: got)
    assert [m.data for m in got] == [b"back"]
    assert await bus.append("q.a", b"1") == 1


async def test_connections_lost_as_soon_as_they_are_made_are_made_again(
    node: NatsNode, bus: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: list[bool] = []
    bus.on_connection(changes.append)
    connect, lost = TcpTransport.connect, 0

    async def dying(transport: TcpTransport, *where: Any, **how: Any) -> None:
        # As to a server that is killed while its kernel still takes connections.
        nonlocal lost
        await connect(transport, *where, **how)
        if lost < 3:
            lost += 1
            assert transport._io_writer is not None
            transport._io_writer.transport.abort()
            await asyncio.sleep(0.01)

    monkeypatch.setattr(TcpTransport, "connect", dying)
    node.end()
    node.start()
    await until(lambda: changes == [False, True])
    assert lost == 3
    await bus.declare(QUEUE)
    assert await bus.append("q.a", b"1") == 1


async def test_whatever_is_sent_while_a_lost_connection_is_noticed_is_refused(
    bus: NatsBus,
) -> None:
    await bus.declare(QUEUE)
    sent: list[asyncio.Task[Any]] = []

    async def publish() -> None:
        bus.publish("news", b"lost")

    bus._wire.client._writer().transport.abort()
    # The loop closes the connection in a turn of its own, before any reader is told.
    while bus._wire.client.is_connected:
        asked = (publish(), bus.append("q.a", b"lost"), bus.subscribe("more", print))
        sent.extend(asyncio.create_task(each) for each in asked)
        await asyncio.sleep(0)
    said = await asyncio.gather(*sent, return_exceptions=True)
    assert {type(error) for error in said} == {BusUnavailable}


async def test_append_in_flight_when_the_server_dies_ends_at_once(
    node: NatsNode, bus: NatsBus
) -> None:
    await bus.declare(QUEUE)
    await node.pause()
    append = asyncio.create_task(bus.append("q.a", b"1", timeout_s=60))
    await asyncio.sleep(0.05)
    node.end()
    with pytest.raises(BusUnavailable):
        await asyncio.wait_for(append, 10)


async def test_append_to_a_stalled_server_times_out(node: NatsNode, bus: NatsBus) -> None:
    await bus.declare(QUEUE)
    await node.pause()
    with pytest.raises(BusTimeout):
        await bus.append("q.a", b"1", timeout_s=0.2)
    node.resume()
    await bus.flush()
    assert await bus.append("q.a", b"2") == 2  # the first was applied: its effect was unknown


async def test_consumer_starts_over_after_an_outage(node: NatsNode, bus: NatsBus) -> None:
    await bus.declare(QUEUE)
    for number in range(6):
        await bus.append("q.a", b"%d" % number)
    got: list[Delivery] = []
    consumer = await bus.consume("Q", "d", "q.*", got.append)
    await until(lambda: len(got) == 6)
    got[0].ack()
    got[4].ack()
    await bus.flush()
    await asyncio.sleep(0.1)
    got.clear()
    node.end()
    node.start()
    await until(lambda: len(got) == 4)
    assert [int(d.stored.data) for d in got] == [1, 2, 3, 5]
    await bus.append("q.a", b"6")
    await until(lambda: len(got) == 5)
    await consumer.stop()


async def test_lease_watch_goes_on_after_an_outage(node: NatsNode, bus: NatsBus) -> None:
    await bus.declare(next(spec for spec in stream_specs() if spec.name.startswith("KV_")))
    seen: list[tuple[str, LeaseEntry]] = []
    watch = await bus.lease_watch(">", lambda key, entry: seen.append((key, entry)))
    await bus.lease_put("a", b"1", revision=0, ttl_s=60)
    await until(lambda: seen)
    node.end()
    await until(lambda: not bus.connected)
    node.start()
    await until(lambda: bus.connected)
    await bus.lease_put("b", b"2", revision=0, ttl_s=60)
    await until(lambda: any(key == "b" for key, _ in seen))
    await watch.stop()


async def test_run_goes_on_through_a_server_restart(node: NatsNode, bus: NatsBus) -> None:
    run_id = "run_outage"
    name = token_stream(token_partition(run_id))
    await bus.declare(next(spec for spec in stream_specs() if spec.name == name))
    log = BusTokenLog(bus, CLOCK)
    async with log.follow(run_id, after=0) as reader:
        story = asyncio.create_task(collect(reader))
        script = Script(await log.claim(run_id, writer="w", attempt=1, expect_epoch=0))
        await script.say("a", "b")
        writing = asyncio.create_task(script.say("c", "d", "e"))
        node.end()
        await asyncio.sleep(0.2)
        node.start()
        await writing
        await script.write(COMPLETED)
        assert numbers(await story) == [1, 2, 3, 4, 5, 6]


@pytest.mark.timeout(120)
async def test_run_goes_on_when_one_node_of_three_dies() -> None:
    run_id = "run_cluster"
    name = token_stream(token_partition(run_id))
    spec = next(spec for spec in stream_specs(replicas=3) if spec.name == name)
    with nats_cluster() as nodes:
        urls = [node.url for node in nodes]
        buses = [await NatsBus.connect([*urls[n:], *urls[:n]], name=f"b{n}", clock=CLOCK)
                 for n in range(2)]  # fmt: skip
        for _ in range(100):
            try:
                await buses[0].declare(spec)
                break
            except BusUnavailable:
                await asyncio.sleep(0.2)
        writing, reading = (BusTokenLog(bus, CLOCK) for bus in buses)
        async with reading.follow(run_id, after=0) as reader:
            story = asyncio.create_task(collect(reader))
            writer = await writing.claim(run_id, writer="w", attempt=1, expect_epoch=None)
            script = Script(writer)
            await script.say("a", "b", "c")
            nodes[0].end()
            await script.say("d", "e")
            await script.write(COMPLETED)
            assert numbers(await asyncio.wait_for(story, 60)) == [1, 2, 3, 4, 5, 6]
        assert (await reading.read(run_id)).text == "abcde"
        for bus in buses:
            await bus.close()


async def test_consumer_taken_by_one_who_left_comes_back_to_its_owner(
    node: NatsNode, bus: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.runtime.nats_consumer.HEARTBEAT_S", 0.2)
    await bus.declare(QUEUE)
    late = await NatsBus.connect([node.url], name="late", clock=CLOCK)
    owned: list[Delivery] = []
    taken: list[Delivery] = []
    owner = await bus.consume("Q", "d", "q.*", owned.append)
    intruder = await late.consume("Q", "d", "q.*", taken.append)
    await bus.append("q.a", b"1")
    await until(lambda: taken)
    await asyncio.sleep(1.0)
    assert not owned
    await intruder.stop()
    await until(lambda: owned)
    assert owned[0].stored.data == b"1"
    await owner.stop()
    await late.close()

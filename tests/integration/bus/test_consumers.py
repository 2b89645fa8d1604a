"""Durable consumers: order, acknowledgement, take-over, bounds."""

import asyncio

from contracts.ports.bus import Bus, Delivery
from tests.integration.bus.conftest import Connect
from tests.support.waiting import until


def numbers(deliveries: list[Delivery]) -> list[int]:
    return [int(d.stored.data) for d in deliveries]


async def fill(bus: Bus, queue: str, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        await bus.append(f"{queue}.a", b"%d" % number)


async def test_consumer_receives_old_and_new_in_order(bus: Bus, queue: str) -> None:
    await fill(bus, queue, 3)
    got: list[Delivery] = []
    consumer = await bus.consume(queue, "d", f"{queue}.*", got.append)
    await fill(bus, queue, 3, start=3)
    await until(lambda: len(got) == 6)
    assert numbers(got) == [0, 1, 2, 3, 4, 5]
    assert got[0].stored.seq == 1
    assert got[0].stored.subject == f"{queue}.a"
    await consumer.stop()


async def test_acknowledged_message_leaves_the_queue(bus: Bus, queue: str) -> None:
    await fill(bus, queue, 4)
    got: list[Delivery] = []
    consumer = await bus.consume(queue, "d", f"{queue}.*", got.append)
    await until(lambda: len(got) == 4)
    got[1].ack()
    got[3].ack()
    await bus.flush()
    left: list[int] = []
    for _ in range(200):
        left = [int(s.data) for s in await bus.range(queue, f"{queue}.a", from_seq=1, limit=9)]
        if left == [0, 2]:
            break
        await asyncio.sleep(0.01)
    assert left == [0, 2]
    await consumer.stop()


async def test_confirmed_acknowledgement_leaves_nothing_for_a_later_owner(
    connect: Connect, bus: Bus, queue: str
) -> None:
    old_bus = await connect()
    await fill(bus, queue, 3)
    old: list[Delivery] = []
    new: list[Delivery] = []
    await old_bus.consume(queue, "d", f"{queue}.*", old.append)
    await until(lambda: len(old) == 3)
    for _ in range(2):
        await old[1].ack_sync()
    left = await bus.range(queue, f"{queue}.a", from_seq=1, limit=9)
    assert [int(stored.data) for stored in left] == [0, 2]
    consumer = await bus.consume(queue, "d", f"{queue}.*", new.append)
    await until(lambda: len(new) == 2)
    assert numbers(new) == [0, 2]
    await old[1].ack_sync()
    await consumer.stop()


async def test_takeover_redelivers_everything_unacknowledged_from_the_oldest(
    connect: Connect, bus: Bus, queue: str
) -> None:
    old_bus, new_bus = await connect(), await connect()
    await fill(bus, queue, 50)
    old: list[Delivery] = []
    await old_bus.consume(queue, "d", f"{queue}.*", old.append)
    await until(lambda: len(old) == 50)
    for delivery in old[:50:2]:
        delivery.ack()
    await old_bus.flush()
    await asyncio.sleep(0.05)
    new: list[Delivery] = []
    consumer = await new_bus.consume(queue, "d", f"{queue}.*", new.append)
    await until(lambda: len(new) >= 25)
    assert numbers(new) == list(range(1, 50, 2))
    await fill(bus, queue, 3, start=50)
    await until(lambda: len(new) >= 28)
    assert numbers(new)[25:] == [50, 51, 52]
    assert len(old) == 50
    await consumer.stop()


async def test_takeover_of_a_stopped_consumer_starts_with_what_was_left(
    bus: Bus, queue: str
) -> None:
    await fill(bus, queue, 3)
    first: list[Delivery] = []
    consumer = await bus.consume(queue, "d", f"{queue}.*", first.append)
    await until(lambda: len(first) == 3)
    first[0].ack()
    await consumer.stop()
    await fill(bus, queue, 1, start=3)
    second: list[Delivery] = []
    consumer = await bus.consume(queue, "d", f"{queue}.*", second.append)
    await until(lambda: 3 in numbers(second))
    # The acknowledgement is not waited for: the server may still take it after the take-over.
    assert numbers(second) in ([1, 2, 3], [0, 1, 2, 3])
    assert len(first) == 3
    await consumer.stop()


async def test_two_durables_of_one_queue_receive_their_own(bus: Bus, queue: str) -> None:
    one: list[Delivery] = []
    two: list[Delivery] = []
    await bus.consume(queue, "one", f"{queue}.a", one.append)
    await bus.consume(queue, "two", f"{queue}.b", two.append)
    await bus.append(f"{queue}.a", b"1")
    await bus.append(f"{queue}.b", b"2")
    await until(lambda: one and two)
    assert numbers(one) == [1]
    assert numbers(two) == [2]


async def test_delivery_pauses_at_max_pending(bus: Bus, queue: str) -> None:
    await fill(bus, queue, 10)
    got: list[Delivery] = []
    consumer = await bus.consume(queue, "d", f"{queue}.*", got.append, max_pending=4)
    await until(lambda: len(got) == 4)
    await bus.flush()
    await asyncio.sleep(0.05)
    assert numbers(got) == [0, 1, 2, 3]
    got[0].ack()
    got[1].ack()
    await until(lambda: len(got) == 6)
    assert numbers(got) == [0, 1, 2, 3, 4, 5]
    await consumer.stop()


async def test_takeover_of_a_limits_stream_keeps_what_was_acknowledged(
    bus: Bus, stream: str
) -> None:
    await fill(bus, stream, 5)
    got: list[Delivery] = []
    consumer = await bus.consume(stream, "d", f"{stream}.a", got.append)
    await until(lambda: len(got) == 5)
    for delivery in got[:3]:
        delivery.ack()
    await bus.flush()
    await asyncio.sleep(0.05)
    await consumer.stop()
    again: list[Delivery] = []
    consumer = await bus.consume(stream, "d", f"{stream}.a", again.append)
    await until(lambda: len(again) >= 2)
    assert numbers(again) == [3, 4]
    await consumer.stop()

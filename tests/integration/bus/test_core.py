"""Subjects, queue groups, requests and services."""

import asyncio
import json

import pytest

from contracts.errors import BusTimeout, NoResponders
from contracts.ports.bus import Bus, Inbound
from tests.integration.bus.conftest import Connect
from tests.support.waiting import until


async def test_publish_to_a_wildcard_arrives_in_order(connect: Connect, word: str) -> None:
    sender, receiver = await connect(), await connect()
    got: list[Inbound] = []
    await receiver.subscribe(f"{word}.*", got.append)
    for number in range(500):
        sender.publish(f"{word}.a", b"%d" % number, headers={"Kind": "x"})
    await until(lambda: len(got) == 500)
    assert [int(m.data) for m in got] == list(range(500))
    assert got[0].subject == f"{word}.a"
    assert got[0].headers is not None
    assert got[0].headers["Kind"] == "x"


async def test_unconfirmed_subscription_hears_what_a_later_message_of_its_bus_causes(
    connect: Connect, word: str
) -> None:
    asker, answerer = await connect(), await connect()
    await answerer.subscribe(f"{word}.ask", lambda m: answerer.publish(f"{word}.told", m.data))
    for number in range(50):
        got: list[Inbound] = []
        subscription = await asker.subscribe(f"{word}.told", got.append, confirmed=False)
        asker.publish(f"{word}.ask", b"%d" % number)
        await until(lambda heard=got: heard)  # type: ignore[misc]
        assert got[0].data == b"%d" % number
        await subscription.stop()


async def test_subscription_when_stopped_receives_nothing_more(connect: Connect, word: str) -> None:
    sender, receiver = await connect(), await connect()
    got: list[Inbound] = []
    subscription = await receiver.subscribe(word, got.append)
    sender.publish(word, b"1")
    await until(lambda: got)
    await subscription.stop()
    await receiver.flush()
    sender.publish(word, b"2")
    await sender.flush()
    await receiver.flush()
    await asyncio.sleep(0.02)
    assert [m.data for m in got] == [b"1"]


async def test_queue_group_gives_each_message_to_one_member(connect: Connect, word: str) -> None:
    sender, one, two = await connect(), await connect(), await connect()
    got: list[bytes] = []
    await one.subscribe(word, lambda m: got.append(m.data), queue="workers")
    await two.subscribe(word, lambda m: got.append(m.data), queue="workers")
    for number in range(50):
        sender.publish(word, b"%d" % number)
    await until(lambda: len(got) >= 50)
    await sender.flush()
    assert sorted(got) == sorted(b"%d" % n for n in range(50))


async def test_request_returns_the_answer(connect: Connect, word: str) -> None:
    client, server = await connect(), await connect()
    await server.subscribe(word, lambda m: server.publish(m.reply, b"re:" + m.data))
    answers = await asyncio.gather(
        *(client.request(word, b"%d" % n, timeout_s=5) for n in range(20))
    )
    assert answers == [b"re:%d" % n for n in range(20)]


async def test_request_without_a_server_raises_no_responders(bus: Bus, word: str) -> None:
    with pytest.raises(NoResponders):
        await bus.request(word, b"", timeout_s=5)


async def test_request_without_an_answer_times_out(bus: Bus, word: str) -> None:
    await bus.subscribe(word, lambda _m: None)
    with pytest.raises(BusTimeout):
        await bus.request(word, b"", timeout_s=0.05)


async def test_inbox_receives_core_replies(connect: Connect) -> None:
    asker, answerer = await connect(), await connect()
    inbox = asker.new_inbox()
    got: list[Inbound] = []
    await asker.subscribe(inbox, got.append)
    answerer.publish(inbox, b"here")
    await until(lambda: got)
    assert got[0].data == b"here"
    assert asker.new_inbox() != inbox


async def test_handler_that_raises_leaves_the_bus_alive(bus: Bus, word: str) -> None:
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _l, c: errors.append(c["exception"]))

    def broken(_message: Inbound) -> None:
        raise ValueError("broken handler")

    await bus.subscribe(word, broken)
    bus.publish(word, b"")
    await until(lambda: errors)
    assert isinstance(errors[0], ValueError)
    await bus.flush()
    assert bus.connected


async def test_service_is_discovered_until_stopped(connect: Connect, word: str) -> None:
    actor, operator = await connect(), await connect()
    service = await actor.serve(f"parley-{word}", "1.2.3", "a test's", {"role": word})
    info = json.loads(await operator.request(f"$SRV.INFO.parley-{word}", b"", timeout_s=5))
    assert info["name"] == f"parley-{word}"
    assert info["version"] == "1.2.3"
    assert info["metadata"]["role"] == word
    ping = json.loads(
        await operator.request(f"$SRV.PING.parley-{word}.{info['id']}", b"", timeout_s=5)
    )
    assert ping["id"] == info["id"]
    stats = json.loads(await operator.request(f"$SRV.STATS.parley-{word}", b"", timeout_s=5))
    assert stats["endpoints"] == []
    await service.stop()
    with pytest.raises(NoResponders):
        await operator.request(f"$SRV.PING.parley-{word}", b"", timeout_s=5)


async def test_closed_bus_leaves_no_task_behind(connect: Connect, leases: Bus, queue: str) -> None:
    before = asyncio.all_tasks()
    bus = await connect()
    await bus.subscribe(f"{queue}x", lambda _m: None)
    await bus.consume(queue, "d", f"{queue}.*", lambda _d: None)
    await bus.lease_watch("none.*", lambda _k, _e: None)
    await bus.serve(f"parley-{queue}", "1.2.3", "a test's", {})
    await bus.append(f"{queue}.a", b"x")
    await bus.range(queue, f"{queue}.a", from_seq=1, limit=1)
    await leases.flush()
    await bus.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    await bus.close()

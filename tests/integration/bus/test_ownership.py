"""Leases, partitions and presence, on both buses."""

import asyncio
import json
import os

from actors.runtime.clock import SystemClock
from actors.runtime.lease import Lease, release_for_dead
from actors.runtime.partitions import PartitionOwner
from actors.runtime.presence import Presence
from contracts.codec import decode
from contracts.ports.bus import Bus, Inbound
from contracts.scheduling import ActorInfo
from contracts.subjects import actor_announcement
from tests.integration.bus.conftest import Connect
from tests.support.waiting import until

CLOCK = SystemClock()


async def test_lease_passes_on_when_released(connect: Connect, leases: Bus, word: str) -> None:
    one = Lease(leases, CLOCK, word, "one")
    two = Lease(await connect(), CLOCK, word, "two")
    first = await one.acquire()
    assert one.held
    assert await two.try_acquire() is None
    waiting = asyncio.create_task(two.acquire())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await one.release()
    assert not one.held
    assert await waiting > first
    await two.release()


async def test_lease_is_renewed_while_held(leases: Bus, word: str) -> None:
    lease = Lease(leases, CLOCK, word, "one", 3)
    epoch = await lease.acquire()
    holding = asyncio.create_task(lease.held_until_lost())
    await asyncio.sleep(3.6)
    assert lease.held
    assert lease.epoch == epoch
    await lease.release()
    await holding


async def test_lease_of_a_silent_owner_goes_to_another(
    connect: Connect, leases: Bus, word: str
) -> None:
    one = Lease(leases, CLOCK, word, "one", 1)
    two = Lease(await connect(), CLOCK, word, "two", 1)
    first = await one.acquire()  # and never renews
    assert await two.acquire() > first
    assert not one.held
    await asyncio.wait_for(one.held_until_lost(), 1)
    await two.release()


async def test_lease_of_a_process_that_was_seen_to_end_is_given_up_for_it(
    connect: Connect, leases: Bus, word: str
) -> None:
    one = Lease(leases, CLOCK, word, "one", 30)
    first = await one.acquire()
    waiting = asyncio.create_task(Lease(await connect(), CLOCK, word, "two", 30).acquire())
    for owner, pid in (("one", os.getpid() + 1), ("two", os.getpid())):
        await release_for_dead(leases, word, owner, pid)
        assert (await leases.lease_get(word)).revision == first
    await release_for_dead(leases, word, "one", os.getpid())
    assert await asyncio.wait_for(waiting, 5) > first
    await release_for_dead(leases, word, "one", os.getpid())  # the next owner's by now
    assert (await leases.lease_get(word)).value is not None


async def test_lease_taken_by_force_is_noticed(leases: Bus, word: str) -> None:
    lease = Lease(leases, CLOCK, word, "one", 1)
    epoch = await lease.acquire()
    holding = asyncio.create_task(lease.held_until_lost())
    entry = await leases.lease_get(word)
    await leases.lease_put(word, b"{}", revision=entry.revision, ttl_s=5)
    await asyncio.wait_for(holding, 5)
    assert not lease.held
    assert epoch <= entry.revision


class Owned:
    """A host and what it was told."""

    def __init__(self, bus: Bus, name: str) -> None:
        self.bus = bus
        self.now: dict[int, int] = {}
        self.owner = PartitionOwner(
            bus, CLOCK, name, 16, on_gained=self.gained, on_lost=self.lost, ttl_s=1
        )
        self.task = asyncio.create_task(self.owner.run())

    async def gained(self, partition: int, epoch: int) -> None:
        assert partition not in self.now
        self.now[partition] = epoch

    async def lost(self, partition: int) -> None:
        self.now.pop(partition, None)

    async def stop(self) -> None:
        await self.owner.stop()
        await self.task


async def test_partitions_are_shared_handed_over_and_taken_over(
    connect: Connect, leases: Bus, word: str
) -> None:
    one = Owned(leases, f"{word}-1")
    await until(lambda: len(one.now) == 16)
    two = Owned(await connect(), f"{word}-2")
    await until(lambda: len(one.now) == 8 and len(two.now) == 8)
    assert sorted([*one.now, *two.now]) == list(range(16))
    kept = dict(two.now)
    three = Owned(await connect(), f"{word}-3")
    await until(lambda: sorted(map(len, (one.now, two.now, three.now))) == [5, 5, 6])
    epochs = {**kept, **one.now}
    await one.stop()
    await until(lambda: len(two.now) == 8 and len(three.now) == 8)
    two.task.cancel()  # dies without a word: its connection goes first
    await two.bus.close()
    await asyncio.gather(two.task, return_exceptions=True)
    await until(lambda: len(three.now) == 16)
    assert all(three.now[partition] >= epoch for partition, epoch in epochs.items())
    await three.stop()
    assert three.now == {}


async def test_presence_announces_the_actor_and_answers_services(
    connect: Connect, bus: Bus, word: str
) -> None:
    watcher = await connect()
    rows: list[Inbound] = []
    await watcher.subscribe(actor_announcement(word, "*"), rows.append)
    info = ActorInfo(role=word, id="a1", pid=1, host="here", state="ready", running=3)
    presence = Presence(bus, CLOCK, lambda: info)
    task = asyncio.create_task(presence.run())
    await until(lambda: rows)
    assert decode(rows[0].data, ActorInfo) == info
    found = json.loads(await watcher.request(f"$SRV.PING.parley-{word}", b"", timeout_s=5))
    assert found["metadata"]["id"] == "a1"
    await presence.stop()
    await task

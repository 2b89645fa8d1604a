"""Ownership of partitions, sessions' or summarizers', by the hosts that live: the shell
around `partition_machine`.

A host says that it takes partitions by a lease of its own, watches all leases, and owns each
partition by another. It gives a partition up in order: its actors stop first, then the lease
goes. One that lost partitions and is still stopping their actors says so by giving its own lease
up: the others need not wait for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from actors.runtime.lease import Lease, lease_value
from actors.runtime.lease_machine import LEASE_TTL_S
from actors.runtime.partition_machine import (
    Acquire,
    Gained,
    HostSeen,
    OwnerSeen,
    PartitionMachine,
    PartitionMessage,
    Tick,
    Yielded,
)
from actors.runtime.racing import first_of
from contracts.errors import BusUnavailable
from contracts.ports.bus import Bus, LeaseEntry
from contracts.ports.clock import Clock
from contracts.subjects import session_host, session_lease, summarizer_host, summarizer_lease

_TICK_S = 0.5
_FIRST_TICK_S = 0.1
"""By then the watch has told who lives and who owns what."""

_INBOX_LIMIT = 65_536

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LeaseKeys:
    """How the leases of one kind of hosts and of their partitions are named."""

    host: Callable[[str], str]
    partition: Callable[[int], str]


SESSION_KEYS = LeaseKeys(session_host, session_lease)
SUMMARIZER_KEYS = LeaseKeys(summarizer_host, summarizer_lease)


class PartitionOwner:
    """The part of this host in owning `count` partitions.

    Args:
        keys: of which kind of hosts it is.
        on_gained: called with partition and epoch when it is this host's; while it runs the
            lease is renewed. If it raises BusUnavailable the partition is given up again.
        on_lost: called with the partition when it is, or is about to be, another's.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        host_id: str,
        count: int,
        *,
        on_gained: Callable[[int, int], Awaitable[None]],
        on_lost: Callable[[int], Awaitable[None]],
        ttl_s: float = LEASE_TTL_S,
        keys: LeaseKeys = SESSION_KEYS,
    ) -> None:
        self._bus = bus
        self._keys = keys
        self._host_prefix = keys.host("")
        self._lease_prefix = keys.partition(0).removesuffix("0")
        self._clock = clock
        self._host_id = host_id
        self._on_gained = on_gained
        self._on_lost = on_lost
        self._ttl_s = ttl_s
        self._machine = PartitionMachine(host_id, count)
        self._inbox: asyncio.Queue[PartitionMessage] = asyncio.Queue(_INBOX_LIMIT)
        self._leaving = {partition: asyncio.Event() for partition in range(count)}
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._owned: dict[int, None] = {}
        self._leases: dict[int, Lease] = {}
        self._losing: dict[int, None] = {}
        self._lost_some = asyncio.Event()
        self._left_all = asyncio.Event()
        self._left_all.set()

    @property
    def owned(self) -> tuple[int, ...]:
        """The partitions whose actors run here, ascending."""
        return tuple(sorted(self._owned))

    def holds(self, partition: int) -> bool:
        """Say whether this host may act as the partition's owner at this moment. A process that
        was stopped for longer than its lease learns it here, before it is told of the loss."""
        lease = self._leases.get(partition)
        return lease is not None and lease.held

    async def run(self) -> None:
        """Own a fair share until `stop`; what a callback raises ends it."""
        try:
            watch = await self._bus.lease_watch(">", self._notice)
            try:
                async with asyncio.TaskGroup() as tasks:
                    alive = tasks.create_task(self._stay_alive())
                    await self._follow(tasks)
                    for leaving in self._leaving.values():
                        leaving.set()
                    alive.cancel()
            finally:
                await watch.stop()
        finally:
            self._stopped.set()

    async def stop(self) -> None:
        """Hand everything over; returns when the last lease is released."""
        self._stopping.set()
        self._inbox.put_nowait(Tick())
        await self._stopped.wait()

    def _notice(self, key: str, entry: LeaseEntry) -> None:
        if key.startswith(self._host_prefix):
            host = key.removeprefix(self._host_prefix)
            self._inbox.put_nowait(HostSeen(host, entry.value is not None))
        elif key.startswith(self._lease_prefix):
            partition = int(key.removeprefix(self._lease_prefix))
            value = lease_value(entry)
            self._inbox.put_nowait(OwnerSeen(partition, value.owner if value else None))

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        ticking = tasks.create_task(self._tick())
        try:
            while not self._stopping.is_set():
                message = await self._inbox.get()
                if self._stopping.is_set():
                    return
                for effect in self._machine.handle(message, self._clock.monotonic_ms()):
                    if isinstance(effect, Acquire):
                        tasks.create_task(self._own(effect.partition))
                    else:
                        self._leaving[effect.partition].set()
        finally:
            ticking.cancel()

    async def _tick(self) -> None:
        pause_s = _FIRST_TICK_S
        while True:
            await self._clock.sleep(pause_s)
            pause_s = _TICK_S
            self._inbox.put_nowait(Tick())

    async def _stay_alive(self) -> None:
        lease = Lease(
            self._bus, self._clock, self._keys.host(self._host_id), self._host_id, self._ttl_s
        )
        try:
            while True:
                await self._left_all.wait()
                await lease.acquire()
                await first_of(lease.held_until_lost(), self._lost_some.wait())
                await lease.release()
        finally:
            await lease.release()

    async def _own(self, partition: int) -> None:
        """Own one partition from its acquisition to its end."""
        leaving = self._leaving[partition]
        leaving.clear()
        key = self._keys.partition(partition)
        lease = Lease(self._bus, self._clock, key, self._host_id, self._ttl_s)
        try:
            epoch = await lease.try_acquire()
            if epoch is not None and not self._stopping.is_set():
                self._inbox.put_nowait(Gained(partition))
                await self._serve(partition, epoch, lease, leaving)
        finally:
            await lease.release()
            self._inbox.put_nowait(Yielded(partition))

    async def _serve(
        self, partition: int, epoch: int, lease: Lease, leaving: asyncio.Event
    ) -> None:
        holding = asyncio.ensure_future(lease.held_until_lost())
        asked = asyncio.ensure_future(leaving.wait())
        try:
            self._owned[partition] = None
            self._leases[partition] = lease
            _log.info("partition gained", partition=partition, epoch=epoch)
            try:
                await self._on_gained(partition, epoch)
                await asyncio.wait([holding, asked], return_when=asyncio.FIRST_COMPLETED)
            except BusUnavailable as error:
                _log.warning("partition not served", partition=partition, error=str(error))
            finally:
                self._owned.pop(partition, None)
                await self._leave(partition, lease)
                del self._leases[partition]
                _log.info("partition left", partition=partition, epoch=epoch)
        finally:
            for task in (holding, asked):
                task.cancel()
            await asyncio.gather(holding, asked, return_exceptions=True)

    async def _leave(self, partition: int, lease: Lease) -> None:
        """Stop the partition's actors; if it was lost, nobody need wait for this host meanwhile."""
        if lease.held:
            return await self._on_lost(partition)
        self._losing[partition] = None
        self._left_all.clear()
        self._lost_some.set()
        withdrawing = asyncio.ensure_future(lease.withdraw())
        try:
            await self._on_lost(partition)
            await withdrawing
        finally:
            withdrawing.cancel()
            del self._losing[partition]
            if not self._losing:
                self._lost_some.clear()
                self._left_all.set()

"""A lease on the bus: the shell around `lease_machine`."""

import asyncio
import os

from actors.runtime import metrics
from actors.runtime.lease_machine import (
    LEASE_TTL_S,
    Conflict,
    Delete,
    Held,
    LeaseMachine,
    LeaseMessage,
    Lost,
    Read,
    Resign,
    Seen,
    Tick,
    Unsure,
    Write,
    Wrote,
)
from actors.runtime.racing import first_of
from contracts.base import Wire
from contracts.codec import decode, encode
from contracts.errors import BadMessage, BusUnavailable, WrongSequence
from contracts.ids import partition_of
from contracts.ports.bus import Bus, LeaseEntry, Subscription
from contracts.ports.clock import Clock

_LOOK_AGAIN_S = 1.0
_WITHDRAW_AGAIN_S = 0.1
_SPREAD = 16
"""Renewals come up to this part of the time to live sooner than need be, a key always alike."""

_NONCE_BYTES = 8


class LeaseValue(Wire):
    """What a leased key holds: who owns it, in which life of that owner, and in which process.
    `pid` 0: an earlier version wrote it."""

    owner: str
    nonce: str
    pid: int = 0


def lease_value(entry: LeaseEntry) -> LeaseValue | None:
    """Return what a leased key holds; None if it is free, or nothing that an owner wrote."""
    if entry.value is None:
        return None
    try:
        return decode(entry.value, LeaseValue)
    except BadMessage:
        return None


async def release_for_dead(bus: Bus, key: str, owner: str, pid: int) -> None:
    """Give `key` up for `owner`, whose process `pid` has ended: whoever saw it end knows sooner
    than the lease does. A successor of the same name that has the key already keeps it.

    Raises BusUnavailable; the lease then runs out by itself.
    """
    entry = await bus.lease_get(key)
    value = lease_value(entry)
    if value is not None and (value.owner, value.pid) == (owner, pid):
        await bus.lease_delete(key, revision=entry.revision)


class Lease:
    """One contender's way to own one key. Acquire it, act while it is held, release it; it may
    be acquired again after it was lost.

    Args:
        key: the key in the lease bucket.
        owner: who shows as the owner.
        ttl_s: whole seconds, ≥ 1: how soon another may own it after this one died.
    """

    def __init__(
        self, bus: Bus, clock: Clock, key: str, owner: str, ttl_s: float = LEASE_TTL_S
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._key = key
        self._ttl_s = ttl_s
        nonce = clock.entropy(_NONCE_BYTES).hex()
        self._value = encode(LeaseValue(owner=owner, nonce=nonce, pid=os.getpid()))
        self._machine: LeaseMachine | None = None
        self._counted = False

    @property
    def held(self) -> bool:
        """True while the owner may act as such."""
        machine = self._machine
        return machine is not None and machine.believes(self._clock.monotonic_ms())

    @property
    def epoch(self) -> int:
        """The revision under which it was acquired; grows with every change of owner."""
        return self._machine.epoch if self._machine is not None else 0

    async def acquire(self) -> int:
        """Return the epoch when the lease is ours; waits, watching, until it is free."""
        changed = asyncio.Event()
        watch = None
        try:
            while True:
                epoch = await self.try_acquire()
                if epoch is not None:
                    return epoch
                if watch is None and self._bus.connected:
                    watch = await self._watch(changed)
                await first_of(changed.wait(), self._clock.sleep(_LOOK_AGAIN_S))
                changed.clear()
        finally:
            if watch is not None:
                await watch.stop()

    async def _watch(self, changed: asyncio.Event) -> Subscription | None:
        def notice(_key: str, entry: LeaseEntry) -> None:
            if entry.value is None:
                changed.set()

        try:
            return await self._bus.lease_watch(self._key, notice)
        except BusUnavailable:
            return None

    async def try_acquire(self) -> int | None:
        """Return the epoch if the lease is free now, else None; never waits for another."""
        if self._machine is None:
            ttl_ms = int(self._ttl_s * 1000)
            # Leases taken together (a host's partitions) would else be renewed together for ever,
            # dozens of writes in a moment in which a prompt waits.
            early_ms = partition_of(self._key, ttl_ms // _SPREAD)
            self._machine = LeaseMachine(self._value, ttl_ms, early_ms)
        machine = self._machine
        await self._feed(machine, Tick())
        return machine.epoch if self.held else None

    async def held_until_lost(self) -> None:
        """Renew, and return when the lease is not ours any more."""
        machine = self._machine
        assert machine is not None, "acquire the lease first"
        while self.held:
            now_ms = self._clock.monotonic_ms()
            due_ms = machine.renew_at_ms if now_ms < machine.renew_at_ms else now_ms + 50
            await self._clock.sleep(max(1, min(due_ms, machine.doubt_at_ms) - now_ms) / 1000)
            if self._machine is not machine:  # released meanwhile
                return
            await self._feed(machine, Tick())
        if self._machine is machine:
            self._machine = None
            self._count(held=False)

    async def release(self) -> None:
        """Give it up, so that another may have it at once; nothing happens if it isn't ours."""
        machine, self._machine = self._machine, None
        if machine is not None and machine.believes(self._clock.monotonic_ms()):
            await self._feed(machine, Resign())
        self._count(held=False)

    async def withdraw(self) -> None:
        """After a loss: delete the key if a renewal of ours that was never confirmed still holds
        it, or comes to hold it late, so that another need not wait until that runs out. Returns
        when the server has said who has it, or when no such renewal can be stored any more."""
        give_up_ms = self._clock.monotonic_ms() + int(2 * self._ttl_s * 1000)
        while not await self._delete() and self._clock.monotonic_ms() < give_up_ms:
            await self._clock.sleep(_WITHDRAW_AGAIN_S)

    def _count(self, *, held: bool) -> None:
        if held != self._counted:
            self._counted = held
            gauge = metrics.leases_held.labels(self._key.partition(".")[0])
            gauge.inc(1 if held else -1)

    async def _feed(self, machine: LeaseMachine, message: LeaseMessage) -> None:
        """Let the machine take a message, and perform what it asks until it asks no more."""
        pending: list[LeaseMessage] = [message]
        while pending and not machine.over:
            effects = machine.handle(pending.pop(0), self._clock.monotonic_ms())
            for effect in effects:
                match effect:
                    case Write(revision):
                        pending.append(await self._write(machine, revision))
                    case Read():
                        pending.extend(await self._read())
                    case Delete():
                        await self._delete()
                    case Held():
                        self._count(held=True)
                    case Lost():
                        self._count(held=False)

    async def _write(self, machine: LeaseMachine, revision: int) -> LeaseMessage:
        sent_at_ms = self._clock.monotonic_ms()
        held = machine.believes(sent_at_ms)
        limit_s = (machine.doubt_at_ms - sent_at_ms) / 1000 if held else self._ttl_s / 2
        try:
            async with asyncio.timeout(limit_s):
                new = await self._bus.lease_put(
                    self._key, self._value, revision=revision, ttl_s=self._ttl_s
                )
        except WrongSequence:
            return Conflict()
        except (BusUnavailable, TimeoutError):
            return Unsure(sent_at_ms)
        return Wrote(new, sent_at_ms)

    async def _read(self) -> list[LeaseMessage]:
        try:
            async with asyncio.timeout(self._ttl_s / 2):
                entry = await self._bus.lease_get(self._key)
        except (BusUnavailable, TimeoutError):
            return []
        return [Seen(entry.revision, entry.value)]

    async def _delete(self) -> bool:
        """Delete the key if it is ours, also where a renewal of ours was just on its way. False:
        the server did not answer, and it expires by itself."""
        try:
            async with asyncio.timeout(self._ttl_s / 2):
                entry = await self._bus.lease_get(self._key)
                if entry.value == self._value:
                    await self._bus.lease_delete(self._key, revision=entry.revision)
        except (BusUnavailable, TimeoutError):
            return False
        return True

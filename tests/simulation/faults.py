"""What goes wrong: a bus and a history that lose, double, delay and forget to say.

Each process of the simulated world has its own `FaultyBus`; killing the process makes every
later call of it vanish, so that not even a `finally` block has an effect on the world.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from actors.runtime.memory_bus import MemoryBus
from contracts.errors import BusTimeout, BusUnavailable, HistoryRefused, HistoryUnavailable
from contracts.ports.bus import (
    Consumer,
    Delivery,
    Fence,
    Inbound,
    LeaseEntry,
    Stored,
    StreamSpec,
    Subscription,
)

T = TypeVar("T")


@dataclass(slots=True)
class Weather:
    """Chances (0 to 1) and delays (seconds) of the moment; all zero is fair weather."""

    lose: float = 0.0
    double: float = 0.0
    delay_s: float = 0.0
    refuse: float = 0.0
    forget_ack: float = 0.0
    history_refuse: float = 0.0
    history_forget: float = 0.0

    def clear(self) -> None:
        """Stop all faults."""
        self.lose = self.double = self.delay_s = self.refuse = self.forget_ack = 0.0
        self.history_refuse = self.history_forget = 0.0


class Witness:
    """Sees every message that was really stored, also those that are deleted later."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, bytes]] = []

    def saw(self, subject: str, data: bytes) -> None:
        """Note one committed append."""
        self.stored.append((subject, data))


class FaultyBus:
    """The bus port over a `MemoryBus`, in bad weather."""

    def __init__(
        self, inner: MemoryBus, weather: Weather, rng: random.Random, witness: Witness
    ) -> None:
        self.dead = False
        self._inner = inner
        self._weather = weather
        self._rng = rng
        self._witness = witness

    @property
    def connected(self) -> bool:
        return self._inner.connected

    def on_connection(self, handler: Callable[[bool], None]) -> None:
        self._inner.on_connection(handler)

    def _alive(self) -> None:
        if self.dead:
            raise asyncio.CancelledError

    def _chance(self, share: float) -> bool:
        return share > 0 and self._rng.random() < share

    async def _travel(self) -> None:
        self._alive()
        if self._weather.delay_s:
            await asyncio.sleep(self._rng.random() * self._weather.delay_s)
        self._alive()
        if self._chance(self._weather.refuse):
            raise BusUnavailable("simulated: refused")

    def publish(
        self,
        subject: str,
        data: bytes,
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not self.dead:
            self._inner.publish(subject, data, reply=reply, headers=headers)

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        await self._travel()
        return await self._inner.request(subject, data, timeout_s=timeout_s)

    async def subscribe(
        self, subject: str, handler: Callable[[Inbound], None], *, queue: str = ""
    ) -> Subscription:
        self._alive()

        def hand_on(message: Inbound) -> None:
            if not self.dead:
                handler(message)

        def receive(message: Inbound) -> None:
            if self._chance(self._weather.lose):
                return
            for _ in range(2 if self._chance(self._weather.double) else 1):
                if self._weather.delay_s:
                    wait = self._rng.random() * self._weather.delay_s
                    asyncio.get_running_loop().call_later(wait, hand_on, message)
                else:
                    hand_on(message)

        return await self._inner.subscribe(subject, receive, queue=queue)

    def new_inbox(self) -> str:
        return self._inner.new_inbox()

    async def declare(self, spec: StreamSpec) -> None:
        await self._inner.declare(spec)

    async def append(
        self,
        subject: str,
        data: bytes,
        *,
        fence: Fence | None = None,
        msg_id: str = "",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 5.0,
    ) -> int:
        await self._travel()
        seq = await self._inner.append(
            subject, data, fence=fence, msg_id=msg_id, headers=headers, timeout_s=timeout_s
        )
        self._witness.saw(subject, data)
        if self._chance(self._weather.forget_ack):
            raise BusTimeout("simulated: acknowledgement lost")
        if self._weather.delay_s:
            await asyncio.sleep(self._rng.random() * self._weather.delay_s)
        self._alive()
        return seq

    async def last(self, stream: str, subject: str, *, leader: bool = False) -> Stored | None:
        await self._travel()
        return await self._inner.last(stream, subject, leader=leader)

    async def range(
        self, stream: str, subject: str, *, from_seq: int, limit: int
    ) -> Sequence[Stored]:
        await self._travel()
        return await self._inner.range(stream, subject, from_seq=from_seq, limit=limit)

    async def consume(
        self,
        stream: str,
        durable: str,
        filter_subject: str,
        handler: Callable[[Delivery], None],
        *,
        redeliver_all: bool = True,
        max_pending: int = 65_536,
    ) -> Consumer:
        self._alive()

        def receive(delivery: Delivery) -> None:
            if not self.dead:
                handler(_MortalDelivery(delivery, self))

        return await self._inner.consume(
            stream,
            durable,
            filter_subject,
            receive,
            redeliver_all=redeliver_all,
            max_pending=max_pending,
        )

    async def lease_get(self, key: str) -> LeaseEntry:
        await self._travel()
        return await self._inner.lease_get(key)

    async def lease_put(self, key: str, value: bytes, *, revision: int, ttl_s: float) -> int:
        await self._travel()
        return await self._inner.lease_put(key, value, revision=revision, ttl_s=ttl_s)

    async def lease_delete(self, key: str, *, revision: int) -> None:
        await self._travel()
        await self._inner.lease_delete(key, revision=revision)

    async def lease_watch(
        self, pattern: str, handler: Callable[[str, LeaseEntry], None]
    ) -> Subscription:
        self._alive()

        def receive(key: str, entry: LeaseEntry) -> None:
            if not self.dead:
                handler(key, entry)

        return await self._inner.lease_watch(pattern, receive)

    async def serve(
        self, name: str, version: str, description: str, metadata: Mapping[str, str]
    ) -> Subscription:
        return await self._inner.serve(name, version, description, metadata)

    async def flush(self) -> None:
        await self._travel()
        await self._inner.flush()

    async def close(self) -> None:
        await self._inner.close()


class _MortalDelivery:
    """A delivery whose acknowledgement dies with its process."""

    def __init__(self, inner: Delivery, bus: FaultyBus) -> None:
        self._inner = inner
        self._bus = bus

    @property
    def stored(self) -> Stored:
        return self._inner.stored

    @property
    def redelivered(self) -> bool:
        return self._inner.redelivered

    def ack(self) -> None:
        if not self._bus.dead:
            self._inner.ack()


class FaultyHistory:
    """Any call of the history port, refused before or reported as failed after its effect."""

    def __init__(self, inner: Any, bus: FaultyBus, weather: Weather, rng: random.Random) -> None:
        self._inner = inner
        self._bus = bus
        self._weather = weather
        self._rng = rng

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            if self._bus.dead:
                raise asyncio.CancelledError
            if self._rng.random() < self._weather.history_refuse:
                raise HistoryRefused("simulated: refused")
            if self._weather.delay_s:
                await asyncio.sleep(self._rng.random() * self._weather.delay_s)
                if self._bus.dead:
                    raise asyncio.CancelledError
            result = await method(*args, **kwargs)
            if self._rng.random() < self._weather.history_forget:
                raise HistoryUnavailable("simulated: applied, and reported as failed")
            return result

        return call

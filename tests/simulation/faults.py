"""What goes wrong: a bus and a history that lose, double, delay and forget to say.

Each process of the simulated world has its own `FaultyBus`; killing the process makes every
later call of it vanish, so that not even a `finally` block has an effect on the world.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
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
    history_out: bool = False

    def clear(self) -> None:
        """Stop all faults."""
        self.lose = self.double = self.delay_s = self.refuse = self.forget_ack = 0.0
        self.history_refuse = self.history_forget = 0.0
        self.history_out = False


@dataclass(slots=True)
class Fuse:
    """Burns down with each call that its process makes; `blow` then happens to the process."""

    calls: int
    late: bool
    blow: Callable[[], None]

    def burns(self, *, late: bool) -> bool:
        """Whether it blows now: before the call, or (`late`) after its effect."""
        if not late:
            self.calls -= 1
        return self.calls == 0 and late == self.late


NETWORK = Context()
"""What is on its way belongs to no process: it arrives though its sender is stopped."""


@dataclass(slots=True)
class Lane:
    """One direction of a connection: in order, and held up while it is cut, as TCP does."""

    cut: bool = False
    waiting: deque[Callable[[], object]] = field(default_factory=deque)

    def carry(self, action: Callable[[], object]) -> None:
        """Do it now, or when the lane is mended."""
        if self.cut:
            self.waiting.append(action)
        else:
            action()

    def mend(self) -> None:
        """Let through what was held up."""
        self.cut = False
        while self.waiting and not self.cut:
            self.waiting.popleft()()


class _Ear:
    """Hears until its subscription ends: what was held up on the way to one that was stopped
    meanwhile reaches nobody, as the port promises."""

    def __init__(self, handler: Callable[..., None]) -> None:
        self._handler = handler
        self._open = True
        self._inner: Subscription | None = None

    def hear(self, *args: object) -> None:
        """Hand it on, unless nobody listens any more."""
        if self._open:
            self._handler(*args)

    def of(self, inner: Subscription) -> "_Ear":
        """Return the subscription to give out for `inner`."""
        self._inner = inner
        return self

    async def stop(self) -> None:
        """End it; no handler call follows."""
        self._open = False
        if self._inner is not None:
            await self._inner.stop()


class FaultyBus:
    """The bus port over a `MemoryBus`, in bad weather. Handlers run as part of the process
    that made it, whoever sent the message."""

    def __init__(self, inner: MemoryBus, weather: Weather, rng: random.Random) -> None:
        self.dead = False
        self.fuse: Fuse | None = None
        self.outward = Lane()
        self.inward = Lane()
        self._inner = inner
        self._weather = weather
        self._rng = rng
        self._in_flight: set[asyncio.Task[None]] = set()
        self._context = copy_context()

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

    async def _call(self, call: Callable[[], Coroutine[Any, Any, T]], timeout_s: float = 5.0) -> T:
        """Go to the server and back. While the connection is cut the question or its answer
        is held up: the caller may give up, and the effect come all the same."""
        self._alive()
        if self._weather.delay_s:
            await asyncio.sleep(self._rng.random() * self._weather.delay_s)
            self._alive()
        if self._chance(self._weather.refuse):
            raise BusUnavailable("simulated: refused")
        await self.burn(late=False)
        if not self.outward.cut and not self.inward.cut:
            result = await call()
            await self.burn(late=True)
            return result
        answered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.outward.carry(lambda: self._depart(call, answered))
        try:
            async with asyncio.timeout(timeout_s):
                return await answered
        except TimeoutError as error:
            raise BusTimeout("simulated: no answer through a cut connection") from error

    async def burn(self, *, late: bool) -> None:
        """Let the fuse burn by one call; what blows takes hold before this returns."""
        fuse = self.fuse
        if fuse is not None and fuse.burns(late=late):
            self.fuse = None
            fuse.blow()
            await asyncio.sleep(0)
            self._alive()

    def _depart(
        self, call: Callable[[], Coroutine[Any, Any, T]], answered: "asyncio.Future[T]"
    ) -> None:
        async def travel() -> None:
            task: asyncio.Future[T] = asyncio.ensure_future(call())
            await asyncio.wait([task])
            self.inward.carry(lambda: arrive(task))

        def arrive(task: "asyncio.Future[T]") -> None:
            failure = task.exception()
            if answered.done():
                return
            if failure is not None:
                answered.set_exception(failure)
            else:
                answered.set_result(task.result())

        if self.dead:
            return
        task = asyncio.get_running_loop().create_task(travel(), context=NETWORK)
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    def _arrive(self, handler: Callable[..., None], *args: object) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._handle, handler, *args, context=self._context)

    def _handle(self, handler: Callable[..., None], *args: object) -> None:
        if not self.dead:
            handler(*args)

    def publish(
        self,
        subject: str,
        data: bytes,
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        def send() -> None:
            if not self.dead and self._inner.connected:
                self._inner.publish(subject, data, reply=reply, headers=headers)

        if not self.dead:
            self.outward.carry(send)

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        return await self._call(
            lambda: self._inner.request(subject, data, timeout_s=timeout_s), timeout_s
        )

    async def subscribe(
        self,
        subject: str,
        handler: Callable[[Inbound], None],
        *,
        queue: str = "",
        confirmed: bool = True,
    ) -> Subscription:
        self._alive()
        ear = _Ear(handler)

        def hand_on(message: Inbound) -> None:
            if not self.dead:
                self.inward.carry(lambda: self._arrive(ear.hear, message))

        def receive(message: Inbound) -> None:
            if self._chance(self._weather.lose):
                return
            for _ in range(2 if self._chance(self._weather.double) else 1):
                if self._weather.delay_s:
                    wait = self._rng.random() * self._weather.delay_s
                    asyncio.get_running_loop().call_later(wait, hand_on, message)
                else:
                    hand_on(message)

        inner = await self._inner.subscribe(subject, receive, queue=queue, confirmed=confirmed)
        return ear.of(inner)

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
        async def store() -> int:
            return await self._inner.append(
                subject, data, fence=fence, msg_id=msg_id, headers=headers, timeout_s=timeout_s
            )

        seq = await self._call(store, timeout_s)
        if self._chance(self._weather.forget_ack):
            raise BusTimeout("simulated: acknowledgement lost")
        if self._weather.delay_s:
            await asyncio.sleep(self._rng.random() * self._weather.delay_s)
        self._alive()
        return seq

    async def last(self, stream: str, subject: str, *, leader: bool = False) -> Stored | None:
        return await self._call(lambda: self._inner.last(stream, subject, leader=leader))

    async def range(
        self, stream: str, subject: str, *, from_seq: int, limit: int
    ) -> Sequence[Stored]:
        return await self._call(
            lambda: self._inner.range(stream, subject, from_seq=from_seq, limit=limit)
        )

    async def acknowledged(self, delivery: Delivery, timeout_s: float) -> None:
        """Acknowledge a delivery, and hear that it is done, or not."""
        await self._call(lambda: delivery.ack_sync(timeout_s=timeout_s), timeout_s)
        if self._chance(self._weather.forget_ack):
            raise BusTimeout("simulated: acknowledgement lost")

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
        ear = _Ear(handler)

        def receive(delivery: Delivery) -> None:
            if not self.dead:
                self.inward.carry(lambda: self._arrive(ear.hear, _MortalDelivery(delivery, self)))

        inner = await self._inner.consume(
            stream,
            durable,
            filter_subject,
            receive,
            redeliver_all=redeliver_all,
            max_pending=max_pending,
        )
        return ear.of(inner)

    async def lease_get(self, key: str) -> LeaseEntry:
        return await self._call(lambda: self._inner.lease_get(key))

    async def lease_put(self, key: str, value: bytes, *, revision: int, ttl_s: float) -> int:
        return await self._call(
            lambda: self._inner.lease_put(key, value, revision=revision, ttl_s=ttl_s)
        )

    async def lease_delete(self, key: str, *, revision: int) -> None:
        await self._call(lambda: self._inner.lease_delete(key, revision=revision))

    async def lease_watch(
        self, pattern: str, handler: Callable[[str, LeaseEntry], None]
    ) -> Subscription:
        self._alive()
        ear = _Ear(handler)

        def receive(key: str, entry: LeaseEntry) -> None:
            if not self.dead:
                self.inward.carry(lambda: self._arrive(ear.hear, key, entry))

        return ear.of(await self._inner.lease_watch(pattern, receive))

    async def serve(
        self, name: str, version: str, description: str, metadata: Mapping[str, str]
    ) -> Subscription:
        return await self._inner.serve(name, version, description, metadata)

    async def flush(self) -> None:
        await self._call(self._inner.flush)

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
            self._bus.outward.carry(self._arrive)

    def _arrive(self) -> None:
        if not self._bus.dead:
            self._inner.ack()

    async def ack_sync(self, *, timeout_s: float = 2.0) -> None:
        await self._bus.acknowledged(self._inner, timeout_s)


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
            await self._bus.burn(late=False)
            if self._weather.history_out or self._rng.random() < self._weather.history_refuse:
                raise HistoryRefused("simulated: refused")
            if self._weather.delay_s:
                await asyncio.sleep(self._rng.random() * self._weather.delay_s)
                if self._bus.dead:
                    raise asyncio.CancelledError
            result = await method(*args, **kwargs)
            await self._bus.burn(late=True)
            if self._rng.random() < self._weather.history_forget:
                raise HistoryUnavailable("simulated: applied, and reported as failed")
            return result

        return call

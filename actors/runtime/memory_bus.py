"""The bus in memory: a fake server for tests and simulation, and its clients.

It keeps the port's promises in one process, with the clock that it is given. A connection may
be cut and mended, to prove what actors do meanwhile.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from actors.runtime.failure import contained
from actors.runtime.memory_broker import Interest, MemoryBroker, Watch
from actors.runtime.memory_streams import MemoryConsumer, MemoryStream
from contracts.errors import BusTimeout, BusUnavailable, NoResponders, WrongSequence
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

_API_TIMEOUT_S = 5.0


class _MemorySubscription:
    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    async def stop(self) -> None:
        self._end()


@dataclass(slots=True)
class _MemoryDelivery:
    server: MemoryBroker
    consumer: MemoryConsumer
    stored: Stored
    redelivered: bool

    def ack(self) -> None:
        self.consumer.ack(self.stored.seq)
        self.server.pump(self.consumer)

    async def ack_sync(self, *, timeout_s: float = 2.0) -> None:
        if not self.consumer.stream.led:
            raise BusTimeout(f"nobody leads the stream, for {timeout_s} s")
        self.ack()


class MemoryBus:
    """A client of a `MemoryServer`; implements the bus port."""

    def __init__(self, server: MemoryBroker, name: str) -> None:
        self.name = name
        self._server = server
        self._connected = True
        self._listeners: list[Callable[[bool], None]] = []
        self._consumers: dict[MemoryConsumer, int] = {}

    @property
    def connected(self) -> bool:
        """True while the server is reachable."""
        return self._connected

    def on_connection(self, handler: Callable[[bool], None]) -> None:
        """Call `handler` with True or False at each change of `connected`."""
        self._listeners.append(contained(handler))

    def set_connected(self, connected: bool) -> None:
        """Change the state of the connection (for `MemoryServer.cut` and `mend`)."""
        if connected == self._connected:
            return
        self._connected = connected
        for listener in self._listeners:
            listener(connected)
        if connected:
            self._server.resume(self)
            for consumer, generation in self._consumers.items():
                if consumer.generation == generation:
                    consumer.restart()
                    self._server.pump(consumer)

    def _check(self) -> None:
        if not self._connected:
            raise BusUnavailable("disconnected")

    # core

    def publish(
        self,
        subject: str,
        data: bytes,
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send at most once. Raises BusUnavailable while disconnected."""
        self._check()
        self._server.route(Inbound(subject, data, reply, headers))

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        """Return the first answer. Raises NoResponders, BusTimeout, BusUnavailable."""
        self._check()
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def take(message: Inbound) -> None:
            if not answer.done():
                answer.set_result(message.data)

        inbox = self.new_inbox()
        interest = Interest(self, inbox, "", take)
        self._server.add_interest(interest)
        limit: asyncio.Future[Any] = asyncio.ensure_future(self._server.clock.sleep(timeout_s))
        waits: list[asyncio.Future[Any]] = [answer, limit]
        try:
            if not self._server.route(Inbound(subject, data, inbox)):
                raise NoResponders(subject)
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise BusTimeout(f"no answer on {subject} within {timeout_s} s")
            return answer.result()
        finally:
            limit.cancel()
            self._server.drop_interest(interest)

    async def subscribe(
        self,
        subject: str,
        handler: Callable[[Inbound], None],
        *,
        queue: str = "",
        confirmed: bool = True,
    ) -> Subscription:
        """Call `handler` for each message from the moment this returns."""
        self._check()
        interest = Interest(self, subject, queue, contained(handler))
        self._server.add_interest(interest)
        if confirmed:
            await asyncio.sleep(0)
        return _MemorySubscription(lambda: self._server.drop_interest(interest))

    def new_inbox(self) -> str:
        """Return a subject of one's own for answers."""
        return f"_INBOX.{next(self._server.inboxes)}"

    # streams

    async def declare(self, spec: StreamSpec) -> None:
        """Create the stream or bring it to this form."""
        self._check()
        self._server.declare(spec)

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
        """Store and return the stream sequence; see the port."""
        self._check()
        server = self._server
        seq = await server.asked(
            server.stream_of(subject),
            lambda: server.append(subject, data, fence=fence, msg_id=msg_id, headers=headers),
            timeout_s,
            changes=True,
        )
        await asyncio.sleep(0)
        return seq

    async def last(self, stream: str, subject: str, *, leader: bool = False) -> Stored | None:
        """Return the last message of `subject`."""
        self._check()
        await asyncio.sleep(0)
        found = self._server.stream(stream)
        if not leader:
            return found.last(subject)
        return await self._asked(found, lambda: found.last(subject), changes=False)

    async def _asked(
        self, stream: MemoryStream | None, act: Callable[[], T], *, changes: bool
    ) -> T:
        return await self._server.asked(stream, act, _API_TIMEOUT_S, changes=changes)

    async def range(
        self, stream: str, subject: str, *, from_seq: int, limit: int
    ) -> Sequence[Stored]:
        """Return up to `limit` messages of `subject` from `from_seq` on."""
        self._check()
        await asyncio.sleep(0)
        return self._server.stream(stream).range(subject, from_seq, limit)

    async def consume(
        self,
        stream: str,
        durable: str,
        filter_subject: str,
        handler: Callable[[Delivery], None],
        *,
        redeliver_all: bool = True,  # noqa: ARG002  memory has no acknowledgement wait
        max_pending: int = 65_536,
    ) -> Consumer:
        """Receive a durable consumer's messages; the newest owner gets them."""
        self._check()
        server, found = self._server, self._server.stream(stream)
        await self._asked(found, lambda: None, changes=False)
        consumer = found.consumers.setdefault(durable, MemoryConsumer(found, filter_subject))
        guarded = contained(handler)
        generation = consumer.take(
            lambda stored, again: guarded(_MemoryDelivery(server, consumer, stored, again)),
            max_pending,
        )
        self._consumers[consumer] = generation
        server.pump(consumer)

        def end() -> None:
            consumer.leave(generation)
            if self._consumers.get(consumer) == generation:
                del self._consumers[consumer]

        return _MemorySubscription(end)

    # leases

    async def lease_get(self, key: str) -> LeaseEntry:
        """Return the entry of `key`; revision 0 if never written."""
        self._check()
        await asyncio.sleep(0)
        server = self._server
        return await self._asked(server.bucket(), lambda: server.leases.get(key), changes=False)

    async def lease_put(self, key: str, value: bytes, *, revision: int, ttl_s: float) -> int:
        """Write if the key's revision is `revision`; raises WrongSequence."""
        self._check()

        def write() -> int:
            until_ms = self._server.clock.monotonic_ms() + ttl_s * 1000
            entry = self._server.leases.write(key, value, revision, until_ms)
            self._server.lease_written(key, entry)
            return entry.revision

        written = await self._asked(self._server.bucket(), write, changes=True)
        await asyncio.sleep(0)
        return written

    async def lease_delete(self, key: str, *, revision: int) -> None:
        """Give the lease up if it is still ours; else do nothing."""
        self._check()

        def write() -> None:
            with suppress(WrongSequence):
                entry = self._server.leases.write(key, None, revision, 0)
                self._server.lease_written(key, entry)

        await self._asked(self._server.bucket(), write, changes=True)

    async def lease_watch(
        self, pattern: str, handler: Callable[[str, LeaseEntry], None]
    ) -> Subscription:
        """Call `handler` for each live key that matches, then at each change."""
        self._check()
        watch = Watch(self, pattern, contained(handler))
        self._server.add_watch(watch)
        return _MemorySubscription(lambda: self._server.drop_watch(watch))

    # services

    async def serve(
        self, name: str, version: str, description: str, metadata: Mapping[str, str]
    ) -> Subscription:
        """Answer `$SRV.PING`, `.INFO` and `.STATS`, for all, for the name, for the instance."""
        self._check()
        number = self._server.clock.entropy(11).hex()
        identity = {
            "name": name,
            "id": number,
            "version": version,
            "metadata": dict(metadata),
        }
        verbs: dict[str, dict[str, Any]] = {
            "PING": {"type": "io.nats.micro.v1.ping_response"},
            "INFO": {"type": "io.nats.micro.v1.info_response", "description": description,
                     "endpoints": []},
            "STATS": {"type": "io.nats.micro.v1.stats_response", "endpoints": []},
        }  # fmt: skip
        ends: list[Subscription] = []
        for verb, more in verbs.items():
            answer = json.dumps({**identity, **more}).encode()

            def reply(message: Inbound, answer: bytes = answer) -> None:
                if message.reply:
                    self.publish(message.reply, answer)

            subjects = (f"$SRV.{verb}{rest}" for rest in ("", f".{name}", f".{name}.{number}"))
            ends.extend([await self.subscribe(subject, reply) for subject in subjects])
        return _Together(ends)

    async def flush(self) -> None:
        """Return when what was sent before has been handed over."""
        self._check()
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Disconnect; no handler is called any more."""
        for consumer, generation in self._consumers.items():
            consumer.leave(generation)
        self._connected = False
        await self._server.leave(self)


class _Together:
    def __init__(self, parts: Sequence[Subscription]) -> None:
        self._parts = parts

    async def stop(self) -> None:
        for part in self._parts:
            await part.stop()


class MemoryServer(MemoryBroker):
    """A fake server with its clients."""

    async def connect(self, name: str) -> MemoryBus:
        """Return a new client."""
        bus = MemoryBus(self, name)
        self.enter(bus)
        return bus

    @staticmethod
    def cut(bus: MemoryBus) -> None:
        """Disconnect a client: its calls fail and core messages pass it by."""
        bus.set_connected(False)

    @staticmethod
    def mend(bus: MemoryBus) -> None:
        """Reconnect a client: its subscriptions stand again, its consumers start over."""
        bus.set_connected(True)

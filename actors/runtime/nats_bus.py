"""The bus on NATS with JetStream (server ≥ 2.14); implements the bus port.

Two connections: one for everything, and, opened when first needed, one for replay, because a
batched direct get delays the writes of the connection that it runs on.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from nats.micro import add_service
from nats.micro.service import Service, ServiceConfig

from actors.runtime import metrics
from actors.runtime.failure import contained
from actors.runtime.nats_api import (
    LEASE_MARKER_S,
    NOT_FOUND,
    Refusal,
    is_tombstone,
    read_ack,
    read_answer,
    read_direct,
    read_leader,
    stream_config,
    ttl_header,
)
from actors.runtime.nats_consumer import DurableConsumer, LeaseWatch
from actors.runtime.nats_wire import Wire
from actors.runtime.raw_headers import RawHeaders, encode_headers, status_of
from contracts.errors import BusUnavailable, NoResponders, WrongSequence
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
from contracts.ports.clock import Clock
from contracts.subjects import LEASE_BUCKET

API_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 1.0
"""Of one message. While a stream has no leader nobody answers, and a request that was sent then is
never answered: who waits for the end of an election asks anew."""

RECEIVER_ACK_WAIT_S = 3600.0
"""Acknowledgement wait of a consumer whose losses are repaired by starting over: longer than
any run waits in a queue, so that nothing is redelivered to the owner that holds it."""

_STORED = metrics.bus_appends.labels("stored")
_WRONG = metrics.bus_appends.labels("wrong_sequence")
_UNAVAILABLE = metrics.bus_appends.labels("unavailable")

_log = structlog.get_logger()


class _NatsSubscription:
    def __init__(self, end: Callable[[], Any]) -> None:
        self._end = end

    async def stop(self) -> None:
        await self._end()


class NatsBus:
    """A client of a NATS cluster. Make one with `connect`; end it with `close`."""

    def __init__(
        self, servers: Sequence[str], name: str, clock: Clock, inbox_prefix: str = "_INBOX"
    ) -> None:
        self._servers = list(servers)
        self._inbox_prefix = inbox_prefix
        self._name = name
        self._clock = clock
        self._listeners: list[Callable[[bool], None]] = []
        self._consumers: list[DurableConsumer | LeaseWatch] = []
        self._services: list[Service] = []
        self._said = ("", -1_000_000)
        self._wire = Wire(self._state_changed, self._report)
        self._replay_wire: Wire | None = None
        self._opening_replay = asyncio.Lock()

    @classmethod
    async def connect(
        cls,
        servers: Sequence[str],
        *,
        name: str,
        clock: Clock,
        timeout_s: float = 10.0,
        inbox_prefix: str = "_INBOX",
    ) -> "NatsBus":
        """Return a connected bus; `name` shows in `nats server report connections`, answers
        come to subjects under `inbox_prefix`, which a role's permissions may keep to itself.

        Raises BusUnavailable if no server takes the connection within `timeout_s`.
        """
        bus = cls(servers, name, clock, inbox_prefix)
        await bus._wire.open(bus._servers, name, timeout_s, inbox_prefix)
        metrics.bus_connected.labels(name).set(1)
        return bus

    @property
    def connected(self) -> bool:
        """True while the server is reachable."""
        return self._wire.connected

    def on_connection(self, handler: Callable[[bool], None]) -> None:
        """Call `handler` with True or False at each change of `connected`."""
        self._listeners.append(contained(handler))

    def _state_changed(self, connected: bool) -> None:
        metrics.bus_connected.labels(self._name).set(int(connected))
        _log.warning("bus connection changed", bus=self._name, connected=connected)
        for listener in self._listeners:
            listener(connected)
        if connected:
            for consumer in self._consumers:
                consumer.suspect()

    def _report(self, text: str) -> None:
        now_ms = self._clock.monotonic_ms()
        if text == self._said[0] and now_ms - self._said[1] < 5000:
            return
        self._said = (text, now_ms)
        _log.warning("bus error", bus=self._name, error=text)

    # core

    def publish(
        self,
        subject: str,
        data: bytes,
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send at most once, without waiting. Raises BusUnavailable: it was not sent."""
        self._wire.publish(subject, data, reply, encode_headers(headers) if headers else b"")

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        """Return the first answer. Raises NoResponders, BusTimeout, BusUnavailable."""
        answer, headers = await self._wire.ask(subject, data, timeout_s=timeout_s)
        if headers and status_of(headers) == 503:
            raise NoResponders(subject)
        return answer

    async def subscribe(
        self,
        subject: str,
        handler: Callable[[Inbound], None],
        *,
        queue: str = "",
        confirmed: bool = True,
    ) -> Subscription:
        """Call `handler` for each message from the moment this returns (the server knows)."""
        guarded = contained(handler)

        def route(subject: str, reply: str, data: bytes, headers: bytes) -> None:
            guarded(Inbound(subject, data, reply, RawHeaders(headers) if headers else None))

        return _NatsSubscription(
            await self._wire.subscribe(subject, route, queue, confirmed=confirmed)
        )

    def new_inbox(self) -> str:
        """Return a subject of one's own for answers."""
        return self._wire.client.new_inbox()

    # streams

    async def _api(
        self, subject: str, body: dict[str, Any] | None, timeout_s: float = API_TIMEOUT_S
    ) -> dict[str, Any]:
        data = msgspec.json.encode(body) if body is not None else b""
        answer = await self._wire.ask(f"$JS.API.{subject}", data, timeout_s=timeout_s)
        return read_answer(*answer)

    async def declare(self, spec: StreamSpec) -> None:
        """Create the stream or bring it to this form; may run twice, and concurrently."""
        config = stream_config(spec)
        try:
            await self._api(f"STREAM.CREATE.{spec.name}", config)
        except Refusal as refusal:
            if refusal.err_code != 10058:  # it exists in another form
                raise
            await self._api(f"STREAM.UPDATE.{spec.name}", config)

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
        """Store durably and return the stream sequence; see the port for what it raises."""
        fields = dict(headers) if headers else {}
        if fence is not None:
            fields["Nats-Expected-Last-Subject-Sequence"] = str(fence.seq)
            if fence.subject is not None:
                fields["Nats-Expected-Last-Subject-Sequence-Subject"] = fence.subject
        if msg_id:
            fields["Nats-Msg-Id"] = msg_id
        block = encode_headers(fields) if fields else b""
        try:
            answer, raw = await self._wire.ask(subject, data, timeout_s=timeout_s, headers=block)
            seq = read_ack(answer, raw)
        except WrongSequence:
            _WRONG.inc()
            raise
        except BusUnavailable:
            _UNAVAILABLE.inc()
            raise
        _STORED.inc()
        return seq

    async def last(self, stream: str, subject: str, *, leader: bool = False) -> Stored | None:
        """Return the last message of `subject`, from the leader or from any replica."""
        if not leader:
            direct = f"$JS.API.DIRECT.GET.{stream}.{subject}"
            return read_direct(*await self._wire.ask(direct, b"", timeout_s=READ_TIMEOUT_S))
        wanted = {"last_by_subj": subject}
        try:
            answer = await self._api(f"STREAM.MSG.GET.{stream}", wanted, READ_TIMEOUT_S)
        except Refusal as refusal:
            if refusal.err_code in NOT_FOUND:
                return None
            raise
        return read_leader(answer)

    async def range(
        self, stream: str, subject: str, *, from_seq: int, limit: int
    ) -> Sequence[Stored]:
        """Return up to `limit` messages of `subject` from stream sequence `from_seq` on."""
        wire = await self._replay()
        wanted = {"seq": max(1, from_seq), "next_by_subj": subject, "batch": limit}
        parts = await wire.gather(
            f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(wanted), timeout_s=API_TIMEOUT_S
        )
        status = status_of(parts[-1][1])
        if status not in (204, 404):
            raise BusUnavailable(f"the replay of {stream} ended with status {status}")
        found = (read_direct(*part) for part in parts[:-1])
        return [stored for stored in found if stored is not None]

    async def _replay(self) -> Wire:
        async with self._opening_replay:
            if self._replay_wire is None:
                wire = Wire(lambda _connected: None, self._report)
                name = f"{self._name} replay"
                await wire.open(self._servers, name, API_TIMEOUT_S, self._inbox_prefix)
                self._replay_wire = wire
        return self._replay_wire

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
        """Receive the messages of a durable consumer, taking it over from whoever had it.

        Taking over always starts from the oldest unacknowledged message. Without
        `redeliver_all` a message that stays unacknowledged comes again after 30 s.
        """
        consumer = DurableConsumer(
            self._wire,
            self._api,
            stream,
            durable,
            filter_subject,
            handler=contained(handler),
            ack_wait_s=RECEIVER_ACK_WAIT_S if redeliver_all else 30.0,
            max_pending=max_pending,
        )
        return await self._begin(consumer, consumer.take_over)

    async def _begin(
        self, consumer: "DurableConsumer | LeaseWatch", start: Callable[[], Any]
    ) -> "_Kept":
        self._consumers.append(consumer)
        kept = _Kept(self._consumers, consumer)
        try:
            await start()
        except BaseException:
            await kept.stop()
            raise
        return kept

    # leases

    async def lease_get(self, key: str) -> LeaseEntry:
        """Return the entry of `key` as the leader knows it; revision 0 if never written."""
        stored = await self.last(f"KV_{LEASE_BUCKET}", f"$KV.{LEASE_BUCKET}.{key}", leader=True)
        if stored is None:
            return LeaseEntry(None, 0)
        return LeaseEntry(None if is_tombstone(stored.headers) else stored.data, stored.seq)

    async def lease_put(self, key: str, value: bytes, *, revision: int, ttl_s: float) -> int:
        """Write if the key's revision is `revision`, for `ttl_s` (whole seconds, ≥ 1)."""
        return await self.append(
            f"$KV.{LEASE_BUCKET}.{key}",
            value,
            fence=Fence(revision),
            headers={"Nats-TTL": ttl_header(ttl_s)},
        )

    async def lease_delete(self, key: str, *, revision: int) -> None:
        """Give the lease up if it is still ours; else do nothing."""
        headers = {"KV-Operation": "DEL", "Nats-TTL": f"{LEASE_MARKER_S}s"}
        try:
            await self.append(
                f"$KV.{LEASE_BUCKET}.{key}", b"", fence=Fence(revision), headers=headers
            )
        except WrongSequence:
            return

    async def lease_watch(
        self, pattern: str, handler: Callable[[str, LeaseEntry], None]
    ) -> Subscription:
        """Call `handler` for each key that matches, then at each write, deletion and expiry."""
        watch = LeaseWatch(self._wire, self._api, LEASE_BUCKET, pattern, contained(handler))
        return await self._begin(watch, watch.begin)

    # services

    async def serve(
        self, name: str, version: str, description: str, metadata: Mapping[str, str]
    ) -> Subscription:
        """Answer NATS's service protocol (`$SRV.PING`, `.INFO`, `.STATS`) as `name`."""
        service = await add_service(
            self._wire.client,
            ServiceConfig(
                name=name, version=version, description=description, metadata=dict(metadata)
            ),
        )
        self._services.append(service)
        await self.flush()

        async def end() -> None:
            if service in self._services:
                self._services.remove(service)
                if self.connected:
                    await service.stop()

        return _NatsSubscription(end)

    async def flush(self) -> None:
        """Return when the server has processed all that was sent before."""
        await self._wire.flush()

    async def close(self) -> None:
        """Send what is buffered and disconnect."""
        for consumer in list(self._consumers):
            await consumer.stop()
        self._consumers.clear()
        if self.connected:
            for service in self._services:
                await service.stop()
        self._services.clear()
        if self._replay_wire is not None:
            await self._replay_wire.close()
        await self._wire.close()
        metrics.bus_connected.labels(self._name).set(0)


class _Kept:
    """A consumer that its bus repairs after each reconnect, until it is stopped."""

    def __init__(
        self,
        register: "list[DurableConsumer | LeaseWatch]",
        consumer: "DurableConsumer | LeaseWatch",
    ) -> None:
        self._register = register
        self._consumer = consumer

    async def stop(self) -> None:
        if self._consumer in self._register:
            self._register.remove(self._consumer)
        await self._consumer.stop()

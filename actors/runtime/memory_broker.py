"""The fake server of the in-memory bus: who is interested in what, and who is told."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from actors.runtime.memory_streams import MemoryConsumer, MemoryLeases, MemoryStream
from actors.runtime.racing import first_of
from actors.runtime.subject_routes import matches, rewrite
from contracts.errors import BusError, BusTimeout, BusUnavailable
from contracts.ports.bus import Fence, Inbound, LeaseEntry, Stored, StreamSpec
from contracts.ports.clock import Clock

T = TypeVar("T")


class Client(Protocol):
    """What the broker needs to know of a client."""

    @property
    def connected(self) -> bool:
        """Core messages and changes reach it only while it is connected."""
        ...


@dataclass(eq=False, slots=True)
class Interest:
    """A subscription."""

    bus: "Client"
    pattern: str
    queue: str
    handler: Callable[[Inbound], None]


@dataclass(eq=False, slots=True)
class Watch:
    """A watch on leases."""

    bus: "Client"
    pattern: str
    handler: Callable[[str, LeaseEntry], None]


class MemoryBroker:
    """What a NATS server would hold. The last client that leaves ends its one task (lease
    expiry)."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.streams: dict[str, MemoryStream] = {}
        self._stored_by: dict[str, MemoryStream] = {}
        self.leases = MemoryLeases()
        self.inboxes = itertools.count(1)
        self._named: dict[str, dict[Interest, None]] = {}
        self._wild: dict[Interest, None] = {}
        self._watches: list[Watch] = []
        self._buses: set[Client] = set()
        self._rotation = itertools.count()
        self._expiring: asyncio.Task[None] | None = None
        self._lease_written = asyncio.Event()

    def enter(self, bus: "Client") -> None:
        """Know a client."""
        self._buses.add(bus)

    async def leave(self, bus: "Client") -> None:
        """Forget a client and all that it subscribed to."""
        self._buses.discard(bus)
        for interest in [i for i in self._interests() if i.bus is bus]:
            self.drop_interest(interest)
        self._watches = [w for w in self._watches if w.bus is not bus]
        if not self._buses and self._expiring is not None:
            self._expiring.cancel()
            await asyncio.gather(self._expiring, return_exceptions=True)
            self._expiring = None

    # core

    def add_interest(self, interest: Interest) -> None:
        """Let a subscription receive from now on."""
        self._alike(interest.pattern)[interest] = None

    def drop_interest(self, interest: Interest) -> None:
        """End a subscription."""
        alike = self._alike(interest.pattern)
        alike.pop(interest, None)
        if not alike:
            self._named.pop(interest.pattern, None)

    def _alike(self, pattern: str) -> dict[Interest, None]:
        """Return where a subscription to `pattern` is kept: by its subject, if it names one."""
        if "*" in pattern or ">" in pattern:
            return self._wild
        return self._named.setdefault(pattern, {})

    def _interests(self) -> list[Interest]:
        return [*self._wild, *(i for alike in self._named.values() for i in alike)]

    def route(self, message: Inbound) -> int:
        """Hand a message to all interested, one a queue group; return how many."""
        loop = asyncio.get_running_loop()
        groups: dict[tuple[str, str], list[Interest]] = {}
        chosen: list[Interest] = []
        wild = [i for i in self._wild if matches(i.pattern, message.subject)]
        for interest in (*self._named.get(message.subject, ()), *wild):
            if not interest.bus.connected:
                continue
            if interest.queue:
                groups.setdefault((interest.pattern, interest.queue), []).append(interest)
            else:
                chosen.append(interest)
        chosen.extend(members[next(self._rotation) % len(members)] for members in groups.values())
        for interest in chosen:
            loop.call_soon(self._hand, interest, message)
        return len(chosen)

    def _hand(self, interest: Interest, message: Inbound) -> None:
        kept = self._wild if interest in self._wild else self._named.get(interest.pattern, {})
        if interest in kept and interest.bus.connected:
            interest.handler(message)

    # streams

    def declare(self, spec: StreamSpec) -> None:
        """Create a stream, or give it a new form."""
        if spec.name in self.streams:
            self.streams[spec.name].spec = spec
        else:
            self.streams[spec.name] = MemoryStream(spec)
        self._stored_by.clear()

    def stream_of(self, subject: str) -> MemoryStream:
        """Return the stream that stores `subject`. Raises BusUnavailable if none does."""
        found = self._stored_by.get(subject)
        if found is not None:
            return found
        for stream in self.streams.values():
            if any(matches(pattern, subject) for pattern in stream.spec.subjects):
                self._stored_by[subject] = stream
                return stream
        raise BusUnavailable(f"no stream stores {subject}")

    def stream(self, name: str) -> MemoryStream:
        """Return a stream by name. Raises BusUnavailable if there is none."""
        found = self.streams.get(name)
        if found is None:
            raise BusUnavailable(f"no stream {name}")
        found.expire(self.clock.now_ms())
        return found

    def append(
        self,
        subject: str,
        data: bytes,
        *,
        fence: Fence | None,
        msg_id: str,
        headers: Mapping[str, str] | None,
    ) -> int:
        """Store, republish, and deliver to consumers."""
        stream = self.stream_of(subject)
        stored, fresh = stream.append(
            subject,
            data,
            fence=fence,
            msg_id=msg_id,
            headers=dict(headers) if headers else None,
            now_ms=self.clock.now_ms(),
        )
        if fresh:
            republish = stream.spec.republish
            if republish is not None and matches(republish[0], subject):
                more = {
                    **(headers or {}),
                    "Nats-Stream": stream.spec.name,
                    "Nats-Sequence": str(stored.seq),
                }
                self.route(Inbound(rewrite(*republish, subject), data, "", more))
            for consumer in stream.consumers.values():
                if matches(consumer.pattern, subject):
                    self.pump(consumer)
        return stored.seq

    def pump(self, consumer: MemoryConsumer) -> None:
        """Deliver what may be delivered."""
        loop = asyncio.get_running_loop()
        for stored, again in consumer.pump():
            loop.call_soon(self._deliver, consumer, consumer.generation, stored, again)

    @staticmethod
    def _deliver(consumer: MemoryConsumer, generation: int, stored: Stored, again: bool) -> None:
        if consumer.generation == generation and consumer.deliver is not None:
            consumer.deliver(stored, again)

    # leaders

    def depose(self, name: str) -> None:
        """Take a stream's leader away: until `elect` nobody stores, acknowledges or delivers;
        replicas still answer reads that need no leader."""
        self.streams[name].led = False

    def elect(self, name: str) -> None:
        """Give a stream a leader again: it carries out what the last one had taken in, whether
        or not somebody waits for it, and delivers again what it knows no acknowledgement of."""
        stream = self.streams[name]
        if stream.led:
            return
        stream.led = True
        proposed, stream.proposed = stream.proposed, []
        for act in proposed:
            with suppress(BusError):
                act()
        for consumer in stream.consumers.values():
            consumer.restart()
            self.pump(consumer)
        self._lease_written.set()

    async def asked(
        self, stream: MemoryStream | None, act: Callable[[], T], timeout_s: float, *, changes: bool
    ) -> T:
        """Return what the leader of `stream` answers. Without one nothing does, and BusTimeout
        is raised; half of what `changes` something happens all the same, later."""
        if stream is None or stream.led:
            return act()
        if changes and self.clock.entropy(1)[0] & 1:
            stream.proposed.append(act)
        await self.clock.sleep(timeout_s)
        raise BusTimeout(f"stream {stream.spec.name} has no leader")

    def bucket(self) -> MemoryStream | None:
        """Return the stream of the leases, None if it was not declared."""
        return next((s for n, s in self.streams.items() if n.startswith("KV_")), None)

    # leases

    def lease_written(self, key: str, entry: LeaseEntry) -> None:
        """Tell the watchers, and see to it that entries expire."""
        loop = asyncio.get_running_loop()
        for watch in self._watches:
            if watch.bus.connected and matches(watch.pattern, key):
                loop.call_soon(self._show, watch, key, entry)
        self._lease_written.set()
        if self._expiring is None and self._buses:
            self._expiring = loop.create_task(self._expire_leases())

    def _show(self, watch: Watch, key: str, entry: LeaseEntry) -> None:
        if watch in self._watches:
            watch.handler(key, entry)

    def add_watch(self, watch: Watch) -> None:
        """Start a watch with what lives now."""
        self._watches.append(watch)
        self.show_all(watch)

    def show_all(self, watch: Watch) -> None:
        """Tell a watch all that lives."""
        loop = asyncio.get_running_loop()
        for key, entry in self.leases.entries.items():
            if entry.value is not None and matches(watch.pattern, key):
                loop.call_soon(self._show, watch, key, entry)

    def drop_watch(self, watch: Watch) -> None:
        """End a watch."""
        if watch in self._watches:
            self._watches.remove(watch)

    def resume(self, bus: "Client") -> None:
        """Show a reconnected client what it may have missed."""
        for watch in self._watches:
            if watch.bus is bus:
                self.show_all(watch)

    async def _expire_leases(self) -> None:
        while True:
            self._lease_written.clear()
            bucket = self.bucket()
            led = bucket is None or bucket.led
            for key, entry in self.leases.expire(self.clock.monotonic_ms()) if led else ():
                self.lease_written(key, entry)
            due_ms = self.leases.next_expiry_ms()
            if due_ms is None or not led:
                await self._lease_written.wait()
            else:
                left_s = (due_ms - self.clock.monotonic_ms()) / 1000
                await first_of(self._lease_written.wait(), self.clock.sleep(left_s))

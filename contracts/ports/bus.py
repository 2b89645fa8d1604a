"""The bus: subjects, streams with fences, leases with a time to live, services.

Real: NATS with JetStream. Fake: in memory. One suite (`tests/integration/bus`) runs on both.
Handlers are synchronous and must only hand the message on (to a mailbox); one that raises
takes down the actor that subscribed, not the bus.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Inbound:
    """A core message. `reply` is where an answer is awaited, empty if nowhere."""

    subject: str
    data: bytes
    reply: str = ""
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A message of a stream: `seq` is its stream sequence, from 1."""

    subject: str
    data: bytes
    seq: int
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Fence:
    """The append is stored only if the last sequence of `subject` in that stream is `seq`
    (0: no message). `subject` None means the subject appended to."""

    seq: int
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """How a stream is declared. `retention` `work` deletes a message when it is acknowledged.
    `discard_new`: a full stream refuses (`StreamFull`) instead of dropping its oldest.
    `republish` (source, destination) emits every committed message again, with the header
    `Nats-Sequence`. A name that begins with `KV_` declares a bucket of leases."""

    name: str
    subjects: tuple[str, ...]
    description: str
    retention: str = "limits"
    storage: str = "file"
    replicas: int = 1
    max_age_s: float = 0.0
    max_bytes: int = -1
    max_msgs: int = -1
    discard_new: bool = False
    republish: tuple[str, str] | None = None
    duplicate_window_s: float = 0.0
    metadata: Mapping[str, str] = field(default_factory=dict)


class Subscription(Protocol):
    """An interest in a subject."""

    async def stop(self) -> None:
        """End it; no handler call follows."""
        ...


class Delivery(Protocol):
    """A message of a durable consumer: redelivered until acknowledged."""

    @property
    def stored(self) -> Stored:
        """The message."""
        ...

    @property
    def redelivered(self) -> bool:
        """True from the second delivery on, as far as the server remembers: a consumer that
        was taken over, or that started over after an outage, counts anew."""
        ...

    def ack(self) -> None:
        """Mark it done, without waiting for the server."""
        ...

    async def ack_sync(self, *, timeout_s: float = 2.0) -> None:
        """Mark it done, and return when the server has it so: nobody is given it any more. May
        be repeated. Raises BusUnavailable: it may come again."""
        ...


class Consumer(Protocol):
    """A durable consumer of a stream."""

    async def stop(self) -> None:
        """Stop receiving; what is not acknowledged stays for the next consumer."""
        ...


@dataclass(frozen=True, slots=True)
class LeaseEntry:
    """The value of a key and its revision; `value` None: deleted or expired."""

    value: bytes | None
    revision: int


class Bus(Protocol):
    """See the module. Unless said otherwise, a call raises `BusUnavailable` (or its child
    `BusTimeout`) when the server can't be reached, and its effect is then unknown."""

    @property
    def connected(self) -> bool:
        """True while the server is reachable."""
        ...

    def on_connection(self, handler: Callable[[bool], None]) -> None:
        """Call `handler` with True or False at each change of `connected`."""
        ...

    # core

    def publish(
        self,
        subject: str,
        data: bytes,
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send at most once, without waiting. Raises BusUnavailable if it is known lost."""
        ...

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        """Return the first answer. Raises NoResponders, BusTimeout."""
        ...

    async def subscribe(
        self,
        subject: str,
        handler: Callable[[Inbound], None],
        *,
        queue: str = "",
        confirmed: bool = True,
    ) -> Subscription:
        """Call `handler` for each message from the moment this returns (the server knows).

        Not `confirmed`: the server is told, and its answer is not waited for. Whatever follows
        from a later message of this bus is heard all the same, since a server takes one
        connection's commands in order; what others send meanwhile may be missed.
        """
        ...

    def new_inbox(self) -> str:
        """Return a subject of one's own for answers."""
        ...

    # streams

    async def declare(self, spec: StreamSpec) -> None:
        """Create the stream or bring it to this form; may run twice, and concurrently."""
        ...

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
        """Store durably and return the stream sequence.

        Raises WrongSequence (the fence), StreamFull, BusUnavailable (unknown effect).
        `msg_id`: a second append with the same id within the stream's duplicate window is
        not stored and returns the first's sequence.
        """
        ...

    async def last(self, stream: str, subject: str, *, leader: bool = False) -> Stored | None:
        """Return the last message of `subject`, None if there is none. Without `leader` a
        replica may answer, and be behind."""
        ...

    async def range(
        self, stream: str, subject: str, *, from_seq: int, limit: int
    ) -> Sequence[Stored]:
        """Return up to `limit` messages of `subject` from stream sequence `from_seq` on, in
        order; empty if there are none."""
        ...

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
        """Receive the messages of a durable consumer, in order, each until acknowledged.

        `redeliver_all`: everything unacknowledged comes again at once, from the oldest (what
        a new owner wants), instead of after the acknowledgement wait. `max_pending` bounds
        what is delivered and not acknowledged; at the bound delivery pauses.
        """
        ...

    # leases: a compare-and-set register with a time to live

    async def lease_get(self, key: str) -> LeaseEntry:
        """Return the entry of `key` as the leader knows it; revision 0 if never written."""
        ...

    async def lease_put(self, key: str, value: bytes, *, revision: int, ttl_s: float) -> int:
        """Write if the key's revision is `revision`, and let it expire after `ttl_s` ≥ 1.

        Returns the new revision. Raises WrongSequence if another wrote, or it expired."""
        ...

    async def lease_delete(self, key: str, *, revision: int) -> None:
        """Give the lease up if it is still ours; else do nothing."""
        ...

    async def lease_watch(
        self, pattern: str, handler: Callable[[str, LeaseEntry], None]
    ) -> Subscription:
        """Call `handler` with key and entry: first for each live key that matches, then at
        each write, deletion and expiry."""
        ...

    # services

    async def serve(
        self, name: str, version: str, description: str, metadata: Mapping[str, str]
    ) -> Subscription:
        """Answer NATS's service protocol (`$SRV.PING`, `.INFO`, `.STATS`) as `name`."""
        ...

    async def flush(self) -> None:
        """Return when the server has processed all that was sent before."""
        ...

    async def close(self) -> None:
        """Send what is buffered and disconnect."""
        ...

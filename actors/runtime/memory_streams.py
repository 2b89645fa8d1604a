"""Streams, durable consumers and leases in memory: the fake server's state, without I/O."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from actors.runtime.subject_routes import matches
from contracts.errors import StreamFull, WrongSequence
from contracts.ports.bus import Fence, LeaseEntry, Stored, StreamSpec


def weight(stored: Stored) -> int:
    """Return the bytes that a message counts for: a little more than it holds."""
    return len(stored.data) + len(stored.subject) + 22


@dataclass(slots=True)
class MemoryStream:
    """One stream. Messages are kept by sequence and, for fences and reads, by subject. `led`:
    it has a leader; `proposed` is what the last one had taken in and the next will carry out."""

    spec: StreamSpec
    last_seq: int = 0
    size_bytes: int = 0
    messages: dict[int, Stored] = field(default_factory=dict)
    stored_at_ms: dict[int, int] = field(default_factory=dict)
    by_subject: dict[str, dict[int, Stored]] = field(default_factory=dict)
    seen_ids: dict[str, tuple[int, int]] = field(default_factory=dict)
    consumers: dict[str, "MemoryConsumer"] = field(default_factory=dict)
    led: bool = True
    proposed: list[Callable[[], object]] = field(default_factory=list)

    def append(
        self,
        subject: str,
        data: bytes,
        *,
        fence: Fence | None,
        msg_id: str,
        headers: dict[str, str] | None,
        now_ms: int,
    ) -> tuple[Stored, bool]:
        """Store one message; return it, and False if it was a duplicate by `msg_id`.

        Raises WrongSequence, StreamFull, as the port says.
        """
        self.expire(now_ms)
        if msg_id and msg_id in self.seen_ids:
            seq, _ = self.seen_ids[msg_id]
            return Stored(subject, data, seq, headers), False
        if fence is not None:
            last = self.last(fence.subject or subject)
            found = last.seq if last else 0
            if found != fence.seq:
                raise WrongSequence(f"expected {fence.seq}, the last is {found}")
        self._make_room(weight(Stored(subject, data, 0, headers)))
        self.last_seq += 1
        stored = Stored(subject, data, self.last_seq, headers)
        self.messages[stored.seq] = stored
        self.stored_at_ms[stored.seq] = now_ms
        self.by_subject.setdefault(subject, {})[stored.seq] = stored
        self.size_bytes += weight(stored)
        if msg_id:
            self.seen_ids[msg_id] = (stored.seq, now_ms)
        return stored, True

    def _make_room(self, size: int) -> None:
        spec = self.spec
        while (spec.max_msgs >= 0 and len(self.messages) >= spec.max_msgs) or (
            spec.max_bytes >= 0 and self.size_bytes + size > spec.max_bytes
        ):
            if spec.discard_new or not self.messages:
                raise StreamFull(f"stream {spec.name} is at its limit")
            self.remove(next(iter(self.messages)))

    def remove(self, seq: int) -> None:
        """Forget a message; an unknown sequence is no error."""
        stored = self.messages.pop(seq, None)
        if stored is None:
            return
        self.stored_at_ms.pop(seq)
        self.size_bytes -= weight(stored)
        rest = self.by_subject[stored.subject]
        del rest[seq]
        if not rest:
            del self.by_subject[stored.subject]

    def expire(self, now_ms: int) -> None:
        """Forget what is older than the stream keeps, and message ids beyond their window."""
        if self.spec.max_age_s > 0:
            horizon = now_ms - self.spec.max_age_s * 1000
            while self.stored_at_ms:
                seq, at_ms = next(iter(self.stored_at_ms.items()))
                if at_ms >= horizon:
                    break
                self.remove(seq)
        window_ms = (self.spec.duplicate_window_s or 120.0) * 1000
        while self.seen_ids:
            msg_id, (_, at_ms) = next(iter(self.seen_ids.items()))
            if at_ms >= now_ms - window_ms:
                break
            del self.seen_ids[msg_id]

    def last(self, subject: str) -> Stored | None:
        """Return the newest message of a subject."""
        found = self.by_subject.get(subject)
        return next(reversed(found.values())) if found else None

    def range(self, subject: str, from_seq: int, limit: int) -> list[Stored]:
        """Return up to `limit` messages of `subject` from `from_seq` on, in order."""
        found = [s for seq, s in self.by_subject.get(subject, {}).items() if seq >= from_seq]
        return found[:limit]


@dataclass(slots=True, eq=False)
class MemoryConsumer:
    """A durable consumer: what it has delivered and what was acknowledged.

    `generation` grows at each take-over; a delivery of an older one reaches nobody.
    """

    stream: MemoryStream
    pattern: str
    deliver: Callable[[Stored, bool], None] | None = None
    max_pending: int = 65_536
    generation: int = 0
    position: int = 0
    unacked: set[int] = field(default_factory=set)
    delivered_once: set[int] = field(default_factory=set)
    acked: set[int] = field(default_factory=set)

    def take(self, deliver: Callable[[Stored, bool], None], max_pending: int) -> int:
        """Deliver to `deliver` from now on, beginning with the oldest unacknowledged."""
        self.generation += 1
        self.deliver = deliver
        self.max_pending = max_pending
        self.restart()
        return self.generation

    def restart(self) -> None:
        """Let everything unacknowledged come again, from the oldest."""
        self.unacked.clear()
        self.position = 0

    def leave(self, generation: int) -> None:
        """Stop delivering, if still to that owner."""
        if self.generation == generation:
            self.deliver = None

    def ack(self, seq: int) -> None:
        """Mark a message done; in a work queue that deletes it. Without a leader nobody hears
        it, and the message comes again."""
        if not self.stream.led:
            return
        self.unacked.discard(seq)
        self.delivered_once.discard(seq)
        if self.stream.spec.retention == "work":
            self.stream.remove(seq)
        else:
            self.acked.add(seq)

    def pump(self) -> Iterator[tuple[Stored, bool]]:
        """Yield what can be delivered now, with whether it was delivered before."""
        if not self.stream.led:
            return
        for seq, stored in list(self.stream.messages.items()):
            if self.deliver is None or len(self.unacked) >= self.max_pending:
                return
            if seq <= self.position or seq in self.acked:
                continue
            if not matches(self.pattern, stored.subject):
                continue
            self.position = seq
            self.unacked.add(seq)
            again = seq in self.delivered_once
            self.delivered_once.add(seq)
            yield stored, again


@dataclass(slots=True)
class MemoryLeases:
    """The compare-and-set register with a time to live."""

    last_revision: int = 0
    entries: dict[str, LeaseEntry] = field(default_factory=dict)
    expires_at_ms: dict[str, float] = field(default_factory=dict)

    def get(self, key: str) -> LeaseEntry:
        """Return the entry; revision 0 if never written."""
        return self.entries.get(key, LeaseEntry(None, 0))

    def write(self, key: str, value: bytes | None, revision: int, until_ms: float) -> LeaseEntry:
        """Write if `revision` is the key's. Raises WrongSequence."""
        found = self.get(key).revision
        if found != revision:
            raise WrongSequence(f"{key} is at revision {found}, not {revision}")
        self.last_revision += 1
        entry = LeaseEntry(value, self.last_revision)
        self.entries[key] = entry
        if value is None:
            self.expires_at_ms.pop(key, None)
        else:
            self.expires_at_ms[key] = until_ms
        return entry

    def expire(self, now_ms: float) -> list[tuple[str, LeaseEntry]]:
        """Expire what is due and return the changes."""
        due = [key for key, at_ms in self.expires_at_ms.items() if at_ms <= now_ms]
        return [(key, self.write(key, None, self.entries[key].revision, 0)) for key in due]

    def next_expiry_ms(self) -> float | None:
        """Return when the next entry expires, None if none lives."""
        return min(self.expires_at_ms.values(), default=None)

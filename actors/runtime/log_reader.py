"""Readers of run logs: the live subject for what comes, reads of the stream for the rest.

A reader that subscribed before its run began reads nothing but live messages. Only where the
chain shows a gap, at a late start, or after silence does it read the stream.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from actors.runtime import metrics
from actors.runtime.log_chain import LogChain
from actors.runtime.log_place import LogPlace
from actors.runtime.raw_headers import RawHeaders
from contracts.codec import decode
from contracts.errors import BadMessage, BusUnavailable, LogGone
from contracts.events import MessageSnapshot, NumberedEvent
from contracts.log import LogEntry, LogSnapshot
from contracts.ports.bus import Bus, Inbound, Stored, Subscription
from contracts.ports.clock import Clock
from contracts.ports.token_log import LogBatch
from contracts.subjects import live, token_snapshots

BUFFER_ENTRIES = 4096
"""Live entries that may wait for a slow consumer; more are dropped and read again later."""

RANGE_ENTRIES = 256
FIRST_CHECK_MS = 300
SILENCE_MS = 1000
SILENCE_MAX_MS = 5000
SWEEP_MS = 100
STALE_PATIENCE_MS = 5000
"""How long a replica may be behind the live subject before the missing part counts as gone."""


class Silent(Protocol):
    """What the sweeper looks after."""

    def sweep(self, now_ms: int) -> None:
        """Notice silence; `now_ms` is monotonic."""
        ...

    def look_again(self) -> None:
        """Something may have been missed."""
        ...


class Sweeper:
    """One task that notices silence for all readers; it lives while there is one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._readers: dict[Silent, None] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, reader: Silent) -> None:
        """Look after a reader."""
        self._readers[reader] = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def remove(self, reader: Silent) -> None:
        """Forget a reader; returns when no task is left if it was the last."""
        self._readers.pop(reader, None)
        if not self._readers and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    def wake_all(self) -> None:
        """Let every reader look again (after a reconnect)."""
        for reader in list(self._readers):
            reader.look_again()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_MS / 1000)
            now_ms = self._clock.monotonic_ms()
            for reader in list(self._readers):
                reader.sweep(now_ms)


def stream_sequence(headers: Mapping[str, str] | None) -> int:
    """Return the stream sequence that a republished message carries, 0 if it has none."""
    if isinstance(headers, RawHeaders):
        return headers.number("Nats-Sequence")
    return int(headers.get("Nats-Sequence", "0")) if headers else 0


def comes_from(headers: Mapping[str, str] | None, stream: str) -> bool:
    """Return whether a republished message is one of `stream`."""
    if isinstance(headers, RawHeaders):
        return headers.has("Nats-Stream", stream)
    return headers is not None and headers.get("Nats-Stream") == stream


class BusLogReader:
    """One reader of one run; see `contracts.ports.token_log.LogReader`.

    An end entry without events that was lost on the way is told late, or not at all where the
    terminal event follows: that one says as much.

    Args:
        after: None joins by snapshot; 0 expects to be there before the run begins, and reads
            the stream only if nothing comes; n > 0 reads at once what follows event n.
        places: where the log is: at home, and, where it may have moved, in its sibling.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        sweeper: Sweeper,
        run_id: str,
        after: int | None,
        places: Sequence[LogPlace],
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._sweeper = sweeper
        self._run_id = run_id
        self._places = places
        self._joining = after is None
        self._chain = LogChain((after or 0) + 1)
        self._live: deque[Inbound] = deque()
        self._overflowed = False
        self._waiter: asyncio.Future[None] | None = None
        self._active = False
        self._due = after != 0
        self._check_at_ms = 0
        self._silence_ms = SILENCE_MS
        self._behind_since_ms: int | None = None
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> "BusLogReader":
        # What is missed before the server knows is read from the stream, after it knows.
        self._subscription = await self._bus.subscribe(
            live(self._run_id), self._receive, confirmed=False
        )
        self._check_at_ms = self._clock.monotonic_ms() + FIRST_CHECK_MS
        self._sweeper.add(self)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._sweeper.remove(self)
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await subscription.stop()
        self._live.clear()

    def _receive(self, message: Inbound) -> None:
        if len(self._live) < BUFFER_ENTRIES:
            self._live.append(message)
        else:
            self._overflowed = True
        self._active = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def sweep(self, now_ms: int) -> None:
        """Notice that nothing came for a while; see `Sweeper`."""
        if self._active:
            self._active = False
            self._silence_ms = SILENCE_MS
            self._check_at_ms = now_ms + SILENCE_MS
        elif now_ms >= self._check_at_ms:
            self._check_at_ms = now_ms + self._silence_ms
            self._silence_ms = min(2 * self._silence_ms, SILENCE_MAX_MS)
            self.look_again()

    def look_again(self) -> None:
        """Read the stream's tail soon."""
        self._due = True
        self._wake()

    async def batches(self) -> AsyncIterator[LogBatch]:
        """Yield what is committed, in order, as it comes, until a terminal event.

        Raises LogGone if what it needs has aged out: serve from history.
        """
        chain = self._chain
        while True:
            if self._due and not chain.finished:
                await self._look()
            gap = self._drain()
            batch = chain.take()
            if batch is not None:
                yield batch
            elif chain.finished:
                return
            elif gap:
                await self._fill_gap()
            elif self._overflowed:
                self._overflowed = False
                self._due = True
            elif not self._due and not self._live:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter

    def _drain(self) -> bool:
        """Take what waits from the live subject; return True where the chain shows a gap."""
        waiting, chain = self._live, self._chain
        while waiting and not chain.finished:
            message = waiting[0]
            try:
                entry = decode(message.data, LogEntry)
            except BadMessage:
                waiting.popleft()
                self._due = True
                continue
            if not chain.offer(entry, stream_sequence(message.headers), self._place_of(message)):
                return True
            waiting.popleft()
        return False

    def _place_of(self, message: Inbound) -> int:
        """Return in which of its places the log has this entry."""
        return int(len(self._places) > 1 and comes_from(message.headers, self._places[1].stream))

    async def _look(self) -> bool:
        """Read what the log has and this reader has not; False where it is unreachable."""
        try:
            if self._joining:
                await self._join()
            whole = await self._catch_up()
        except BusUnavailable:
            await self._clock.sleep(0.25)
            return False
        if whole:
            self._due = False
        else:
            await self._wait_for_replica()
        return True

    async def _join(self) -> None:
        snapshot = await self._snapshot()
        self._joining = False
        if snapshot is not None and self._chain.next_seq == 1:
            self._chain.begin_with(snapshot, _shown(snapshot))

    async def _snapshot(self) -> LogSnapshot | None:
        stored = await self._bus.last(self._places[0].stream, token_snapshots(self._run_id))
        return None if stored is None else decode(stored.data, LogSnapshot)

    async def _catch_up(self) -> bool:
        """Read on from where this reader stands to what the replicas know as the end; False if
        what follows in the sibling is not known at home yet."""
        before = self._chain.next_seq
        for number in range(len(self._places)):
            if not await self._read_on(number):
                return False
        if self._chain.next_seq > before:
            self._behind_since_ms = None
        return True

    async def _read_on(self, number: int) -> bool:
        chain, place = self._chain, self._places[number]
        last = await self._bus.last(place.stream, place.entries)
        if last is None or last.seq <= chain.positions[number]:
            return True
        start = chain.positions[number] + 1
        if start == 1 and number == 0:
            start = await self._mark()
        while not chain.finished:
            found = await self._bus.range(
                place.stream, place.entries, from_seq=start, limit=RANGE_ENTRIES
            )
            if not self._take_stored(found, number):
                return False
            if len(found) < RANGE_ENTRIES:
                break
            start = found[-1].seq + 1
        return True

    async def _mark(self) -> int:
        """Return a stream sequence from which a read meets the next event: the nearest mark."""
        if self._chain.next_seq == 1:
            return 1
        snapshot = await self._snapshot()
        marks = snapshot.marks if snapshot is not None else ()
        return max((at for seq, at in marks if seq <= self._chain.next_seq), default=1)

    def _take_stored(self, found: Sequence[Stored], number: int) -> bool:
        """Take entries of a place; False for a gap before one of the sibling's, which a replica
        of home may not have yet. Raises LogGone for one at home."""
        for stored in found:
            if self._chain.finished:
                break
            if not self._chain.offer(decode(stored.data, LogEntry), stored.seq, number):
                if number:
                    return False
                raise LogGone(f"{self._run_id}: event {self._chain.next_seq} has aged out")
        return True

    async def _fill_gap(self) -> None:
        metrics.log_gaps.inc()
        before = self._chain.next_seq
        if not await self._look() or self._chain.next_seq > before:
            self._behind_since_ms = None
        elif not self._due:
            await self._wait_for_replica()

    async def _wait_for_replica(self) -> None:
        """Pause, a replica being behind. Raises LogGone once it has been for too long."""
        now_ms = self._clock.monotonic_ms()
        if self._behind_since_ms is None:
            self._behind_since_ms = now_ms
        elif now_ms - self._behind_since_ms > STALE_PATIENCE_MS:
            raise LogGone(f"{self._run_id}: event {self._chain.next_seq} is nowhere to be found")
        await self._clock.sleep(0.02)


def _shown(snapshot: LogSnapshot) -> list[NumberedEvent]:
    """Return what stands for the events up to the snapshot's: no two of one number."""
    text = NumberedEvent(seq=snapshot.seq, event=MessageSnapshot(text=snapshot.text))
    if snapshot.started is None:
        return [text]
    started = NumberedEvent(seq=snapshot.started_seq, event=snapshot.started)
    return [started] if snapshot.started_seq == snapshot.seq else [started, text]

"""The token log on any bus: claims, fenced writers, reads (ADR 0002).

The server fences: every entry names the claim that it is written under, and is refused once a
newer claim exists. An append or a claim whose answer was lost is settled by asking the
stream's leader what it holds.
"""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from actors.runtime import metrics
from actors.runtime.log_chain import LogFold
from actors.runtime.log_reader import RANGE_ENTRIES, BusLogReader, Sweeper
from contracts.codec import decode, encode
from contracts.errors import BusUnavailable, Fenced, LogGone, WrongSequence
from contracts.log import Claim, LogEntry, LogSnapshot
from contracts.ports.bus import Bus, Fence
from contracts.ports.clock import Clock
from contracts.ports.token_log import LogState
from contracts.subjects import (
    token_claims,
    token_entries,
    token_partition,
    token_snapshots,
    token_stream,
)

PATIENCE_MS = 15_000
"""How long a lost append is settled before BusUnavailable: longer than the election of a new
stream leader (7.3 s measured)."""

TRY_TIMEOUT_S = 2.0

RENEW_MS = 20_000
"""How old a claim may get. The streams drop what is old, by age and by bytes; a claim that was
dropped fences its own writer off."""


class BusRunWriter:
    """The right to write a run's log; see `contracts.ports.token_log.RunWriter`.

    The claim is renewed under the same attempt before it gets old, so an answer may take any
    time; its epoch grows then. `renew` replaces the claim that it is given.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        run_id: str,
        epoch: int,
        attempt: int,
        *,
        renew: Callable[[int], Awaitable[int]] | None = None,
        renew_ms: int = RENEW_MS,
    ) -> None:
        self._renew = renew
        self._renew_ms = renew_ms
        self._claimed_ms = clock.monotonic_ms()
        self._bus = bus
        self._clock = clock
        self._run_id = run_id
        self._stream = token_stream(token_partition(run_id))
        self._entries = token_entries(run_id)
        self._claims = token_claims(run_id)
        self._fence = Fence(epoch, self._claims)
        self._epoch = epoch
        self._attempt = attempt

    @property
    def epoch(self) -> int:
        """The stream sequence of the claim."""
        return self._epoch

    @property
    def attempt(self) -> int:
        """The attempt under which it was made."""
        return self._attempt

    async def append(self, entry: LogEntry) -> int:
        """Commit one entry, under the present epoch, and return its stream sequence; one at a
        time.

        Raises Fenced, BusUnavailable (after `PATIENCE_MS`), LogGone.
        """
        age_ms = self._clock.monotonic_ms() - self._claimed_ms
        if self._renew is not None and age_ms >= self._renew_ms:
            self._epoch = await self._renew(self._epoch)
            self._fence = Fence(self._epoch, self._claims)
            self._claimed_ms = self._clock.monotonic_ms()
        if entry.epoch != self._epoch:
            entry = replace(entry, epoch=self._epoch)
        data = encode(entry)
        try:
            return await self._store(data)
        except (WrongSequence, BusUnavailable):
            return await self._settle(entry, data)

    async def _store(self, data: bytes) -> int:
        return await self._bus.append(
            self._entries, data, fence=self._fence, timeout_s=TRY_TIMEOUT_S
        )

    async def _settle(self, entry: LogEntry, data: bytes) -> int:
        """Find out whether the entry is stored, and store it if it isn't and still may be."""
        give_up_ms = self._clock.monotonic_ms() + PATIENCE_MS
        pause_s = 0.02
        while True:
            try:
                stored_seq = await self._find(entry)
                if stored_seq is not None:
                    metrics.log_settled.labels("stored").inc()
                    return stored_seq
                seq = await self._store(data)
            except WrongSequence:
                continue
            except BusUnavailable:
                if self._clock.monotonic_ms() >= give_up_ms:
                    metrics.log_settled.labels("unknown").inc()
                    raise
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, 0.5)
            else:
                metrics.log_settled.labels("repeated").inc()
                return seq

    async def _find(self, entry: LogEntry) -> int | None:
        """Return where the entry is stored, None if it isn't and the claim stands.

        Raises Fenced, LogGone.
        """
        last = await self._bus.last(self._stream, self._entries, leader=True)
        if last is not None and decode(last.data, LogEntry) == entry:
            return last.seq
        claim = await self._bus.last(self._stream, self._claims, leader=True)
        if claim is None:
            raise LogGone(f"{self._run_id}: the claim is gone")
        if claim.seq != self._epoch:
            raise Fenced(f"{self._run_id}: claim {claim.seq} follows {self._epoch}")
        return None

    async def snapshot(self, snapshot: LogSnapshot) -> None:
        """Commit all so far, fenced; a snapshot that can't be stored now is left out.

        Raises Fenced.
        """
        try:
            await self._bus.append(
                token_snapshots(self._run_id),
                encode(snapshot),
                fence=self._fence,
                timeout_s=TRY_TIMEOUT_S,
            )
        except WrongSequence as error:
            raise Fenced(f"{self._run_id}: a newer claim follows {self._epoch}") from error
        except BusUnavailable:
            metrics.log_settled.labels("snapshot_lost").inc()


class BusTokenLog:
    """Claims, reads and follows run logs on a bus; see `contracts.ports.token_log.TokenLog`."""

    def __init__(self, bus: Bus, clock: Clock, *, renew_ms: int = RENEW_MS) -> None:
        self._bus = bus
        self._clock = clock
        self._renew_ms = renew_ms
        self._sweeper = Sweeper(clock)
        bus.on_connection(self._connection_changed)

    def _connection_changed(self, connected: bool) -> None:
        if connected:
            self._sweeper.wake_all()

    async def claim(
        self, run_id: str, *, writer: str, attempt: int, expect_epoch: int | None, now_ms: int
    ) -> BusRunWriter:
        """Take over the writing of a run; see the port.

        Raises Fenced (a higher attempt holds it, or `expect_epoch` was wrong), BusUnavailable.
        """

        async def renew(epoch: int) -> int:
            return await self._claim(run_id, writer, attempt, epoch, self._clock.now_ms())

        epoch = await self._claim(run_id, writer, attempt, expect_epoch, now_ms)
        return BusRunWriter(
            self._bus,
            self._clock,
            run_id,
            epoch,
            attempt,
            renew=renew,
            renew_ms=self._renew_ms,
        )

    async def _claim(
        self, run_id: str, writer: str, attempt: int, expect_epoch: int | None, now_ms: int
    ) -> int:
        """Return the epoch of a new claim."""
        give_up_ms = self._clock.monotonic_ms() + PATIENCE_MS
        claim_id = self._clock.entropy(8).hex()
        tried = False
        while True:
            try:
                epoch, first = expect_epoch or 0, 0
                if tried or expect_epoch is None:
                    found = await self.read_claim(run_id)
                    if found is not None and found[1].claim_id == claim_id:
                        return found[0]
                    epoch, first = _place_after(found, attempt, expect_epoch)
                ours = Claim(
                    writer=writer, attempt=attempt, first=first, at_ms=now_ms, claim_id=claim_id
                )
                tried = True
                return await self._bus.append(
                    token_claims(run_id),
                    encode(ours),
                    fence=Fence(epoch),
                    timeout_s=TRY_TIMEOUT_S,
                )
            except WrongSequence:
                continue
            except BusUnavailable:
                if self._clock.monotonic_ms() >= give_up_ms:
                    raise
                await self._clock.sleep(0.1)

    async def read_claim(self, run_id: str) -> tuple[int, Claim] | None:
        """Return epoch and claim as the leader knows them; None: never claimed."""
        stream = token_stream(token_partition(run_id))
        stored = await self._bus.last(stream, token_claims(run_id), leader=True)
        return None if stored is None else (stored.seq, decode(stored.data, Claim))

    async def read(self, run_id: str) -> LogState:
        """Return all that the leader has committed; a snapshot stands for what has aged out.

        Raises LogGone if entries are missing all the same, BusUnavailable.
        """
        try:
            return await self._read(run_id, LogFold(), 1)
        except LogGone:
            stream = token_stream(token_partition(run_id))
            stored = await self._bus.last(stream, token_snapshots(run_id), leader=True)
            if stored is None:
                raise
            snapshot = decode(stored.data, LogSnapshot)
        return await self._read(run_id, LogFold(snapshot), snapshot.stream_seq + 1)

    async def _read(self, run_id: str, fold: LogFold, next_seq: int) -> LogState:
        """Add up what is stored from stream sequence `next_seq` on."""
        stream = token_stream(token_partition(run_id))
        subject = token_entries(run_id)
        last = await self._bus.last(stream, subject, leader=True)
        end = last.seq if last is not None else 0
        give_up_ms = self._clock.monotonic_ms() + PATIENCE_MS
        while next_seq <= end:
            found = await self._bus.range(stream, subject, from_seq=next_seq, limit=RANGE_ENTRIES)
            for stored in found:
                fold.add(decode(stored.data, LogEntry))
                next_seq = stored.seq + 1
            if not found and next_seq <= end:  # the replica that answered is behind
                if self._clock.monotonic_ms() >= give_up_ms:
                    raise BusUnavailable(f"{stream}: replicas stay behind the leader")
                await self._clock.sleep(0.02)
        return fold.state()

    def follow(self, run_id: str, *, after: int | None) -> BusLogReader:
        """Open a reader; see the port and `BusLogReader` for what `after` means."""
        return BusLogReader(self._bus, self._clock, self._sweeper, run_id, after)


def _place_after(
    found: tuple[int, Claim] | None, attempt: int, expect_epoch: int | None
) -> tuple[int, int]:
    """Return the claim that ours replaces and the run's first. Raises Fenced."""
    epoch, first = 0, 0
    if found is not None:
        epoch, claim = found
        first = claim.first or epoch
        if claim.attempt > attempt:
            raise Fenced(f"attempt {claim.attempt} holds the log, not {attempt}")
    if expect_epoch is not None and expect_epoch != epoch:
        raise Fenced(f"the claim is {epoch}, not {expect_epoch}")
    return epoch, first

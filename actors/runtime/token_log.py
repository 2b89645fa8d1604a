"""The token log on any bus: claims, fenced writers, reads (ADR 0002, ADR 0028).

The server fences: every entry names the claim that it is written under, and is refused once a
newer claim exists.
"""

from actors.runtime.log_chain import LogFold
from actors.runtime.log_place import (
    PATIENCE_MS,
    Claimer,
    LogPlace,
    home_of,
    read_claim,
    sibling_of,
)
from actors.runtime.log_reader import RANGE_ENTRIES, BusLogReader, Sweeper
from actors.runtime.log_writer import RENEW_MS, BusRunWriter
from contracts.codec import decode
from contracts.errors import BusUnavailable, LogGone
from contracts.events import MessageSnapshot
from contracts.ids import made_since_ms
from contracts.log import CLOSING_ATTEMPT, Claim, LogEntry, LogSnapshot, seq_anew
from contracts.ports.bus import Bus
from contracts.ports.clock import Clock
from contracts.ports.token_log import LogState
from contracts.subjects import token_snapshots

_READS = 3
"""How often a log is read that moved while it was read."""

KEPT_MS = 15 * 60_000
"""How long the streams keep what they have (`max_age_s`, `ops/streams.py`), if there is room."""

_RENEWALS = 3
"""So many times a claim is renewed before a stream drops anything, also for want of room."""


class BusTokenLog:
    """Claims, reads and follows run logs on a bus; see `contracts.ports.token_log.TokenLog`.

    `siblings`: a log may go on in its sibling partition's stream. All roles of a system have
    the same: where streams have replicas, and so elections.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        *,
        siblings: bool = False,
        renew_ms: int = RENEW_MS,
        kept_ms: int = KEPT_MS,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._siblings = siblings
        self._renew_ms = renew_ms
        self._kept_ms = kept_ms
        self._sweeper = Sweeper(clock)
        bus.on_connection(self._connection_changed)

    def _connection_changed(self, connected: bool) -> None:
        if connected:
            self._sweeper.wake_all()

    async def claim(
        self,
        run_id: str,
        *,
        writer: str,
        attempt: int,
        expect_epoch: int | None,
        moved: bool = False,
    ) -> BusRunWriter:
        """Take over the writing of a run; see the port.

        Who does not name the claim that it replaces may meet a writer that lives: it takes both
        places, and so knows where the log goes on, and that nobody else writes in either. Where
        it finds nothing, what was told may have been dropped: it begins anew (ADR 0030). So does
        who was vouched for as the first, but so long ago that a later claim may be dropped.

        Raises Fenced (a higher attempt holds it, or `expect_epoch` was wrong), BusUnavailable.
        """
        claimer = Claimer(self._bus, self._clock, writer, attempt)
        if moved:
            hold = await claimer.take(sibling_of(run_id), expect_epoch)
            return BusRunWriter(claimer, self._clock, hold, moved=True, renew_ms=self._renew_ms)
        dropped = not expect_epoch and self._may_have_dropped(run_id, expect_epoch)
        if dropped:
            expect_epoch = None
        hold = home = await claimer.take(home_of(run_id), expect_epoch)
        beside = sibling_of(run_id) if self._siblings else None
        sibling = None
        if beside is not None and expect_epoch is None and (dropped or not hold.first):
            sibling = await claimer.take(beside, None)
            if await sibling.has_entries():
                hold, moved = sibling, True
        taken = BusRunWriter(
            claimer,
            self._clock,
            hold,
            moved=moved,
            beside=beside,
            sibling=sibling,
            renew_ms=self._renew_ms,
            first_seq=seq_anew(self._clock.now_ms()) if dropped else 1,
        )
        if dropped and attempt < CLOSING_ATTEMPT and not (moved or await home.has_entries()):
            await self._begin_anew(taken)
        return taken

    async def _begin_anew(self, writer: BusRunWriter) -> None:
        await writer.append(
            LogEntry(
                epoch=writer.epoch,
                seq=writer.first_seq,
                events=(MessageSnapshot(text=""),),
                at_ms=self._clock.now_ms(),
            )
        )

    def _may_have_dropped(self, run_id: str, expect_epoch: int | None) -> bool:
        """Whether a run is old enough for its streams to have dropped what was told of it, or
        all that was after somebody vouched that nothing had been."""
        since_ms = made_since_ms(run_id)
        kept_ms = _RENEWALS * self._renew_ms if expect_epoch is None else self._kept_ms
        return since_ms is not None and self._clock.now_ms() - since_ms >= kept_ms

    async def read_claim(self, run_id: str) -> tuple[int, Claim] | None:
        """Return epoch and claim as the leader knows them; None: never claimed."""
        return await read_claim(self._bus, home_of(run_id))

    async def read(self, run_id: str) -> LogState:
        """Return all that the leaders have committed; a snapshot stands for what has aged out.

        Raises LogGone if entries are missing all the same, BusUnavailable.
        """
        for left in reversed(range(_READS)):
            fold = await self._read_home(run_id)
            if not self._siblings:
                break
            try:
                await self._read(sibling_of(run_id), fold, 1)
                break
            except LogGone:
                if not left:
                    raise
        return fold.state()

    async def _read_home(self, run_id: str) -> LogFold:
        home = home_of(run_id)
        try:
            return await self._read(home, LogFold(), 1)
        except LogGone:
            stored = await self._bus.last(home.stream, token_snapshots(run_id), leader=True)
            if stored is None:
                raise
            snapshot = decode(stored.data, LogSnapshot)
        return await self._read(home, LogFold(snapshot), snapshot.stream_seq + 1)

    async def _read(self, place: LogPlace, fold: LogFold, next_seq: int) -> LogFold:
        """Add up what is stored in a place from stream sequence `next_seq` on."""
        stream, subject = place.stream, place.entries
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
        return fold

    def follow(self, run_id: str, *, after: int | None) -> BusLogReader:
        """Open a reader; see the port and `BusLogReader` for what `after` means."""
        places = [home_of(run_id), *([sibling_of(run_id)] if self._siblings else [])]
        return BusLogReader(self._bus, self._clock, self._sweeper, run_id, after, places)

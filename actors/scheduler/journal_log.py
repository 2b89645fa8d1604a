"""The journal on the bus: one writer at a time, by the server's word."""

import msgspec
import structlog

from actors.scheduler.journal import JournalEntry, Recollection
from contracts.codec import decode, encode
from contracts.errors import BadMessage, BusUnavailable, Fenced, WrongSequence
from contracts.ports.bus import Bus, Fence
from contracts.ports.clock import Clock
from contracts.subjects import JOURNAL_STREAM, scheduler_journal

_log = structlog.get_logger()
_RANGE = 64
_TRY_TIMEOUT_S = 2.0
_PAUSE_S = 0.05
_PATIENCE_MS = 15_000


class JournalLog:
    """A pool's journal. Each append names the last entry that this writer knows, so the server
    refuses one who was replaced: from `open` on only the newest opener writes."""

    def __init__(self, bus: Bus, clock: Clock, pool: str) -> None:
        self._bus = bus
        self._clock = clock
        self._subject = scheduler_journal(pool)
        self._last = 0
        self._since = 0
        self._lap = 0
        self._lap_began = 0

    async def open(self, term: int) -> Recollection:
        """Shut out earlier writers, and return what they left.

        Raises BusUnavailable.
        """
        while True:
            known = await self._read()
            try:
                await self.store(JournalEntry(term=term, number=0))
            except Fenced:
                continue
            return known

    async def store(self, entry: JournalEntry) -> None:
        """Append an entry; one at a time.

        Raises Fenced: another scheduler writes the journal now. BusUnavailable: it may be
        stored or not; the same entry may be stored again.
        """
        entry = msgspec.structs.replace(entry, since=self._since)
        data = encode(entry)
        try:
            seq = await self._bus.append(
                self._subject, data, fence=Fence(self._last), timeout_s=_TRY_TIMEOUT_S
            )
        except WrongSequence as error:
            seq = await self._mine(data, error)
        self._last = seq
        if entry.lap != self._lap:
            self._lap, self._lap_began = entry.lap, seq
        if entry.whole:
            self._since = self._lap_began

    async def _mine(self, data: bytes, error: WrongSequence) -> int:
        """Return where an entry is that an earlier try has stored. Raises Fenced."""
        last = await self._bus.last(JOURNAL_STREAM, self._subject, leader=True)
        if last is not None and last.data == data:
            return last.seq
        raise Fenced(f"{self._subject}: {error}") from error

    async def _read(self) -> Recollection:
        last = await self._bus.last(JOURNAL_STREAM, self._subject, leader=True)
        if last is None:
            self._last = self._since = 0
            return Recollection()
        self._last = last.seq
        try:
            self._since = decode(last.data, JournalEntry).since
            return await self._recollected(self._since, last.seq)
        except BadMessage as error:
            _log.error("journal does not decode, begun anew", error=str(error))
            self._since = 0
            return Recollection()

    async def _recollected(self, seq: int, end: int) -> Recollection:
        """Return what the entries up to stream sequence `end` say; a replica that is behind is
        asked again. Others have their turn after each entry: the lease must be renewed
        meanwhile. Raises BadMessage, BusUnavailable."""
        give_up_ms = self._clock.monotonic_ms() + _PATIENCE_MS
        known = Recollection()
        while seq <= end:
            part = await self._bus.range(
                JOURNAL_STREAM, self._subject, from_seq=max(1, seq), limit=_RANGE
            )
            for stored in part:
                known.take(decode(stored.data, JournalEntry))
                seq = stored.seq + 1
                await self._clock.sleep(0)
            if not part:
                if self._clock.monotonic_ms() >= give_up_ms:
                    raise BusUnavailable(f"{JOURNAL_STREAM}: replicas stay behind the leader")
                await self._clock.sleep(_PAUSE_S)
        return known

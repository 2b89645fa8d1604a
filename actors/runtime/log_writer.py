"""Writing a run's log: fenced, settled where an answer was lost, moved where nobody answers.

An append whose answer was lost is settled by asking the stream's leader what it holds. Where the
stream has no leader and its log has a sibling, the writer claims that one too and goes on there
(ADR 0028). It never comes back.
"""

from msgspec.structs import replace

from actors.runtime import metrics
from actors.runtime.log_place import (
    PATIENCE_MS,
    TRY_TIMEOUT_S,
    Claimer,
    Hold,
    LogPlace,
)
from contracts.codec import encode
from contracts.errors import BusUnavailable, Fenced, LogGone, WrongSequence
from contracts.log import LogEntry, LogSnapshot
from contracts.ports.clock import Clock
from contracts.subjects import token_snapshots

RENEW_MS = 20_000
"""How old a claim may get. The streams drop what is old, by age and by bytes; a claim that was
dropped fences its own writer off."""

MOVE_AFTER_S = 0.5
"""How long a writer that may move waits for an answer: longer than a stream with a leader takes
on a busy machine, shorter than a reader minds."""


class BusRunWriter:
    """The right to write a run's log; see `contracts.ports.token_log.RunWriter`.

    Claims are renewed under the same attempt before they get old, so an answer may take any
    time; their epochs grow then.

    Args:
        hold: the claim of the place where the log goes on.
        moved: that is the sibling.
        beside: the sibling, if the writer may move there; `sibling`: its claim of that, if it
            has one already.
        first_seq: see the port.
    """

    def __init__(
        self,
        claimer: Claimer,
        clock: Clock,
        hold: Hold,
        *,
        moved: bool = False,
        beside: LogPlace | None = None,
        sibling: Hold | None = None,
        renew_ms: int = RENEW_MS,
        first_seq: int = 1,
    ) -> None:
        self.first_seq = first_seq
        self._claimer = claimer
        self._clock = clock
        self._hold = hold
        self._moved = moved
        self._beside = beside
        self._sibling = sibling
        self._renew_ms = renew_ms
        self._claimed_ms = clock.monotonic_ms()

    @property
    def epoch(self) -> int:
        """The stream sequence of the claim."""
        return self._hold.epoch

    @property
    def moved(self) -> bool:
        """Whether that is a claim of the sibling."""
        return self._moved

    @property
    def attempt(self) -> int:
        """The attempt under which it was made."""
        return self._claimer.attempt

    async def append(self, entry: LogEntry) -> int:
        """Commit one entry, under the present epoch, and return its stream sequence; one at a
        time.

        Raises Fenced, BusUnavailable (after `PATIENCE_MS`), LogGone (also where the entry
        would begin a log whose entries were dropped since it was claimed).
        """
        if entry.seq == 1 < self.first_seq:
            raise LogGone(f"{self._hold.place.run_id}: it was told before, and is dropped")
        if self._clock.monotonic_ms() - self._claimed_ms >= self._renew_ms:
            await self._renew()
        patience_s = MOVE_AFTER_S if self._may_move else TRY_TIMEOUT_S
        try:
            return await self._hold.store(_under(self._hold, entry), patience_s)
        except WrongSequence:
            pass
        except BusUnavailable:
            await self._move()
        return await self._settle(entry)

    @property
    def _may_move(self) -> bool:
        return self._beside is not None and not self._moved

    async def _move(self) -> bool:
        """Go on in the sibling, from the entry on that home did not acknowledge: should home
        have it all the same, the two are one. Returns False where there is none to go to, where
        that can't be had either, or all is out of reach: home may answer when it is back.

        Raises Fenced: a newer attempt has been there.
        """
        if self._beside is None or self._moved or not self._claimer.connected:
            return False
        if self._sibling is None:
            try:
                self._sibling = await self._claimer.take(self._beside, None, patience_ms=0)
            except BusUnavailable:
                return False
        self._hold, self._moved = self._sibling, True
        metrics.log_settled.labels("moved").inc()
        return True

    async def _settle(self, entry: LogEntry) -> int:
        """Find out whether the entry is stored, and store it if it isn't and still may be."""
        give_up_ms = self._clock.monotonic_ms() + PATIENCE_MS
        pause_s = 0.02
        while True:
            hold = self._hold
            ours = _under(hold, entry)
            try:
                stored_seq = await hold.find(ours)
                if stored_seq is not None:
                    metrics.log_settled.labels("stored").inc()
                    return stored_seq
                seq = await hold.store(ours)
            except WrongSequence:
                continue
            except BusUnavailable:
                if self._clock.monotonic_ms() >= give_up_ms:
                    metrics.log_settled.labels("unknown").inc()
                    raise
                if await self._move():
                    continue
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, 0.5)
            else:
                metrics.log_settled.labels("repeated").inc()
                return seq

    async def _renew(self) -> None:
        self._hold = await self._claimer.take(self._hold.place, self._hold.epoch)
        if self._sibling is not None and not self._moved:
            await self._renew_sibling(self._sibling)
        self._claimed_ms = self._clock.monotonic_ms()

    async def _renew_sibling(self, sibling: Hold) -> None:
        """Keep what fences older writers off the place that this one does not use; they had
        to be silent for longer than a stream keeps anything to come back, so it may fail."""
        try:
            self._sibling = await self._claimer.take(sibling.place, sibling.epoch, patience_ms=0)
        except BusUnavailable:
            metrics.log_settled.labels("sibling_not_renewed").inc()

    async def snapshot(self, snapshot: LogSnapshot) -> None:
        """Commit all so far, fenced; a snapshot that can't be stored now is left out, and so is
        one of a log that has moved: its places are those of the other stream.

        Raises Fenced.
        """
        if self._moved:
            return
        subject = token_snapshots(self._hold.place.run_id)
        try:
            await self._hold.store_beside(subject, encode(snapshot))
        except WrongSequence as error:
            raise Fenced(f"a newer claim follows {self._hold.epoch}") from error
        except BusUnavailable:
            metrics.log_settled.labels("snapshot_lost").inc()


def _under(hold: Hold, entry: LogEntry) -> LogEntry:
    return entry if entry.epoch == hold.epoch else replace(entry, epoch=hold.epoch)

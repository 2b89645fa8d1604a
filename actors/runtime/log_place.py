"""The two places of a run's log, and what it is to hold one of them (ADR 0002, ADR 0028).

A log lives at home, in the stream of its run's partition. Where that stream has no leader for a
while, it goes on in the sibling partition's stream. Each place has claims of its own, and the
server fences each by itself.
"""

from contracts.codec import decode, encode
from contracts.errors import BusUnavailable, Fenced, LogGone, WrongSequence
from contracts.log import Claim, LogEntry
from contracts.ports.bus import Bus, Fence
from contracts.ports.clock import Clock
from contracts.subjects import (
    token_claims,
    token_entries,
    token_partition,
    token_sibling,
    token_stream,
)

PATIENCE_MS = 15_000
"""How long a lost append is settled before BusUnavailable: longer than the election of a new
stream leader (7.3 s measured)."""

TRY_TIMEOUT_S = 2.0


class LogPlace:
    """One stream and what a run has there."""

    __slots__ = ("claims", "entries", "run_id", "stream")

    def __init__(self, run_id: str, partition: int) -> None:
        self.run_id = run_id
        self.stream = token_stream(partition)
        self.claims = token_claims(run_id, partition)
        self.entries = token_entries(run_id, partition)


def home_of(run_id: str) -> LogPlace:
    """Return where a log begins."""
    return LogPlace(run_id, token_partition(run_id))


def sibling_of(run_id: str) -> LogPlace:
    """Return where it may go on."""
    return LogPlace(run_id, token_sibling(token_partition(run_id)))


async def read_claim(bus: Bus, place: LogPlace) -> tuple[int, Claim] | None:
    """Return epoch and claim as the leader knows them; None: never claimed."""
    stored = await bus.last(place.stream, place.claims, leader=True)
    return None if stored is None else (stored.seq, decode(stored.data, Claim))


class Hold:
    """A claim of one place: the right to write there until another claims it. `first`: nobody
    held it before."""

    def __init__(self, bus: Bus, place: LogPlace, epoch: int, *, first: bool) -> None:
        self.place = place
        self.epoch = epoch
        self.first = first
        self._bus = bus
        self._fence = Fence(epoch, place.claims)

    async def store(self, entry: LogEntry, timeout_s: float = TRY_TIMEOUT_S) -> int:
        """Append under this claim. Raises WrongSequence, BusUnavailable (unknown effect)."""
        return await self._bus.append(
            self.place.entries, encode(entry), fence=self._fence, timeout_s=timeout_s
        )

    async def store_beside(self, subject: str, data: bytes) -> int:
        """Append something else under this claim. Raises as `store`."""
        return await self._bus.append(subject, data, fence=self._fence, timeout_s=TRY_TIMEOUT_S)

    async def find(self, entry: LogEntry) -> int | None:
        """Return where the entry is stored, None if it isn't and the claim stands.

        Raises Fenced, LogGone.
        """
        place = self.place
        last = await self._bus.last(place.stream, place.entries, leader=True)
        if last is not None and decode(last.data, LogEntry) == entry:
            return last.seq
        claim = await self._bus.last(place.stream, place.claims, leader=True)
        if claim is None:
            raise LogGone(f"{place.run_id}: the claim is gone")
        if claim.seq != self.epoch:
            raise Fenced(f"{place.run_id}: claim {claim.seq} follows {self.epoch}")
        return None

    async def has_entries(self) -> bool:
        """Return whether anything is written here, as the leader knows."""
        last = await self._bus.last(self.place.stream, self.place.entries, leader=True)
        return last is not None


class Claimer:
    """Claims places for one attempt of one writer."""

    def __init__(self, bus: Bus, clock: Clock, writer: str, attempt: int) -> None:
        self.attempt = attempt
        self._bus = bus
        self._clock = clock
        self._writer = writer

    @property
    def connected(self) -> bool:
        """True while a server is reachable, whoever leads there."""
        return self._bus.connected

    async def take(
        self, place: LogPlace, expect_epoch: int | None, patience_ms: int = PATIENCE_MS
    ) -> Hold:
        """Claim a place; `expect_epoch` is the claim believed current (0: none), None: read it.

        Raises Fenced (a higher attempt holds it, or `expect_epoch` was wrong), BusUnavailable
        (after `patience_ms`).
        """
        give_up_ms = self._clock.monotonic_ms() + patience_ms
        claim_id = self._clock.entropy(8).hex()
        now_ms = self._clock.now_ms()
        tried = False
        while True:
            try:
                epoch, first = expect_epoch or 0, 0
                if tried or expect_epoch is None:
                    found = await read_claim(self._bus, place)
                    if found is not None and found[1].claim_id == claim_id:
                        return Hold(self._bus, place, found[0], first=not found[1].first)
                    epoch, first = _place_after(found, self.attempt, expect_epoch)
                ours = Claim(
                    writer=self._writer,
                    attempt=self.attempt,
                    first=first,
                    at_ms=now_ms,
                    claim_id=claim_id,
                )
                tried = True
                taken = await self._bus.append(
                    place.claims, encode(ours), fence=Fence(epoch), timeout_s=TRY_TIMEOUT_S
                )
                return Hold(self._bus, place, taken, first=not epoch)
            except WrongSequence:
                continue
            except BusUnavailable:
                if self._clock.monotonic_ms() >= give_up_ms:
                    raise
                await self._clock.sleep(0.1)


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

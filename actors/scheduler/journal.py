"""What of a scheduler's state outlives it, as a journal of absolute values. Pure.

The runs themselves are in `RUNS`. Here is what they can't tell: the tags of tiers and users,
what dispatched runs were charged for, who was settled, and the budgets. An entry has the
present values of all that has changed since the last one, so entries need no order but their
own, and the last value of each counts (ADR 0012). Every few seconds a lap begins: all values
are written again, some with each entry; who reads from the beginning of the last whole lap has
all of them.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeVar

import msgspec

from actors.scheduler.accounts import AccountState, TierState, UserState
from actors.scheduler.budgets import AccountRecord, HoldRecord, LedgerSnapshot
from actors.scheduler.fair import FairOrder
from actors.scheduler.gate import Gate
from actors.scheduler.lengths import Lengths, LengthState
from actors.scheduler.promises import PromiseState
from contracts.base import Wire

_T = TypeVar("_T")

LAP_MS = 5_000
LAP_PART = 500
_LAPS_PATIENT = 13
"""After so many laps a run that was dispatched by an earlier scheduler, and is not in `RUNS` any
more, is given up."""


class JournalEntry(Wire):
    """What has changed. `lap` numbers laps within a term; `whole` says that this entry ends
    its lap. `since` is the stream sequence at which the last whole lap begins (0: there is
    none). `closed` names runs whose account is closed, `settled` runs that are over; a budget
    of size 0 is a bucket that was forgotten. `lines` say when the last place that was promised
    in each comes up."""

    term: int
    number: int
    since: int = 0
    lap: int = 0
    whole: bool = False
    virtual: int = 0
    tiers: tuple[TierState, ...] = ()
    users: tuple[UserState, ...] = ()
    accounts: tuple[AccountState, ...] = ()
    closed: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    lengths: tuple[LengthState, ...] = ()
    budgets: tuple[AccountRecord, ...] = ()
    holds: tuple[HoldRecord, ...] = ()
    sums: tuple[int, int, int, int, int] | None = None
    promises: tuple[PromiseState, ...] = ()
    lines: tuple[tuple[str, int], ...] = ()


class Recollection:
    """What a new scheduler knows of its predecessors."""

    def __init__(self, entries: Iterable[JournalEntry] = ()) -> None:
        self.virtual = 0
        self.tiers: dict[str, TierState] = {}
        self.users: dict[tuple[str, str], UserState] = {}
        self.accounts: dict[str, AccountState] = {}
        self.settled: OrderedDict[str, None] = OrderedDict()
        self.lengths: dict[tuple[str, str], LengthState] = {}
        self.promises: dict[str, PromiseState] = {}
        self.lines: dict[str, int] = {}
        self._budgets: dict[str, AccountRecord] = {}
        self._holds: dict[str, HoldRecord] = {}
        self._sums = (0, 0, 0, 0, 0)
        for entry in entries:
            self.take(entry)

    def take(self, entry: JournalEntry) -> None:
        """Take note of the next entry."""
        self.virtual = max(self.virtual, entry.virtual)
        self.tiers.update((tier.name, tier) for tier in entry.tiers)
        self.users.update(((user.tier, user.user_id), user) for user in entry.users)
        self.accounts.update((account.run_id, account) for account in entry.accounts)
        self._budgets.update((budget.user_id, budget) for budget in entry.budgets)
        self._holds.update((hold.run_id, hold) for hold in entry.holds)
        for budget in entry.budgets:
            if budget.size == 0:
                del self._budgets[budget.user_id]
        for run_id in entry.closed:
            self.accounts.pop(run_id, None)
        for run_id in entry.settled:
            self.accounts.pop(run_id, None)
            self._holds.pop(run_id, None)
        self.lengths.update(((mean.user_id, mean.model), mean) for mean in entry.lengths)
        self.settled.update(dict.fromkeys(entry.settled))
        self.promises.update((promise.user_id, promise) for promise in entry.promises)
        self.lines.update(entry.lines)
        if entry.sums is not None:
            self._sums = entry.sums

    def ledger(self) -> LedgerSnapshot:
        """Return the budgets. A hold without a bucket is of a lap that had not got to it."""
        holds = tuple(hold for hold in self._holds.values() if hold.user_id in self._budgets)
        return LedgerSnapshot(
            accounts=tuple(self._budgets.values()),
            holds=holds,
            settled=tuple(self.settled),
            sums=self._sums,
        )


class Journal:
    """Collects what has changed.

    Args:
        order: whose tags are kept.
        settled_max: how many settled runs are remembered, so that one that comes again is only
            acknowledged: its acknowledgement was lost.
    """

    def __init__(
        self,
        term: int,
        order: FairOrder,
        gate: Gate,
        lengths: Lengths,
        settled_max: int = 16_384,
    ) -> None:
        self._term = term
        self._order = order
        self._gate = gate
        self._lengths = lengths
        self._settled_max = settled_max
        self._number = 0
        self._lap = 0
        self._lap_ms = 0
        self._parts: Iterator[JournalEntry] | None = None
        self._settled: OrderedDict[str, None] = OrderedDict()
        order.tags.track()
        gate.ledger.track()
        lengths.track()
        self._promises = gate.admission.promises
        self._promises.track()
        self._news: list[str] = []

    def restore(self, known: Recollection) -> Iterator[None]:
        """Go on from what earlier schedulers wrote, in steps: it is done when the iterator is
        exhausted."""
        self._settled = OrderedDict(known.settled)
        yield from self._order.restore(known.virtual, known.tiers, known.users, known.accounts)
        self._gate.ledger.restore(known.ledger())
        yield
        self._lengths.restore(known.lengths.values())
        yield
        self._promises.restore(known.lines, known.promises.values())

    def knows(self, run_id: str) -> bool:
        """Whether the run was settled, not long ago."""
        return run_id in self._settled

    def settled(self, run_id: str) -> None:
        """The run is over."""
        self._settled[run_id] = None
        self._news.append(run_id)
        if len(self._settled) > self._settled_max:
            self._settled.popitem(last=False)

    def entry(self, now_ms: int) -> JournalEntry | None:
        """Return what is to be written now, None if nothing has changed and no lap is due."""
        changes = self._order.tags.changes()
        users, runs = self._gate.ledger.changes()
        promises = self._promises.changes()
        lap = self._part(now_ms)
        if not (changes or users or runs or promises or self._news or lap):
            return None
        self._number += 1
        ledger = self._gate.ledger
        entry = JournalEntry(
            term=self._term,
            number=self._number,
            lap=self._lap,
            virtual=self._order.virtual_time,
            tiers=tuple(self._order.tags.tiers()),
            users=tuple(changes.users),
            accounts=tuple(changes.accounts),
            closed=tuple(changes.closed),
            settled=tuple(self._news),
            lengths=self._lengths.changes(),
            budgets=users,
            holds=runs,
            sums=ledger.sums,
            promises=promises,
            lines=tuple(self._promises.lines.items()),
        )
        self._news.clear()
        return entry if lap is None else _joined(lap, entry)

    def _part(self, now_ms: int) -> JournalEntry | None:
        """Return the next part of a lap."""
        if self._parts is None:
            if self._lap and 0 <= now_ms - self._lap_ms < LAP_MS:
                return None
            self._lap += 1
            if self._lap == _LAPS_PATIENT:
                self._order.forget_unclaimed()
            self._lap_ms = now_ms
            self._parts = _all_values(self._order, self._gate, self._lengths, self._settled)
        part = next(self._parts)
        if part.whole:
            self._parts = None
        return part


def _all_values(
    order: FairOrder, gate: Gate, lengths: Lengths, settled: Mapping[str, None]
) -> Iterator[JournalEntry]:
    """Yield the parts of a lap: all values, as they are when their turn comes."""
    blank = JournalEntry(term=0, number=0)
    replace = msgspec.structs.replace
    for users in _chunks(order.tags.users()):
        yield replace(blank, users=users)
    for accounts in _chunks(order.tags.accounts()):
        yield replace(blank, accounts=accounts)
    for budgets in _chunks(gate.ledger.records()):
        yield replace(blank, budgets=budgets)
    for holds in _chunks(gate.ledger.hold_records()):
        yield replace(blank, holds=holds)
    for means in _chunks(lengths.states()):
        yield replace(blank, lengths=means)
    for promises in _chunks(gate.admission.promises.states()):
        yield replace(blank, promises=promises)
    for run_ids in _chunks(iter(list(settled))):
        yield replace(blank, settled=run_ids)
    yield replace(blank, whole=True)


def _joined(part: JournalEntry, news: JournalEntry) -> JournalEntry:
    """Return one entry of both, where what is news counts."""
    return msgspec.structs.replace(
        news,
        whole=part.whole,
        users=(*part.users, *news.users),
        accounts=(*part.accounts, *news.accounts),
        settled=(*part.settled, *news.settled),
        lengths=(*part.lengths, *news.lengths),
        budgets=(*part.budgets, *news.budgets),
        holds=(*part.holds, *news.holds),
        promises=(*part.promises, *news.promises),
    )


def _chunks(values: Iterator[_T]) -> Iterator[tuple[_T, ...]]:
    while chunk := tuple(islice(values, LAP_PART)):
        yield chunk

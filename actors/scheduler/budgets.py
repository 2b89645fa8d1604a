"""What users may still spend in a pool: lazy integer token buckets. Pure.

All amounts are micro-GPU-seconds, and none is ever lost: what was granted and refilled is what
is left, reserved, settled, capped off and closed (`Totals.balanced`). A run reserves what it
will probably cost, grows its reservation while it costs more, and is settled once with what it
did cost. A refused run is told when the bucket will have refilled enough.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from actors.scheduler.config import BudgetConfig, TierConfig
from contracts.errors import IllegalMessage
from contracts.scheduling import BudgetView

_SECOND_MS = 1_000


@dataclass(frozen=True, slots=True)
class Reserved:
    """The run may go on; `amount` is what it holds (0: its tier has no budget)."""

    amount: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The bucket holds too little; after `retry_after_ms` ≥ 1 it won't, if nothing else is
    taken from it."""

    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Where everything went that ever was in the buckets."""

    granted: int
    refilled: int
    balance: int
    reserved: int
    settled: int
    capped_off: int
    closed: int

    @property
    def balanced(self) -> bool:
        """Whether nothing came from nowhere or went there."""
        spent = self.settled + self.capped_off + self.closed
        return self.granted + self.refilled == self.balance + self.reserved + spent


class AccountRecord(msgspec.Struct, frozen=True, array_like=True):
    """A bucket as it is stored: what it was filled under, and how far."""

    user_id: str
    size: int
    refill: int
    balance: int
    at_ms: int
    carry: int = 0


class HoldRecord(msgspec.Struct, frozen=True, array_like=True):
    """A reservation as it is stored."""

    run_id: str
    user_id: str
    amount: int


class LedgerSnapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole ledger. `sums` are granted, refilled, settled, capped off and closed."""

    accounts: tuple[AccountRecord, ...] = ()
    holds: tuple[HoldRecord, ...] = ()
    settled: tuple[str, ...] = ()
    sums: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)


@dataclass(slots=True)
class _Account:
    """A user's bucket; `carry` are thousandths of a unit that refilling has not yet given,
    `holds` counts its reservations."""

    size: int
    refill: int
    balance: int
    at_ms: int
    carry: int = 0
    holds: int = 0


@dataclass(slots=True)
class _Hold:
    user_id: str
    amount: int


class Ledger:
    """The buckets of a pool's users.

    Args:
        tiers: read anew at each call; a tier without a budget costs its users nothing here.
        accounts_max: beyond it the bucket that was untouched longest, and has nothing
            reserved, is forgotten: full if asked for again.
        settled_max: how many settled runs are remembered, so that a late or doubled message
            about them does nothing.
    """

    def __init__(
        self,
        tiers: Mapping[str, TierConfig],
        *,
        accounts_max: int = 1_000_000,
        settled_max: int = 65_536,
    ) -> None:
        self._tiers = tiers
        self._accounts_max = accounts_max
        self._settled_max = settled_max
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._holds: dict[str, _Hold] = {}
        self._done: OrderedDict[str, None] = OrderedDict()
        self._granted = self._refilled = self._settled = self._capped_off = self._closed = 0
        self._touched: dict[str, None] | None = None
        self._held: dict[str, None] = {}

    def reserve(
        self,
        user_id: str,
        tier: str,
        run_id: str,
        amount: int,
        now_ms: int,
        *,
        accepted: bool = False,
    ) -> Reserved | Refused:
        """Set aside what a run will probably cost.

        It is let in if the balance covers it, or the debt that the tier allows does; one that
        costs more than both together needs a full bucket, so that it can run at all. Repeated
        for a run that holds something or is settled: nothing changes.

        Args:
            amount: ≥ 0.
            accepted: it was let in before (its record is replayed): take it in any case.
        Raises:
            IllegalMessage: a negative amount.
        """
        _refuse_negative(amount)
        budget = self._tiers[tier].budget
        held = self._holds.get(run_id)
        if held is not None or run_id in self._done or budget is None:
            return Reserved(held.amount if held else 0)
        account = self._account(user_id, budget, now_ms)
        missing = min(amount, budget.size + budget.debt) - budget.debt - account.balance
        if missing > 0 and not accepted:
            return Refused(_time_to_refill(account, missing))
        account.balance -= amount
        account.holds += 1
        self._holds[run_id] = _Hold(user_id, amount)
        self._note(run_id, user_id)
        return Reserved(amount)

    def debit(self, run_id: str, so_far: int) -> None:
        """Let a run that costs more than it reserved hold all that it has cost so far. The
        balance may fall below zero: a run is never cut short for it. Late, again, or for a run
        without a hold: nothing.

        Raises IllegalMessage: a negative amount.
        """
        _refuse_negative(so_far)
        hold = self._holds.get(run_id)
        if hold is not None and so_far > hold.amount:
            self._accounts[hold.user_id].balance -= so_far - hold.amount
            hold.amount = so_far
            self._note(run_id, hold.user_id)

    def settle(self, run_id: str, actual: int) -> None:
        """Take `actual` ≥ 0 for a run that is over and give back the rest of what it held.
        Again, or for a run without a hold: nothing.

        Raises IllegalMessage: a negative amount.
        """
        _refuse_negative(actual)
        hold = self._holds.pop(run_id, None)
        if hold is None:
            return
        self._remember(run_id)
        account = self._accounts[hold.user_id]
        account.holds -= 1
        account.balance += hold.amount - actual
        self._settled += actual
        self._cap(account)
        self._note(run_id, hold.user_id)

    def refund(self, run_id: str) -> None:
        """Give back all that a run held: nothing of it was delivered."""
        self.settle(run_id, 0)

    def held(self, run_id: str) -> int:
        """Return what the run holds, 0 if nothing."""
        hold = self._holds.get(run_id)
        return hold.amount if hold else 0

    def wait_ms(self, user_id: str, tier: str, amount: int, now_ms: int) -> int:
        """Return after what time a run of this cost would be let in, 0 for now; nothing is
        reserved."""
        budget = self._tiers[tier].budget
        if budget is None or user_id not in self._accounts:
            return 0
        account = self._account(user_id, budget, now_ms)
        missing = min(amount, budget.size + budget.debt) - budget.debt - account.balance
        return _time_to_refill(account, missing) if missing > 0 else 0

    def view(self, user_id: str, tier: str, now_ms: int) -> BudgetView | None:
        """Return how the user's bucket stands, None if the tier has no budget."""
        budget = self._tiers[tier].budget
        if budget is None:
            return None
        if user_id not in self._accounts:
            return BudgetView(
                limit=budget.size, remaining=budget.size, refill_per_second=budget.refill
            )
        account = self._account(user_id, budget, now_ms)
        missing = account.size - account.balance
        return BudgetView(
            limit=account.size,
            remaining=account.balance,
            refill_per_second=account.refill,
            full_in_ms=_time_to_refill(account, missing) if missing > 0 else 0,
        )

    def totals(self) -> Totals:
        """Return the sums of all buckets; takes time that grows with their number."""
        return Totals(
            granted=self._granted,
            refilled=self._refilled,
            balance=sum(account.balance for account in self._accounts.values()),
            reserved=sum(hold.amount for hold in self._holds.values()),
            settled=self._settled,
            capped_off=self._capped_off,
            closed=self._closed,
        )

    def snapshot(self) -> LedgerSnapshot:
        """Return everything, to be stored."""
        return LedgerSnapshot(
            accounts=tuple(self.records()),
            holds=tuple(self.hold_records()),
            settled=tuple(self._done),
            sums=self.sums,
        )

    def restore(self, snapshot: LedgerSnapshot) -> None:
        """Become the ledger of which this was taken. What happened after it may be told again,
        all of it and in its order: what the snapshot knows already changes nothing."""
        self._accounts = OrderedDict(
            (a.user_id, _Account(a.size, a.refill, a.balance, a.at_ms, a.carry))
            for a in snapshot.accounts
        )
        self._holds = {h.run_id: _Hold(h.user_id, h.amount) for h in snapshot.holds}
        for hold in self._holds.values():
            self._accounts[hold.user_id].holds += 1
        self._done = OrderedDict.fromkeys(snapshot.settled)
        (
            self._granted,
            self._refilled,
            self._settled,
            self._capped_off,
            self._closed,
        ) = snapshot.sums

    def track(self) -> None:
        """Remember what changes from now on, for `changes`."""
        self._touched = {}

    def _note(self, run_id: str, user_id: str) -> None:
        if self._touched is not None:
            self._touched[user_id] = None
            self._held[run_id] = None

    @property
    def sums(self) -> tuple[int, int, int, int, int]:
        """Granted, refilled, settled, capped off and closed, as a snapshot has them."""
        return (self._granted, self._refilled, self._settled, self._capped_off, self._closed)

    def changes(self) -> tuple[tuple[AccountRecord, ...], tuple[HoldRecord, ...]]:
        """Return the present values of the buckets and holds that have changed since the last
        call; a bucket that was forgotten has size 0, a hold that is settled is left out."""
        accounts = tuple(self._record(user_id) for user_id in self._touched or ())
        holds = tuple(
            HoldRecord(run_id, self._holds[run_id].user_id, self._holds[run_id].amount)
            for run_id in self._held
            if run_id in self._holds
        )
        if self._touched is not None:
            self._touched.clear()
        self._held.clear()
        return accounts, holds

    def records(self) -> Iterator[AccountRecord]:
        """Yield the buckets of now, each as it is when its turn comes."""
        return (self._record(user_id) for user_id in list(self._accounts))

    def hold_records(self) -> Iterator[HoldRecord]:
        """Yield the holds of now, each as it is when its turn comes."""
        for run_id in list(self._holds):
            hold = self._holds.get(run_id)
            if hold is not None:
                yield HoldRecord(run_id, hold.user_id, hold.amount)

    def _record(self, user_id: str) -> AccountRecord:
        a = self._accounts.get(user_id)
        if a is None:
            return AccountRecord(user_id, 0, 0, 0, 0)
        return AccountRecord(user_id, a.size, a.refill, a.balance, a.at_ms, a.carry)

    def _account(self, user_id: str, budget: BudgetConfig, now_ms: int) -> _Account:
        """Return the user's bucket, refilled up to now. Other terms than it was filled under
        (another tier, a reloaded file) move its balance with its size: what was spent stays
        spent."""
        account = self._accounts.get(user_id)
        if account is None:
            account = _Account(budget.size, budget.refill, budget.size, now_ms)
            self._accounts[user_id] = account
            self._granted += budget.size
            if self._touched is not None:
                self._touched[user_id] = None
            self._make_room(user_id, now_ms)
            return account
        self._accounts.move_to_end(user_id)
        if self._touched is not None:
            self._touched[user_id] = None
        self._refill(account, now_ms)
        if account.size != budget.size:
            self._granted += budget.size - account.size
            account.balance += budget.size - account.size
            account.size = budget.size
            self._cap(account)
        account.refill = budget.refill
        return account

    def _refill(self, account: _Account, now_ms: int) -> None:
        """A clock that was set back refills nothing and counts on from its new time: nobody
        waits until it is where it was."""
        elapsed_ms = max(0, now_ms - account.at_ms)
        account.at_ms = now_ms
        gained, account.carry = divmod(account.refill * elapsed_ms + account.carry, _SECOND_MS)
        account.balance += gained
        self._refilled += gained
        self._cap(account)

    def _cap(self, account: _Account) -> None:
        over = account.balance - account.size
        if over >= 0:
            account.balance = account.size
            account.carry = 0
            self._capped_off += over

    def _make_room(self, opened: str, now_ms: int) -> None:
        """Look at the two buckets that were untouched longest: full ones are as good as none,
        and beyond the bound any that has nothing reserved goes."""
        for _ in range(2):
            user_id, account = next(iter(self._accounts.items()))
            if user_id == opened:
                return
            if account.holds:
                self._accounts.move_to_end(user_id)
                continue
            self._refill(account, now_ms)
            if account.balance == account.size or len(self._accounts) > self._accounts_max:
                del self._accounts[user_id]
                self._closed += account.balance
                if self._touched is not None:
                    self._touched[user_id] = None

    def _remember(self, run_id: str) -> None:
        self._done[run_id] = None
        if len(self._done) > self._settled_max:
            self._done.popitem(last=False)


def _time_to_refill(account: _Account, missing: int) -> int:
    """Return the milliseconds after which at least `missing` more are in the bucket."""
    return max(1, -(-(missing * _SECOND_MS - account.carry) // account.refill))


def _refuse_negative(amount: int) -> None:
    if amount < 0:
        raise IllegalMessage(f"a budget can't be charged {amount}")

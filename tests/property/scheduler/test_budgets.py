"""Budgets under arbitrary histories (scheduling.md, invariant 7), and histories that show that
each check would fail if a ledger lost or made a unit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from actors.scheduler.budgets import Ledger, LedgerSnapshot, Refused, Reserved
from actors.scheduler.config import BudgetConfig, TierConfig
from actors.scheduler.tiers import Tiers

USERS = ("ann", "bob")
TIERS = {
    "paid": BudgetConfig(size=1_000, refill=333),
    "free": BudgetConfig(size=100, refill=7, debt=20),
}


def tiers(factor: int = 1) -> Tiers:
    return Tiers(
        {
            name: TierConfig(
                weight=2 if name == "paid" else 1,
                wait_limit_ms=1,
                budget=BudgetConfig(
                    size=b.size * factor, refill=b.refill * factor, debt=b.debt * factor
                ),
            )
            for name, b in TIERS.items()
        }
    )


@dataclass(frozen=True)
class Do:
    """One thing that happens to a ledger; `ms` passes before it (negative: the clock is set
    back)."""

    what: Literal["reserve", "debit", "settle", "refund", "look", "save", "crash", "reload"]
    user: str
    run: int
    tier: str
    amount: int
    ms: int


THINGS = st.builds(
    Do,
    what=st.sampled_from(
        ("reserve", "reserve", "debit", "settle", "refund", "look", "save", "crash", "reload")
    ),
    user=st.sampled_from(USERS),
    run=st.integers(0, 1),
    tier=st.sampled_from(tuple(TIERS)),
    amount=st.integers(0, 300),
    ms=st.integers(-500, 5_000),
)
HISTORIES = st.lists(THINGS, max_size=30)


class Books:
    """Lives through a history with a ledger and keeps its own books beside it: what runs hold
    and what was settled, by run. A crash restores the last snapshot and replays the journal,
    each record twice."""

    def __init__(self, make: Callable[[Tiers], Ledger]) -> None:
        self._make = make
        self.tiers = tiers()
        self.ledger = make(self.tiers)
        self.now_ms = 1_000_000
        self.held: dict[str, int] = {}
        self.paid: dict[str, int] = {}
        self.saved = LedgerSnapshot()
        self.journal: list[Callable[[Ledger], object]] = []
        self.reloads = 0

    def live(self, do: Do) -> None:
        self.now_ms += do.ms
        run_id = f"{do.user}_{do.run}"
        match do.what:
            case "reserve":
                self._reserve(do, run_id)
            case "debit":
                self._tell(lambda ledger: ledger.debit(run_id, do.amount))
                if run_id in self.held:
                    self.held[run_id] = max(self.held[run_id], do.amount)
            case "settle" | "refund":
                paid = do.amount if do.what == "settle" else 0
                self._tell(lambda ledger: ledger.settle(run_id, paid))
                if self.held.pop(run_id, None) is not None:
                    self.paid[run_id] = paid
            case "look":
                self.ledger.view(do.user, do.tier, self.now_ms)
            case "save":
                self.saved, self.journal = self.ledger.snapshot(), []
            case "crash":
                self.ledger = self._make(self.tiers)
                self.ledger.restore(self.saved)
                for record in self.journal:
                    record(self.ledger)
                    record(self.ledger)
            case "reload":
                self.reloads += 1
                self.tiers.replace(tiers(1 + self.reloads % 3))
        self.check()

    def _reserve(self, do: Do, run_id: str) -> None:
        now_ms = self.now_ms
        answer = self.ledger.reserve(do.user, do.tier, run_id, do.amount, now_ms)
        if isinstance(answer, Refused):
            assert answer.retry_after_ms >= 1
            assert run_id not in self.held
            return
        self.journal.append(
            lambda ledger: ledger.reserve(
                do.user, do.tier, run_id, do.amount, now_ms, accepted=True
            )
        )
        if run_id in self.paid:
            assert answer == Reserved(0)
        else:
            assert answer == Reserved(self.held.setdefault(run_id, do.amount))

    def _tell(self, record: Callable[[Ledger], object]) -> None:
        record(self.ledger)
        self.journal.append(record)

    def check(self) -> None:
        totals = self.ledger.totals()
        assert totals.balanced, totals
        assert totals.settled == sum(self.paid.values())
        assert totals.reserved == sum(self.held.values())
        assert totals.capped_off >= 0
        assert {run_id: self.ledger.held(run_id) for run_id in self.held} == self.held
        for account in self.ledger.snapshot().accounts:
            assert account.balance <= account.size


def lives(make: Callable[[Tiers], Ledger], history: list[Do]) -> bool:
    books = Books(make)
    try:
        for do in history:
            books.live(do)
    except AssertionError:
        return False
    return True


@given(HISTORIES)
def test_no_unit_is_lost_or_made_and_each_run_pays_once(history: list[Do]) -> None:
    books = Books(Ledger)
    for do in history:
        books.live(do)


@given(st.lists(st.integers(0, 4_000), max_size=20), st.integers(1, 999))
def test_refilling_is_the_same_in_steps_of_any_length(steps: list[int], refill: int) -> None:
    budget = BudgetConfig(size=10**9, refill=refill)
    shared = Tiers({"free": TierConfig(weight=1, wait_limit_ms=1, budget=budget)})
    stepped, leaped = Ledger(shared), Ledger(shared)
    for ledger in (stepped, leaped):
        ledger.reserve("ann", "free", "run_1", 10**9, 0)
    now_ms = 0
    for step in steps:
        now_ms += step
        stepped.view("ann", "free", now_ms)
    assert stepped.view("ann", "free", now_ms) == leaped.view("ann", "free", now_ms)


@given(st.integers(1, 2_000), st.integers(0, 119), st.integers(1, 10_000))
def test_who_obeys_a_refusal_is_let_in_and_who_comes_earlier_is_not(
    amount: int, spent: int, early_ms: int
) -> None:
    ledger = Ledger(tiers())
    ledger.reserve("ann", "free", "run_1", spent, 0)
    answer = ledger.reserve("ann", "free", "run_2", amount, 0)
    if isinstance(answer, Refused):
        at_ms = answer.retry_after_ms
        early = ledger.reserve("ann", "free", "run_2", amount, max(0, at_ms - early_ms))
        assert isinstance(early, Refused)
        assert isinstance(ledger.reserve("ann", "free", "run_2", amount, at_ms), Reserved)


class SettlesTwice(Ledger):
    def settle(self, run_id: str, actual: int) -> None:
        again = run_id in self._done
        super().settle(run_id, actual)
        if again:
            self._settled += actual


class KeepsTheRest(Ledger):
    def settle(self, run_id: str, actual: int) -> None:
        super().settle(run_id, max(actual, self.held(run_id)))


class DebitsForNothing(Ledger):
    def debit(self, run_id: str, so_far: int) -> None:
        hold = self._holds.get(run_id)
        if hold is not None:
            hold.amount = max(hold.amount, so_far)


class ForgetsWhatIsCappedOff(Ledger):
    def _cap(self, account: object) -> None:
        before = self._capped_off
        super()._cap(account)  # type: ignore[arg-type]
        self._capped_off = before


class RoundsUp(Ledger):
    def _refill(self, account: object, now_ms: int) -> None:
        before = self._refilled
        super()._refill(account, now_ms)  # type: ignore[arg-type]
        if self._refilled > before:
            account.balance += 1  # type: ignore[attr-defined]


class ReservesAgain(Ledger):
    def reserve(self, *args: object, **kwargs: object) -> Reserved | Refused:
        user_id, _, run_id, amount, _ = args
        if run_id in self._holds:
            self._holds[run_id].amount += amount  # type: ignore[operator]
            self._accounts[user_id].balance -= amount  # type: ignore[index, operator]
        return super().reserve(*args, **kwargs)  # type: ignore[arg-type]


class ForgetsItsHolds(Ledger):
    def restore(self, snapshot: LedgerSnapshot) -> None:
        super().restore(snapshot)
        self._holds.clear()


class ForgetsWhoHasPaid(Ledger):
    def restore(self, snapshot: LedgerSnapshot) -> None:
        super().restore(snapshot)
        self._done.clear()


class OverfillsAfterARefund(Ledger):
    settling = False

    def settle(self, run_id: str, actual: int) -> None:
        self.settling = True
        super().settle(run_id, actual)
        self.settling = False

    def _cap(self, account: object) -> None:
        if not self.settling:
            super()._cap(account)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "broken",
    [
        SettlesTwice,
        KeepsTheRest,
        DebitsForNothing,
        ForgetsWhatIsCappedOff,
        RoundsUp,
        ReservesAgain,
        ForgetsItsHolds,
        ForgetsWhoHasPaid,
        OverfillsAfterARefund,
    ],
)
def test_a_ledger_that_loses_or_makes_units_is_found_out(broken: type[Ledger]) -> None:
    try:
        find(
            HISTORIES,
            lambda history: not lives(broken, history),
            settings=settings(
                max_examples=2_000, derandomize=True, phases=[Phase.generate], deadline=None
            ),
        )
    except NoSuchExample:
        pytest.fail(f"no history shows that {broken.__name__} is broken")

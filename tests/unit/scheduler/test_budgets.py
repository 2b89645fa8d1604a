"""Budgets, decision by decision."""

import pytest

from actors.scheduler.budgets import Ledger, Refused, Reserved
from actors.scheduler.config import BudgetConfig, TierConfig
from actors.scheduler.tiers import Tiers
from contracts.errors import IllegalMessage


def tiers(**changes: BudgetConfig | None) -> Tiers:
    budgets: dict[str, BudgetConfig | None] = {
        "paid": BudgetConfig(size=1_000, refill=100),
        "free": BudgetConfig(size=100, refill=10),
        "background": None,
        **changes,
    }
    weights = {"paid": 100, "free": 10, "background": 1}
    return Tiers(
        {
            name: TierConfig(weight=weights[name], wait_limit_ms=1_000, budget=budget)
            for name, budget in budgets.items()
        }
    )


def remaining(ledger: Ledger, now_ms: int = 0, user: str = "ann", tier: str = "free") -> int:
    view = ledger.view(user, tier, now_ms)
    assert view is not None
    return view.remaining


def test_a_new_user_has_a_full_bucket() -> None:
    view = Ledger(tiers()).view("ann", "free", 5)
    assert view is not None
    assert (view.limit, view.remaining, view.refill_per_second, view.full_in_ms) == (
        100,
        100,
        10,
        0,
    )


def test_a_tier_without_a_budget_refuses_nothing_and_holds_nothing() -> None:
    ledger = Ledger(tiers())
    assert ledger.reserve("ann", "background", "run_1", 10**12, 0) == Reserved(0)
    ledger.debit("run_1", 5)
    ledger.settle("run_1", 5)
    assert ledger.view("ann", "background", 0) is None
    assert ledger.totals().granted == 0


def test_a_reservation_beyond_the_balance_is_refused_with_the_exact_wait() -> None:
    ledger = Ledger(tiers())
    assert ledger.reserve("ann", "free", "run_1", 95, 0) == Reserved(95)
    refused = ledger.reserve("ann", "free", "run_2", 12, 0)
    assert refused == Refused(700)
    assert isinstance(ledger.reserve("ann", "free", "run_2", 12, 699), Refused)
    assert ledger.reserve("ann", "free", "run_2", 12, 700) == Reserved(12)


def test_a_debt_that_the_tier_allows_lets_a_run_in() -> None:
    ledger = Ledger(tiers(free=BudgetConfig(size=100, refill=10, debt=50)))
    assert ledger.reserve("ann", "free", "run_1", 150, 0) == Reserved(150)
    assert remaining(ledger) == -50
    assert ledger.reserve("ann", "free", "run_2", 1, 0) == Refused(100)


def test_a_run_dearer_than_the_whole_bucket_needs_a_full_one() -> None:
    ledger = Ledger(tiers())
    assert ledger.reserve("ann", "free", "run_1", 1_000, 0) == Reserved(1_000)
    ledger.settle("run_1", 110)
    assert ledger.reserve("ann", "free", "run_2", 1_000, 0) == Refused(11_000)
    assert ledger.reserve("ann", "free", "run_2", 1_000, 11_000) == Reserved(1_000)


def test_settling_gives_back_what_was_not_used_and_only_once() -> None:
    ledger = Ledger(tiers())
    ledger.reserve("ann", "free", "run_1", 60, 0)
    for _ in range(3):
        ledger.settle("run_1", 25)
    assert remaining(ledger) == 75
    assert ledger.totals().settled == 25


def test_an_overrun_is_debited_while_it_streams_and_may_leave_a_debt() -> None:
    ledger = Ledger(tiers())
    ledger.reserve("ann", "free", "run_1", 90, 0)
    for so_far in (100, 130, 130, 120):
        ledger.debit("run_1", so_far)
    assert remaining(ledger) == -30
    assert ledger.held("run_1") == 130
    ledger.settle("run_1", 135)
    assert remaining(ledger) == -35
    assert isinstance(ledger.reserve("ann", "free", "run_2", 1, 0), Refused)


def test_a_refund_gives_back_everything() -> None:
    ledger = Ledger(tiers())
    ledger.reserve("ann", "free", "run_1", 60, 0)
    ledger.refund("run_1")
    assert remaining(ledger) == 100


def test_a_late_reservation_of_a_settled_run_changes_nothing() -> None:
    ledger = Ledger(tiers())
    ledger.reserve("ann", "free", "run_1", 60, 0)
    ledger.settle("run_1", 10)
    assert ledger.reserve("ann", "free", "run_1", 60, 0) == Reserved(0)
    ledger.debit("run_1", 5)
    assert remaining(ledger) == 90


def test_a_repeated_reservation_keeps_the_first() -> None:
    ledger = Ledger(tiers())
    ledger.reserve("ann", "free", "run_1", 60, 0)
    assert ledger.reserve("ann", "free", "run_1", 99, 0) == Reserved(60)
    assert remaining(ledger) == 40


def test_a_run_that_was_let_in_before_is_taken_whatever_is_left() -> None:
    ledger = Ledger(tiers())
    ledger.reserve("ann", "free", "run_1", 100, 0)
    assert ledger.reserve("ann", "free", "run_2", 70, 0, accepted=True) == Reserved(70)
    assert remaining(ledger) == -70


def test_refilling_in_small_steps_gives_what_one_large_step_gives() -> None:
    stepped, leaped = Ledger(tiers()), Ledger(tiers())
    for ledger in (stepped, leaped):
        ledger.reserve("ann", "free", "run_1", 100, 0)
    for now_ms in range(0, 7_777, 7):
        stepped.view("ann", "free", now_ms)
    assert remaining(stepped, 7_777) == remaining(leaped, 7_777) == 77


def test_a_clock_set_back_refills_nothing_and_counts_on_from_its_new_time() -> None:
    ledger = Ledger(tiers())
    ledger.reserve("ann", "free", "run_1", 100, 3_600_000)
    assert remaining(ledger, 0) == 0
    assert remaining(ledger, 1_000) == 10


def test_a_clock_that_leaps_fills_the_bucket_and_no_more() -> None:
    ledger = Ledger(tiers())
    ledger.reserve("ann", "free", "run_1", 100, 0)
    assert remaining(ledger, 10**15) == 100
    assert ledger.totals().balanced


def test_another_tier_moves_the_balance_with_the_size() -> None:
    ledger = Ledger(tiers())
    ledger.reserve("ann", "free", "run_1", 70, 0)
    assert remaining(ledger, tier="paid") == 930
    assert remaining(ledger, tier="free") == 30
    assert ledger.totals().balanced


def test_a_reloaded_budget_holds_from_the_next_decision() -> None:
    shared = tiers()
    ledger = Ledger(shared)
    ledger.reserve("ann", "free", "run_1", 70, 0)
    shared.replace(tiers(free=BudgetConfig(size=200, refill=1_000)))
    assert remaining(ledger) == 130
    assert remaining(ledger, 50) == 180


def test_full_buckets_are_forgotten_and_others_kept() -> None:
    ledger = Ledger(tiers())
    for number in range(1_000):
        ledger.reserve(f"user_{number}", "free", f"run_{number}", 50, 100 * number)
        ledger.settle(f"run_{number}", 50)
    kept = {account.user_id for account in ledger.snapshot().accounts}
    assert kept == {f"user_{number}" for number in range(950, 1_000)}
    assert ledger.totals().balanced


def test_looking_at_a_bucket_does_not_open_it() -> None:
    ledger = Ledger(tiers())
    assert remaining(ledger) == 100
    assert ledger.wait_ms("ann", "free", 1_000, 0) == 0
    assert ledger.snapshot().accounts == ()


def test_beyond_the_bound_the_bucket_untouched_longest_goes_but_none_in_use() -> None:
    ledger = Ledger(tiers(), accounts_max=3)
    ledger.reserve("held", "free", "run_held", 10, 0)
    for number in range(10):
        ledger.reserve(f"user_{number}", "free", f"run_{number}", 50, 0)
        ledger.settle(f"run_{number}", 50)
    assert len(ledger.snapshot().accounts) <= 4
    assert ledger.held("run_held") == 10
    assert ledger.totals().balanced


def test_a_restored_ledger_goes_on_where_the_snapshot_was_taken() -> None:
    ledger = Ledger(tiers())
    ledger.reserve("ann", "free", "run_1", 60, 0)
    ledger.reserve("bob", "paid", "run_2", 60, 5)
    ledger.settle("run_2", 7)
    again = Ledger(tiers())
    again.restore(ledger.snapshot())
    for each in (ledger, again):
        each.settle("run_2", 7)
        each.settle("run_1", 50)
    assert again.totals() == ledger.totals()
    assert again.snapshot() == ledger.snapshot()


def test_negative_amounts_are_illegal_and_change_nothing() -> None:
    ledger = Ledger(tiers())
    ledger.reserve("ann", "free", "run_1", 60, 0)
    before = ledger.snapshot()
    with pytest.raises(IllegalMessage):
        ledger.reserve("ann", "free", "run_2", -1, 0)
    with pytest.raises(IllegalMessage):
        ledger.debit("run_1", -1)
    with pytest.raises(IllegalMessage):
        ledger.settle("run_1", -1)
    assert ledger.snapshot() == before

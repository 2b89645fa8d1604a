"""The gate: who is let in, who gives way, and what is done to a run."""

from collections import Counter
from dataclasses import replace as with_changes
from typing import Any

import msgspec
import pytest

from actors.scheduler.config import BudgetConfig, SchedulerConfig, TierConfig, default_tiers
from actors.scheduler.costs import Costs
from actors.scheduler.fair import FairOrder
from actors.scheduler.gate import Gate, Standing
from actors.scheduler.lengths import Lengths
from actors.scheduler.state import Run
from contracts.runs import RunSpec, Sampling, Tier
from contracts.scheduling import Allowance, AskAllowance

COST = 200 * 4
"""Of a run of no prompt to speak of and four tokens."""


def tiers(**changes: dict[str, Any]) -> dict[str, TierConfig]:
    return {name: with_changes(t, **changes.get(name, {})) for name, t in default_tiers().items()}


class Desk:
    """A gate with its order, as the machine would use them: one place is freed every
    `service_ms`."""

    def __init__(
        self,
        made: dict[str, TierConfig] | None = None,
        *,
        service_ms: int = 1_000,
        queue_max: int = 1_000,
    ) -> None:
        self.config = SchedulerConfig(
            pool="p",
            model="m",
            context_length=100,
            tiers=made or default_tiers(),
            queue_max=queue_max,
            costs=Costs(prefill_us=0, cached_us=0, output_us=200),
        )
        self.order = FairOrder(self.config.tiers, self.config.costs, slack=0)
        self.gate = Gate(self.config, self.order, Lengths(default=4))
        self.service_ms = service_ms
        self.now_ms = 1_000_000
        self.slots = 1
        self.room = False
        self.kv_permille = 0
        self.placed: list[Run] = []
        self.count = 0
        self.look()

    def look(self, ms: int = 0) -> list[Run]:
        self.now_ms += ms
        standing = Standing(
            slots=self.slots,
            room=self.room,
            service_ms=self.service_ms,
            kv_permille=self.kv_permille,
            placed=self.placed,
        )
        back = self.gate.look(standing, self.now_ms)
        for run in back:
            self.push(run)
        return back

    def run(
        self, user: str = "ann", tier: Tier = "free", *, tokens: int = 4, deferrable: bool = False
    ) -> Run:
        self.count += 1
        spec = RunSpec(
            run_id=f"run_{self.count}",
            pool="p",
            model="m",
            user_id=user,
            prompt_tokens=(1,),
            sampling=Sampling(max_tokens=tokens),
            submitted_at_ms=self.now_ms,
            tier=tier,
            deferrable=deferrable,
        )
        return Run(spec, [], self.count, predicted=tokens)

    def push(self, run: Run) -> None:
        run.stage, run.queued_ms = "queued", self.now_ms
        self.order.push(run, self.now_ms)
        self.gate.entered(run)

    def submit(self, run: Run) -> str:
        """Return what the machine would do with it: wait, shelf, or the code of the problem; a
        victim is taken out."""
        run.queued_ms = self.now_ms
        verdict = self.gate.submitted(run, self.now_ms)
        if verdict.problem is not None:
            return verdict.problem.code
        if verdict.victim is not None:
            self.order.remove(verdict.victim)
            self.gate.left(verdict.victim)
            self.gate.ended(verdict.victim)
        if verdict.deferred:
            return "shelf"
        self.push(run)
        return f"instead of {verdict.victim.spec.run_id}" if verdict.victim else "waits"

    def fill(self, count: int, user: str = "flood", tier: Tier = "free") -> list[Run]:
        runs = [self.run(user, tier) for _ in range(count)]
        for run in runs:
            self.push(run)
        return runs

    def dispatch(self) -> Run:
        """Give the first run of all its place."""
        run = self.order.first(1)[0]
        self.order.dispatched(run, 0, self.now_ms)
        self.gate.dispatched(run, self.now_ms)
        run.stage = "dispatched"
        self.placed.append(run)
        return run

    def ask(self, user: str = "ann", tier: Tier = "free", **more: Any) -> Allowance:
        ask = AskAllowance(user_id=user, tier=tier, wanted=True, output_tokens=4, **more)
        return self.gate.allowance(ask, self.now_ms)

    def refused(self, user: str = "ann", tier: Tier = "free", **more: Any) -> tuple[str, int]:
        problem = self.ask(user, tier, **more).problem
        assert problem is not None and problem.retry_after_ms is not None
        return problem.code, problem.retry_after_ms


def test_an_idle_pool_lets_everybody_in_at_once() -> None:
    desk = Desk()
    desk.room = True
    desk.look()
    for tier in default_tiers():
        answer = desk.ask(tier=tier)  # type: ignore[arg-type]
        assert (answer.problem, answer.wait_ms) == (None, 0)


def test_a_flood_is_refused_by_its_own_backlog_and_a_newcomer_is_not() -> None:
    desk = Desk(tiers(free={"wait_limit_ms": 20_000, "wait_soft_ms": 10_000}))
    desk.fill(30)
    desk.look(50)
    code, wait_ms = desk.refused("flood")
    assert code == "rate_limited"
    assert 20_000 <= wait_ms <= 30_000
    newcomer = desk.ask("ann")
    assert newcomer.problem is None
    assert newcomer.wait_ms is not None and newcomer.wait_ms <= 3_000


def test_a_user_with_ten_thousand_chats_waits_for_few_of_them_and_holds_up_nobody() -> None:
    desk = Desk()
    desk.fill(1, "flood")
    desk.look(50)
    fates = Counter(desk.submit(desk.run("flood")) for _ in range(10_000))
    assert set(fates) == {"waits", "rate_limited"}
    assert fates["waits"] <= 60_000 * 125 // 100 // desk.service_ms
    assert len(desk.gate.admission.promises) <= 256
    assert desk.submit(desk.run("ann")) == "waits"
    assert "ann" in {run.spec.user_id for run in desk.order.first(2)}


def test_newcomers_wait_for_one_another_and_are_refused_at_the_hard_limit() -> None:
    desk = Desk(tiers(free={"wait_limit_ms": 20_000, "wait_soft_ms": 10_000}))
    for number in range(30):
        desk.fill(1, f"user_{number}")
    desk.look(50)
    assert desk.refused("ann")[0] == "at_capacity"
    assert desk.ask("ann", "paid").problem is None


def test_who_obeys_is_let_in_though_others_came_meanwhile() -> None:
    desk = Desk(tiers(free={"wait_limit_ms": 5_000}))
    for number in range(30):
        desk.fill(1, f"user_{number}")
    desk.look(50)
    code, wait_ms = desk.refused("ann")
    assert code == "at_capacity"
    assert desk.refused("ann")[0] == "at_capacity"
    desk.look(wait_ms)
    assert desk.ask("ann").problem is None
    assert desk.submit(desk.run("ann")) == "waits"
    assert desk.refused("bob")[0] == "at_capacity"


def test_no_two_are_promised_the_same_place() -> None:
    desk = Desk(tiers(free={"wait_limit_ms": 5_000}))
    for number in range(30):
        desk.fill(1, f"user_{number}")
    desk.look(50)
    waits = [desk.refused(f"new_{number}")[1] for number in range(20)]
    assert min(waits[10:]) > min(waits[:10])
    assert max(waits) - min(waits) >= 15_000


def test_a_promise_lapses_and_is_judged_anew() -> None:
    desk = Desk(tiers(free={"wait_limit_ms": 5_000}))
    for number in range(30):
        desk.fill(1, f"user_{number}")
    desk.look(50)
    wait_ms = desk.refused("ann")[1]
    desk.look(wait_ms + 15_000)
    assert desk.refused("ann")[0] == "at_capacity"


def test_a_wait_is_never_told_beyond_an_hour_nor_below_a_second() -> None:
    desk = Desk(tiers(free={"wait_limit_ms": 1_000}), service_ms=600_000)
    for number in range(10):
        desk.fill(1, f"user_{number}")
    desk.look(50)
    assert max(desk.refused(f"new_{number}")[1] for number in range(10)) == 3_600_000
    fast = Desk(tiers(free={"wait_limit_ms": 1}), service_ms=20)
    fast.fill(10)
    fast.look(50)
    assert fast.refused("flood")[1] == 1_000


def test_a_quarter_of_the_queue_is_kept_for_who_was_promised_a_place_and_for_the_best_tier() -> (
    None
):
    desk = Desk(queue_max=8)
    for number in range(6):
        assert desk.ask(f"user_{number}").problem is None
        assert desk.submit(desk.run(f"user_{number}")) == "waits"
    desk.look(50)
    code, wait_ms = desk.refused("ann")
    assert code == "at_capacity"
    assert desk.ask("paul", "paid").problem is None
    desk.look(wait_ms)
    assert desk.ask("ann").problem is None
    assert desk.submit(desk.run("ann")) == "waits"
    assert desk.refused("bob")[0] == "at_capacity"


def test_a_promise_is_for_one_prompt_though_two_are_asked_for_at_once() -> None:
    desk = Desk(queue_max=8)
    for number in range(6):
        desk.fill(1, f"user_{number}")
    desk.look(50)
    wait_ms = desk.refused("ann")[1]
    desk.look(wait_ms)
    assert desk.ask("ann").problem is None
    assert desk.refused("ann")[0] == "at_capacity"
    assert desk.submit(desk.run("ann")) == "waits"


def test_who_is_pushed_out_is_promised_a_place() -> None:
    desk = Desk(queue_max=6)
    for number in range(6):
        desk.fill(1, f"user_{number}", "free")
    victim = desk.run("user_0")
    problem = desk.gate.problem_when_full(victim, desk.now_ms)
    assert problem.code == "at_capacity" and problem.retry_after_ms is not None
    desk.order.remove(desk.order.first(1)[0])
    desk.look(problem.retry_after_ms)
    assert desk.ask("user_0").problem is None


def test_users_with_one_run_each_do_not_push_one_another_out() -> None:
    desk = Desk(queue_max=4)
    for number in range(4):
        desk.fill(1, f"user_{number}")
    assert desk.submit(desk.run("ann")) == "at_capacity"


def test_a_budget_is_refused_with_its_exact_wait() -> None:
    desk = Desk(tiers(free={"budget": BudgetConfig(size=1_000, refill=100)}))
    desk.room = True
    desk.look()
    assert desk.submit(desk.run()) == "waits"
    code, wait_ms = desk.refused()
    assert (code, wait_ms) == ("over_budget", 6_000)
    assert desk.submit(desk.run()) == "over_budget"
    desk.look(wait_ms)
    assert desk.ask().problem is None
    assert desk.submit(desk.run()) == "waits"


def test_a_budget_at_zero_in_mid_stream_lets_the_answer_end_and_owes() -> None:
    desk = Desk(tiers(free={"budget": BudgetConfig(size=1_000, refill=100)}))
    run = desk.run(tokens=90)
    desk.submit(run)
    desk.dispatch()
    run.began, run.tokens = True, 20
    desk.gate.progressed(run)
    desk.gate.ended(run)
    budget = desk.ask().budget
    assert budget is not None and budget.remaining == 1_000 - 20 * 200
    assert desk.refused()[0] == "over_budget"


def test_a_cancelled_run_pays_for_what_was_delivered_and_one_that_never_began_nothing() -> None:
    desk = Desk(tiers(free={"budget": BudgetConfig(size=10_000, refill=1)}))
    begun, queued = desk.run(), desk.run()
    desk.submit(begun)
    desk.submit(queued)
    begun.began, begun.tokens = True, 3
    desk.gate.ended(begun)
    desk.gate.ended(queued)
    desk.gate.ended(begun)
    budget = desk.ask().budget
    assert budget is not None and budget.remaining == 10_000 - 600


def test_what_a_lost_worker_computed_is_not_paid_twice() -> None:
    desk = Desk(tiers(free={"budget": BudgetConfig(size=10_000, refill=1)}))
    run = desk.run()
    desk.submit(run)
    run.began, run.tokens, run.losses = True, 2, 1
    desk.gate.progressed(run)
    run.tokens = 4
    desk.gate.progressed(run)
    desk.gate.ended(run)
    budget = desk.ask().budget
    assert budget is not None and budget.remaining == 10_000 - COST


def test_a_redelivered_run_is_taken_whatever_the_budget_and_the_queue_say() -> None:
    desk = Desk(tiers(free={"budget": BudgetConfig(size=100, refill=1)}), queue_max=1)
    desk.fill(5)
    run = desk.run()
    run.fresh = False
    assert desk.submit(run) == "waits"


def test_a_full_queue_pushes_out_the_newest_of_the_lowest_tiers_longest_user() -> None:
    desk = Desk(queue_max=6)
    desk.fill(1, "light", "background")
    flood = desk.fill(2, "heavy", "background")
    desk.fill(3, "ann", "free")
    assert desk.submit(desk.run("bob", "paid")) == f"instead of {flood[-1].spec.run_id}"
    assert desk.submit(desk.run("bob", "free")).startswith("instead of")


def test_a_full_queue_of_one_tier_pushes_out_who_is_furthest_ahead_or_refuses_them() -> None:
    desk = Desk(queue_max=6)
    flood = desk.fill(6, "flood", "paid")
    assert desk.submit(desk.run("ann", "paid")) == f"instead of {flood[-1].spec.run_id}"
    assert desk.submit(desk.run("flood", "paid")) == "at_capacity"


def test_a_paid_run_is_not_refused_while_a_free_one_can_give_way() -> None:
    desk = Desk(tiers(paid={"wait_limit_ms": 2_000, "wait_soft_ms": 1_000}))
    for number in range(10):
        desk.fill(1, f"paid_{number}", "paid")
    free = desk.fill(1, "free", "free")
    desk.look(50)
    assert desk.ask("new", "paid").problem is None
    assert desk.submit(desk.run("new", "paid")) == f"instead of {free[0].spec.run_id}"
    assert desk.refused("other", "paid")[0] == "at_capacity"


def test_a_paid_run_is_not_refused_while_a_free_one_without_output_can_be_reclaimed() -> None:
    desk = Desk(tiers(paid={"wait_limit_ms": 2_000, "wait_soft_ms": 1_000}))
    desk.fill(1, "free", "free")
    running = desk.dispatch()
    for number in range(10):
        desk.fill(1, f"paid_{number}", "paid")
    desk.look(50)
    assert desk.ask("new", "paid").problem is None
    running.began = True
    desk.look(50)
    assert desk.refused("new", "paid")[0] == "at_capacity"


def test_a_capped_tier_gets_shorter_answers_and_fewer_at_once_and_is_told() -> None:
    desk = Desk(tiers(paid={"wait_soft_ms": 10_000}))
    assert desk.ask().concurrency == 0
    for number in range(6):
        desk.fill(1, f"paid_{number}", "paid")
    desk.look(50)
    assert desk.gate.ladder.level == "capped"
    assert desk.ask().concurrency == 2
    long, short, paid = (
        desk.run(tokens=900),
        desk.run(tokens=500),
        desk.run("p", "paid", tokens=900),
    )
    for run in (long, short, paid):
        desk.submit(run)
    assert (long.spec.sampling.max_tokens, long.degraded) == (512, ("shortened",))
    assert (short.spec.sampling.max_tokens, short.degraded) == (500, ())
    assert (paid.spec.sampling.max_tokens, paid.degraded) == (900, ())


def test_shortening_keeps_the_least_length_within_the_greatest() -> None:
    desk = Desk(tiers(free={"output_max": 100, "output_capped": 0}))
    run = desk.run(tokens=900)
    sampling = msgspec.structs.replace(run.spec.sampling, min_tokens=300)
    run.spec = msgspec.structs.replace(run.spec, sampling=sampling, degraded=("downgraded",))
    desk.submit(run)
    assert (run.spec.sampling.max_tokens, run.spec.sampling.min_tokens) == (100, 100)
    assert run.degraded == ("downgraded", "shortened")


def pressed(desk: Desk, runs: int) -> None:
    for number in range(runs):
        desk.fill(1, f"paid_{number}", "paid")
    desk.look(50)


def test_a_deferrable_run_waits_on_the_shelf_until_it_is_calmer() -> None:
    desk = Desk(tiers(paid={"wait_soft_ms": 10_000}))
    pressed(desk, 9)
    assert desk.gate.ladder.level == "deferred"
    run = desk.run(deferrable=True)
    assert desk.ask(deferrable=True).problem is None
    assert desk.submit(run) == "shelf"
    assert run.degraded == ("deferred",)
    assert desk.submit(desk.run()) == "waits"
    assert desk.look(50) == []
    while len(desk.order):
        desk.order.remove(desk.order.first(1)[0])
    desk.look(1_000)
    assert desk.look(30_000) == [run]


def test_a_deferred_run_gets_an_idle_place_and_waits_no_longer_than_its_tier_may() -> None:
    desk = Desk(tiers(paid={"wait_soft_ms": 10_000}))
    pressed(desk, 9)
    first, second = desk.run(deferrable=True), desk.run(deferrable=True)
    desk.submit(first)
    desk.submit(second)
    while len(desk.order):
        desk.order.remove(desk.order.first(1)[0])
    desk.room = True
    assert desk.look(50) == [first]
    desk.order.remove(first)
    desk.room = False
    pressed(desk, 9)
    desk.now_ms += 60_001
    assert desk.look(0) == [second]


def test_shed_refuses_the_tiers_that_may_be_shed_and_nobody_else() -> None:
    desk = Desk(tiers(paid={"wait_soft_ms": 10_000, "wait_limit_ms": 120_000}))
    pressed(desk, 14)
    assert desk.gate.ladder.level == "shed"
    assert desk.refused("ann", "free")[0] == "at_capacity"
    assert desk.refused("ann", "background")[0] == "at_capacity"
    assert desk.ask("ann", "paid").problem is None
    assert desk.ask("ann", "free", deferrable=True).problem is None


def test_reloaded_tiers_hold_from_the_next_decision() -> None:
    desk = Desk()
    assert desk.ask().budget is None
    desk.gate.reconfigure(
        tiers(free={"budget": BudgetConfig(size=500, refill=5), "concurrency": 3}),
        desk.config.costs,
    )
    answer = desk.ask()
    assert answer.budget is not None and answer.budget.limit == 500
    assert answer.concurrency == 3


@pytest.mark.parametrize("tier", ["gold", ""])
def test_an_unknown_tier_is_treated_as_the_lowest(tier: str) -> None:
    desk = Desk()
    answer = desk.gate.allowance(
        AskAllowance(user_id="ann", tier=tier, wanted=True),  # type: ignore[arg-type]
        desk.now_ms,
    )
    assert (answer.tier, answer.problem) == ("background", None)

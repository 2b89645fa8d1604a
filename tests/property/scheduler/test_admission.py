"""A paid run is shed or deferred only when no free one can give way (scheduling.md, invariant
10), and gates that break it are found out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from actors.scheduler.admission import Admission
from actors.scheduler.config import MEASURES, TierConfig
from contracts.runs import Tier
from tests.unit.scheduler.test_gate import Desk

LOWER: tuple[Tier, ...] = ("free", "background")


def harsh_tiers() -> dict[str, TierConfig]:
    """Tiers that are quickly at their limits; even the best may be deferred and shed."""
    return {
        "paid": TierConfig(weight=4, wait_limit_ms=4_000, wait_soft_ms=2_000, measures=MEASURES),
        "free": TierConfig(weight=2, wait_limit_ms=3_000, measures=MEASURES),
        "background": TierConfig(weight=1, wait_limit_ms=5_000, measures=("shed",)),
    }


@dataclass(frozen=True)
class Step:
    """A run that is submitted or asked for, a place that comes free, a first token, an end, or
    time that passes."""

    what: Literal["submit", "ask", "dispatch", "begin", "end", "look"]
    tier: Tier
    user: int
    deferrable: bool
    ms: int


STEPS = st.builds(
    Step,
    what=st.sampled_from(("submit", "submit", "submit", "ask", "dispatch", "begin", "end", "look")),
    tier=st.sampled_from(("paid", "paid", "free", "background")),
    user=st.integers(0, 3),
    deferrable=st.booleans(),
    ms=st.sampled_from((50, 200, 2_000)),
)
HISTORIES = st.lists(STEPS, max_size=60)


class World:
    """A desk that lives through a history, with the invariant checked at each refusal."""

    def __init__(self, broken: Callable[[Admission], None] = lambda _: None) -> None:
        self.desk = Desk(harsh_tiers(), queue_max=8)
        broken(self.desk.gate.admission)

    def give_way(self) -> bool:
        """Say whether a run of a lower tier waits, or has a place and no output."""
        waiting = any(self.desk.order.waiting(tier) for tier in LOWER)
        return waiting or any(
            run.spec.tier in LOWER and run.stage == "dispatched" and not run.began
            for run in self.desk.placed
        )

    def live(self, step: Step) -> None:
        desk = self.desk
        user = f"{step.tier}_{step.user}"
        paid_could_win = step.tier == "paid" and self.give_way()
        match step.what:
            case "submit":
                run = desk.run(user, step.tier, deferrable=step.deferrable)
                outcome = desk.submit(run)
                if paid_could_win:
                    assert outcome not in ("at_capacity", "shelf"), outcome
                if outcome.startswith("instead of"):
                    assert len(desk.order) <= desk.config.queue_max + 1
            case "ask":
                problem = desk.ask(user, step.tier, deferrable=step.deferrable).problem
                if problem is not None:
                    assert problem.retry_after_ms is not None
                    assert 1_000 <= problem.retry_after_ms <= 120_000
                    assert not (paid_could_win and problem.code == "at_capacity")
            case "dispatch":
                if len(desk.order):
                    desk.dispatch()
            case "begin":
                for run in desk.placed[:1]:
                    run.began, run.tokens, run.stage = True, 1, "running"
            case "end":
                for run in desk.placed[:1]:
                    desk.placed.remove(run)
                    desk.order.settled(run, 0, run.tokens, desk.now_ms)
                    desk.gate.ended(run)
            case "look":
                desk.look(step.ms)
        desk.look()
        assert desk.gate.ledger.totals().balanced


@settings(max_examples=200, deadline=None)
@given(HISTORIES)
def test_no_paid_run_is_shed_or_deferred_while_a_lower_one_can_give_way(
    history: list[Step],
) -> None:
    world = World()
    for step in history:
        world.live(step)


def sheds_whoever_comes(admission: Admission) -> None:
    vars(admission)["_before_others"] = lambda _: False


def never_pushes_out(admission: Admission) -> None:
    vars(admission)["_giving_way"] = lambda _, **__: None


def pushes_out_its_own_first(admission: Admission) -> None:
    vars(admission._tiers)["below"] = lambda _: []


def forgets_what_can_be_reclaimed(admission: Admission) -> None:
    admission._reclaimable = lambda _tier: False


@pytest.mark.parametrize(
    "broken",
    [
        sheds_whoever_comes,
        never_pushes_out,
        pushes_out_its_own_first,
        forgets_what_can_be_reclaimed,
    ],
)
def test_a_gate_that_sheds_the_paid_first_is_found_out(
    broken: Callable[[Admission], None],
) -> None:
    def breaks(history: list[Step]) -> bool:
        world = World(broken)
        try:
            for step in history:
                world.live(step)
        except AssertionError:
            return True
        return False

    try:
        find(
            HISTORIES,
            breaks,
            settings=settings(
                max_examples=3_000, derandomize=True, phases=[Phase.generate], deadline=None
            ),
        )
    except NoSuchExample:
        pytest.fail(f"no history shows what {broken.__name__} does")

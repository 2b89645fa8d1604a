"""Invariants 1–6, 8, 9, 11 and 12 of `scheduling.md`, and that their checks can fail."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from actors.scheduler import selection
from actors.scheduler.accounts import Account, Changes
from actors.scheduler.backlog import SCALE, Backlog, User
from actors.scheduler.config import TierConfig
from actors.scheduler.dispatching import Dispatching
from actors.scheduler.ending import Ending
from actors.scheduler.fair import FairOrder
from actors.scheduler.hearing import Hearing
from actors.scheduler.journal import Journal, Recollection
from actors.scheduler.pool import Pool
from actors.scheduler.state import Run
from actors.scheduler.tags import Tags
from tests.property.scheduler.fair_world import (
    COSTS,
    OUTPUT_MAX,
    PROMPT_MAX,
    SLACK,
    Broken,
    World,
    play,
    require,
)

USERS = tuple(f"user_{number}" for number in range(4))
CHARGE_MAX = COSTS.charge(PROMPT_MAX, 0, OUTPUT_MAX)


class FairHistory(RuleBasedStateMachine):
    """Any history of users, workers and schedulers, checked after each event."""

    world: World

    @initialize(seed=st.integers(0, 1 << 20))
    def begin(self, seed: int) -> None:
        self.world = World(random.Random(seed))
        for worker in self.world.workers:
            self.world.report(worker)

    @rule(user=st.sampled_from(USERS), tier=st.sampled_from(("paid", "free")))
    def prompt(self, user: str, tier: str) -> None:
        self.world.submit(user, tier)

    @rule(worker=st.sampled_from(("gpu_0", "gpu_1")), place=st.integers(0, 2))
    def finish(self, worker: str, place: int) -> None:
        running = sorted(self.world.workers[worker])
        if self.world.alive[worker] and place < len(running):
            self.world.finish(worker, running[place])

    @rule(number=st.integers(1, 60))
    def cancel(self, number: int) -> None:
        if f"run_{number}" in self.world.specs:
            self.world.cancel(f"run_{number}")

    @rule(ms=st.sampled_from((20, 100, 300)))
    def time_passes(self, ms: int) -> None:
        self.world.tick(ms)

    @rule(worker=st.sampled_from(("gpu_0", "gpu_1")))
    def worker_dies(self, worker: str) -> None:
        self.world.die(worker)

    @rule(worker=st.sampled_from(("gpu_0", "gpu_1")))
    def worker_comes(self, worker: str) -> None:
        self.world.report(worker)

    @rule()
    def scheduler_crashes(self) -> None:
        self.world.crash()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.drain()


TestFairHistory = FairHistory.TestCase
TestFairHistory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def flooded(seed: int, users: int, runs: int, **options: Any) -> World:
    """Return a world in which each user has so many runs waiting in each tier."""
    world = World(random.Random(seed), **options)
    world.by_tags = False
    for worker in world.workers:
        world.report(worker)
    for _ in range(runs):
        for number in range(users):
            for tier in world.tiers:
                world.submit(f"user_{number}", tier)
    return world


def finish_one(world: World) -> None:
    worker = max(world.workers, key=lambda name: len(world.workers[name]))
    world.finish(worker, sorted(world.workers[worker])[0])


def shares_of_backlogged_users(seed: int) -> None:
    """Invariant 2: what two users get who both wait differs by a bound, at any time."""
    world = flooded(seed, 2, 60, tiers={"free": TierConfig(1, 1 << 40)})
    bound = 2 * (SLACK + CHARGE_MAX) + 2 * 6 * CHARGE_MAX
    for _ in range(80):
        finish_one(world)
        served: Counter[str] = Counter()
        for run_id, cost in world.paid.items():
            served[world.specs[run_id].user_id] += cost
        gap = abs(served["user_0"] - served["user_1"])
        require(gap <= bound, "2 interval service", gap)


def shares_of_tiers(seed: int) -> None:
    """Invariant 3: weights 1 : 2 : 3 : 4 are kept within 1 % of what was served."""
    tiers = {f"t{weight}": TierConfig(weight, 1 << 40) for weight in (1, 2, 3, 4)}
    world = flooded(seed, 1, 700, tiers=tiers)
    for _ in range(1_400):
        finish_one(world)
    charged = {name: tier.charged for name, tier in world.fair._tiers.items()}
    total = sum(charged.values())
    for weight in (1, 2, 3, 4):
        share = charged[f"t{weight}"]
        require(abs(10 * share - weight * total) * 100 <= 10 * total, "3 weights", charged)


def flood_before_a_light_user(seed: int) -> None:
    """Invariant 11: what is dispatched between a light user's prompt and its place is bounded,
    however much a flooder has waiting."""
    for backlog in (5, 40):
        world = flooded(seed, 1, backlog, tiers={"free": TierConfig(1, 1 << 40)})
        run_id = world.submit("light", "free")
        before = len(world.dispatches)
        while run_id not in world.dispatches and len(world.dispatches) < before + 100:
            finish_one(world)
        ahead = world.dispatches[before : world.dispatches.index(run_id)]
        cost = sum(COSTS.charge(len(world.specs[r].prompt_tokens), 0, 0) for r in ahead)
        require(cost <= SLACK + CHARGE_MAX, "11 flooding", (backlog, len(ahead)))


@pytest.mark.parametrize("seed", range(3))
def test_two_users_who_wait_get_the_same_within_the_bound(seed: int) -> None:
    shares_of_backlogged_users(seed)


def test_weights_of_tiers_are_kept_within_one_percent() -> None:
    shares_of_tiers(1)


@pytest.mark.parametrize("seed", range(3))
def test_flood_does_not_hold_up_a_light_user(seed: int) -> None:
    flood_before_a_light_user(seed)


# --- the checks can fail -----------------------------------------------------------------------

Patch = Callable[[pytest.MonkeyPatch], None]


def greedy(patch: pytest.MonkeyPatch) -> None:
    """The user who is furthest ahead is next."""

    def head(self: Backlog) -> User | None:
        listed = [user for user in self.users.values() if user.mark]
        return max(listed, key=lambda user: user.tag, default=None)

    patch.setattr(Backlog, "head", head)


def never_moves(patch: pytest.MonkeyPatch) -> None:
    """Users' tags stand still: first come, first served by heap order."""
    patch.setattr(Backlog, "move", lambda *_: None)


def weightless(patch: pytest.MonkeyPatch) -> None:
    """All tiers weigh the same."""
    kept = Backlog.__init__

    def begin(self: Backlog, name: str, weight: int) -> None:
        kept(self, name, 1)
        del weight

    patch.setattr(Backlog, "__init__", begin)
    patch.setattr(FairOrder, "_weigh", staticmethod(lambda *_: None))


def rounding(patch: pytest.MonkeyPatch) -> None:
    """What a division leaves over is lost."""

    def charge(_self: FairOrder, tier: Backlog, user: User, cost: int) -> None:
        tier.move(user, cost)
        tier.charged += cost
        tier.tag += cost * SCALE // tier.weight

    patch.setattr(FairOrder, "_charge", charge)


def no_correction(patch: pytest.MonkeyPatch) -> None:
    """The end of a run corrects nothing."""
    patch.setattr(
        FairOrder, "settled", lambda self, run, *_: self._accounts.pop(run.spec.run_id, 0)
    )


def recompute_charged(patch: pytest.MonkeyPatch) -> None:
    """A lost worker gives nothing back, and its successor is charged anew."""

    def keep(self: FairOrder, tier: Backlog, run: Run, account: Account) -> None:
        self._suspend(tier, account)
        del self._accounts[run.spec.run_id]

    patch.setattr(FairOrder, "_return", keep)


def credit_for_idling(patch: pytest.MonkeyPatch) -> None:
    """Who comes back begins at its old tag, and a new user at zero."""

    def user(self: Backlog, user_id: str) -> User:
        return self.users.setdefault(user_id, User(user_id, 0, resumed=True))

    patch.setattr(Backlog, "user", user)


def time_falls(patch: pytest.MonkeyPatch) -> None:
    """The virtual time follows the smallest tag down as well."""

    def advance(self: Backlog) -> None:
        head = self.head()
        if head is not None:
            self.virtual = head.tag - 1

    patch.setattr(Backlog, "advance", advance)


def front_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Runs that lost a worker are never looked at."""
    patch.setattr(selection, "first_front", lambda _tier: [])


def lazy(patch: pytest.MonkeyPatch) -> None:
    """Only reports fill a worker's room."""
    kept = Dispatching.dispatch

    def dispatch(self: Dispatching, now_ms: int) -> Any:
        return kept(self, now_ms) if now_ms % 7 == 0 else []

    patch.setattr(Dispatching, "dispatch", dispatch)


def same_attempt(patch: pytest.MonkeyPatch) -> None:
    """Attempts do not grow."""
    patch.setattr(Pool, "next_attempt", lambda self: self.term << 20)


def settles_twice(patch: pytest.MonkeyPatch) -> None:
    """A run's end is acknowledged twice."""
    kept = Ending.forget
    patch.setattr(
        Ending, "forget", lambda self, run_id, now: (found := kept(self, run_id, now)) + found
    )


def never_settles(patch: pytest.MonkeyPatch) -> None:
    """A run's end is not acknowledged."""
    patch.setattr(Hearing, "settled", lambda *_: [])


def forgetful(patch: pytest.MonkeyPatch) -> None:
    """A successor is told no tags of users."""
    kept = Recollection.take

    def take(self: Recollection, entry: Any) -> None:
        kept(self, entry)
        self.users.clear()

    patch.setattr(Recollection, "take", take)


def accounts_lost(patch: pytest.MonkeyPatch) -> None:
    """A successor does not know what was charged."""
    kept = Recollection.take

    def take(self: Recollection, entry: Any) -> None:
        kept(self, entry)
        self.accounts.clear()

    patch.setattr(Recollection, "take", take)


def settlements_lost(patch: pytest.MonkeyPatch) -> None:
    """The journal does not say who was settled, and accounts stay open."""
    patch.setattr(Journal, "settled", lambda *_: None)
    kept = Tags.changes

    def changes(self: Tags) -> Changes:
        found = kept(self)
        return Changes(found.users, found.accounts, [])

    patch.setattr(Tags, "changes", changes)


def histories() -> None:
    for seed in range(40):
        play(seed, steps=120)


def some(story: Callable[[int], None]) -> Callable[[], None]:
    def tell() -> None:
        for seed in range(3):
            story(seed)

    return tell


BROKEN: tuple[tuple[Patch, Callable[[], None], tuple[str, ...]], ...] = (
    (greedy, histories, ("1",)),
    (greedy, some(shares_of_backlogged_users), ("2",)),
    (greedy, some(flood_before_a_light_user), ("11",)),
    (weightless, some(shares_of_tiers), ("3",)),
    (front_forgotten, histories, ("4", "6")),
    (credit_for_idling, histories, ("5",)),
    (lazy, histories, ("6",)),
    (time_falls, histories, ("8",)),
    (rounding, histories, ("8",)),
    (no_correction, histories, ("8",)),
    (recompute_charged, histories, ("8",)),
    (same_attempt, histories, ("9",)),
    (settles_twice, histories, ("9",)),
    (never_settles, histories, ("4", "6", "8", "9")),
    (never_moves, some(shares_of_backlogged_users), ("2",)),
    (forgetful, histories, ("12",)),
    (accounts_lost, histories, ("8", "12")),
    (settlements_lost, histories, ("8", "12")),
)


@pytest.mark.parametrize(("mutation", "story", "numbers"), BROKEN)
def test_broken_machine_is_caught_by_the_invariant_that_it_breaks(
    mutation: Patch,
    story: Callable[[], None],
    numbers: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutation(monkeypatch)
    with pytest.raises(Broken) as caught:
        story()
    assert str(caught.value).split()[0] in numbers

"""The fair order, choice by choice."""

from collections import Counter
from collections.abc import Sequence

from actors.scheduler.backlog import SCALE
from actors.scheduler.config import TierConfig
from actors.scheduler.costs import Costs
from actors.scheduler.fair import FairOrder
from actors.scheduler.homing import Anywhere
from actors.scheduler.order import Choice, WorkerRoom
from actors.scheduler.state import Run
from contracts.runs import RunSpec, Sampling

COSTS = Costs(prefill_us=1, cached_us=0, output_us=2)
TIERS = {"paid": TierConfig(10, 1_000), "free": TierConfig(1, 1_000)}


class Warm:
    """Caches that hold what the test says: worker → first block key → tokens."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, int]] = {}

    def warm_tokens(self, worker: str, block_keys: Sequence[str]) -> int:
        return self.held.get(worker, {}).get(block_keys[0], 0)


class Queue:
    """A fair order and the runs that the test makes, by name."""

    def __init__(self, *, slack: int = 0, tiers: dict[str, TierConfig] | None = None) -> None:
        self.order = FairOrder(tiers or TIERS, COSTS, slack=slack, placing=self)
        self.warm = Warm()
        self.count = 0
        self.now_ms = 0
        self.home_is_free_soon = False

    def place(self, run: Run, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:
        return Anywhere().place(run, rooms, now_ms)

    def waits(self, _run: Run, _rooms: Sequence[WorkerRoom]) -> bool:
        return self.home_is_free_soon

    def run(
        self, user: str, *, tier: str = "free", prompt: int = 100, output: int = 50, key: str = ""
    ) -> Run:
        self.count += 1
        spec = RunSpec(
            run_id=f"run_{self.count}",
            pool="default",
            model="m",
            user_id=user,
            tier=tier,  # type: ignore[arg-type]
            prompt_tokens=(7,) * prompt,
            sampling=Sampling(max_tokens=1_000),
            submitted_at_ms=0,
            block_keys=(key,) if key else (),
        )
        run = Run(spec, [], self.count)
        run.predicted = output
        run.kv_need = prompt + output
        run.queued_ms = self.now_ms
        return run

    def push(self, user: str, **kind: object) -> Run:
        run = self.run(user, **kind)  # type: ignore[arg-type]
        self.order.push(run, self.now_ms)
        return run

    def room(self, worker: str = "gpu_a", **limits: object) -> WorkerRoom:
        room = WorkerRoom(worker, 1, None, None, 0, 0, self.warm)
        for name, value in limits.items():
            setattr(room, name, value)
        return room

    def take(self, *rooms: WorkerRoom) -> Run | None:
        choice = self.order.next(rooms or [self.room()], self.now_ms)
        if choice is None:
            return None
        self.order.dispatched(choice.run, choice.cached, self.now_ms)
        return choice.run

    def serve(self, count: int) -> list[Run]:
        """Dispatch and settle runs that use exactly what was predicted."""
        served = []
        for _ in range(count):
            run = self.take()
            assert run is not None
            self.order.settled(run, 0, run.predicted, self.now_ms)
            served.append(run)
        return served

    def tag(self, user: str, tier: str = "free") -> int:
        return self.order._tiers[tier].users[user].tag


def users(runs: list[Run]) -> Counter[str]:
    return Counter(run.spec.user_id for run in runs)


def test_light_user_goes_before_the_flooders_second_run() -> None:
    queue = Queue()
    for _ in range(50):
        queue.push("flooder")
    queue.take()
    queue.push("light")
    assert [run.spec.user_id for run in queue.serve(2)] == ["light", "flooder"]


def test_users_share_by_cost_not_by_runs() -> None:
    queue = Queue()
    for _ in range(200):
        queue.push("short", prompt=50, output=25)
        queue.push("long", prompt=200, output=100)
    served = users(queue.serve(100))
    assert abs(served["short"] - 4 * served["long"]) <= 4


def test_tiers_share_by_weight_to_the_unit() -> None:
    queue = Queue()
    for _ in range(300):
        queue.push("a", tier="paid")
        queue.push("b", tier="free")
    served = users(queue.serve(220))
    assert served == {"a": 200, "b": 20}
    for tier in queue.order._tiers.values():
        assert tier.tag * tier.weight + tier.rest == SCALE * tier.charged


def test_weights_that_do_not_divide_lose_no_unit() -> None:
    tiers = {name: TierConfig(weight, 1) for name, weight in (("x", 7), ("y", 999_983))}
    queue = Queue(tiers=tiers)
    for number in range(100):
        queue.push("a", tier="x", prompt=number + 1)
        queue.push("b", tier="y", prompt=number + 1)
    queue.serve(150)
    for tier in queue.order._tiers.values():
        assert tier.tag * tier.weight + tier.rest == SCALE * tier.charged


def test_idle_user_earns_no_credit() -> None:
    queue = Queue()
    for _ in range(30):
        queue.push("busy")
        queue.push("other")
    queue.serve(20)
    for _ in range(10):
        queue.push("late")
    assert users(queue.serve(12)) == {"busy": 4, "other": 4, "late": 4}


def test_short_answer_gives_back_what_was_predicted_too_much() -> None:
    queue = Queue()
    first = queue.push("a", output=500)
    queue.push("a")
    queue.push("b")
    assert queue.take() is first
    assert queue.tag("a") == 100 + 1_000
    queue.order.settled(first, 40, 10, 0)
    assert queue.tag("a") == 60 + 20


def test_output_beyond_the_prediction_is_charged_in_blocks_and_settled_to_the_token() -> None:
    queue = Queue()
    run = queue.push("a", output=10)
    queue.push("a")
    queue.take()
    queue.order.progressed(run, 9, 0)
    assert queue.tag("a") == 100 + 20
    queue.order.progressed(run, 11, 0)
    queue.order.progressed(run, 40, 0)
    assert queue.tag("a") == 100 + 20 + 64
    queue.order.progressed(run, 12, 0)
    queue.order.progressed(run, 43, 0)
    assert queue.tag("a") == 100 + 20 + 128
    queue.order.settled(run, 0, 50, 0)
    queue.order.settled(run, 0, 50, 0)
    assert queue.tag("a") == 100 + 100


def test_run_that_lost_its_worker_goes_first_and_its_recompute_costs_its_user_nothing() -> None:
    queue = Queue()
    run = queue.push("a", output=30)
    queue.push("a")
    queue.push("b")
    queue.take()
    run.tokens, run.front = 10, True
    queue.order.push(run, 0)
    assert queue.tag("a") == 100 + 20
    assert queue.take() is run
    assert queue.tag("a") == 100 + 60
    queue.order.settled(run, 0, 30, 0)
    assert queue.tag("a") == 100 + 60


def test_run_that_lost_its_worker_before_its_first_token_is_given_everything_back() -> None:
    queue = Queue()
    run = queue.push("a")
    queue.push("a")
    queue.take()
    run.front = True
    queue.order.push(run, 0)
    assert queue.tag("a") == 0
    assert queue.take() is run
    assert queue.tag("a") == 200


def test_warm_prefix_goes_first_within_the_slack_and_not_beyond() -> None:
    queue = Queue(slack=250)
    queue.warm.held = {"gpu_a": {"k": 90}}
    for _ in range(9):
        for user in ("cold", "warm"):
            run = queue.run(user, key="k" if user == "warm" else "c")
            run.home, run.home_hit = ("gpu_a", 90) if user == "warm" else ("", 0)
            queue.order.push(run, 0)
    assert [run.spec.user_id for run in queue.serve(3)] == ["warm", "warm", "cold"]


def test_run_whose_home_is_free_soon_waits_for_it_but_no_worker_stays_idle() -> None:
    queue = Queue(slack=1_000)
    queue.warm.held = {"gpu_b": {"k": 90}}
    queue.home_is_free_soon = True
    homed = queue.run("a", key="k")
    homed.home, homed.home_hit = "gpu_b", 90
    queue.order.push(homed, 0)
    other = queue.push("b")
    assert queue.take(queue.room("gpu_a")) is other
    assert homed.skips == 1
    assert queue.take(queue.room("gpu_a")) is homed


def test_run_that_waits_long_with_few_others_goes_before_any_prefix() -> None:
    queue = Queue(slack=10_000)
    queue.warm.held = {"gpu_a": {"k": 90}}
    waiting = queue.push("light", key="c")
    queue.now_ms = 301
    homed = queue.run("heavy", key="k")
    homed.home, homed.home_hit = "gpu_a", 90
    queue.order.push(homed, 301)
    assert queue.take() is waiting


def test_run_too_big_for_any_room_lets_others_pass_within_the_slack_only() -> None:
    queue = Queue(slack=1_800)
    big = queue.push("big", prompt=900)
    for _ in range(9):
        queue.push("small")
    tight = queue.room(kv_tokens=500, batch=3)
    passed = 0
    while queue.take(tight) is not None:
        passed += 1
    assert passed == 3
    assert queue.take(queue.room()) is big


def test_user_at_its_limit_stands_aside_and_comes_back_without_credit() -> None:
    tiers = {"free": TierConfig(1, 1_000, concurrency=1)}
    queue = Queue(tiers=tiers)
    for _ in range(5):
        queue.push("a")
        queue.push("b")
    first, second = queue.take(), queue.take()
    assert first is not None and second is not None
    assert {first.spec.user_id, second.spec.user_id} == {"a", "b"}
    assert queue.take() is None
    queue.order.settled(first, 0, 50, 0)
    third = queue.take()
    assert third is not None and third.spec.user_id == first.spec.user_id


def test_closed_tier_takes_no_room() -> None:
    queue = Queue()
    queue.push("a", tier="paid")
    free = queue.push("b", tier="free")
    assert queue.take(queue.room(closed=frozenset({"paid"}))) is free
    assert queue.take(queue.room(closed=frozenset({"paid"}))) is None


def test_position_counts_ones_own_runs_and_those_of_others_before_it() -> None:
    queue = Queue()
    own = [queue.push("a") for _ in range(4)]
    assert [queue.order.position(run) for run in own] == [1, 2, 3, 4]
    for _ in range(4):
        queue.push("b")
    assert [queue.order.position(run) for run in own] == [1, 3, 5, 7]
    queue.order.remove(own[0])
    assert queue.order.position(own[1]) < 3
    assert queue.order.position(own[0]) == 0


def test_position_of_newcomers_is_by_arrival() -> None:
    queue = Queue()
    newcomers = [queue.push(f"user_{number}") for number in range(200)]
    places = [queue.order.position(run) for run in newcomers]
    assert places[0] == 1
    assert all(abs(place - number) <= 20 for number, place in enumerate(places, start=1))
    assert queue.order.ahead("free", "another") == 200


def test_tier_emptied_and_filled_at_once_keeps_neither_debt_nor_credit() -> None:
    queue = Queue()
    runs = [queue.push(f"user_{number}") for number in range(500)]
    for run in runs:
        queue.order.remove(run)
    assert len(queue.order) == 0
    for number in range(500):
        queue.push(f"user_{number}")
    assert len({run.spec.user_id for run in queue.serve(500)}) == 500
    assert len(queue.order) == 0


def test_users_who_left_are_forgotten() -> None:
    queue = Queue()
    queue.push("stays")
    for number in range(100):
        queue.push(f"user_{number}")
        queue.push("stays")
    queue.serve(150)
    assert len(queue.order._tiers["free"].users) < 60
    queue.serve(51)
    assert not queue.order._tiers["free"].users


def test_first_lists_runs_as_they_would_go() -> None:
    queue = Queue()
    for number in range(6):
        queue.push(f"user_{number % 3}")
    listed = queue.order.first(6)
    assert listed == queue.serve(6)


def test_longest_is_the_newest_run_of_whoever_has_most_waiting() -> None:
    queue = Queue()
    queue.push("light")
    last = [queue.push("heavy") for _ in range(5)][-1]
    assert queue.order.longest("free") is last
    queue.order.remove(last)
    remaining = queue.order.longest("free")
    assert remaining is not None and remaining.spec.user_id == "heavy"
    assert queue.order.longest("paid") is None

"""The ladder of degradation: when a level is taken, when it is left, and what is said."""

import pytest

from actors.scheduler.config import DegradationConfig
from actors.scheduler.degradation import LEVELS, Ladder, Load, pressure

CONFIG = DegradationConfig()


def level_of(ladder: Ladder) -> str:
    return ladder.level


def load(**changes: int) -> Load:
    return Load(
        **{
            "wait_ms": 0,
            "wait_soft_ms": 10_000,
            "sojourn_ms": 0,
            "kv_permille": 0,
            "waiting": 1,
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("wait_ms", "level"),
    [(4_999, "normal"), (5_000, "capped"), (8_000, "downgraded"), (10_000, "deferred")],
)
def test_a_level_is_taken_at_its_threshold(wait_ms: int, level: str) -> None:
    ladder = Ladder(CONFIG)
    ladder.update(load(wait_ms=wait_ms), 0)
    assert level_of(ladder) == level


def test_a_sudden_pressure_takes_all_steps_at_once_and_says_why() -> None:
    ladder = Ladder(CONFIG)
    assert ladder.update(load(wait_ms=12_000), 0)
    assert level_of(ladder) == "shed"
    assert ladder.why == "the best tier would wait 12.0 s"
    assert not ladder.update(load(wait_ms=13_000), 50)


def test_a_level_is_left_one_step_at_a_time_after_half_a_minute_of_calm() -> None:
    ladder = Ladder(CONFIG)
    ladder.update(load(wait_ms=12_000), 0)
    ladder.update(load(), 1_000)
    ladder.update(load(), 30_999)
    assert level_of(ladder) == "shed"
    levels = []
    for now_ms in (31_000, 61_000, 91_000, 121_000):
        ladder.update(load(), now_ms)
        levels.append(level_of(ladder))
    assert levels == ["deferred", "downgraded", "capped", "normal"]
    assert ladder.why == ""


def test_a_pressure_just_below_the_threshold_keeps_the_level() -> None:
    ladder = Ladder(CONFIG)
    ladder.update(load(wait_ms=8_000), 0)
    for now_ms in range(0, 300_000, 1_000):
        ladder.update(load(wait_ms=5_600), now_ms)
    assert level_of(ladder) == "downgraded"
    for now_ms in range(300_000, 331_000, 1_000):
        ladder.update(load(wait_ms=5_599), now_ms)
    assert level_of(ladder) == "capped"


def test_a_moment_of_pressure_begins_the_calm_anew() -> None:
    ladder = Ladder(CONFIG)
    ladder.update(load(wait_ms=5_000), 0)
    ladder.update(load(), 1_000)
    ladder.update(load(wait_ms=4_000), 20_000)
    ladder.update(load(), 21_000)
    ladder.update(load(), 50_000)
    assert level_of(ladder) == "capped"
    ladder.update(load(), 51_000)
    assert level_of(ladder) == "normal"


def test_a_clock_set_back_begins_the_calm_anew() -> None:
    ladder = Ladder(CONFIG)
    ladder.update(load(wait_ms=5_000), 1_000_000)
    ladder.update(load(), 1_001_000)
    ladder.update(load(), 0)
    ladder.update(load(), 29_999)
    assert level_of(ladder) == "capped"
    ladder.update(load(), 30_000)
    assert level_of(ladder) == "normal"


def test_memory_counts_only_while_runs_wait_and_never_takes_a_place() -> None:
    assert pressure(load(kv_permille=1_000, waiting=0), CONFIG).permille == 0
    full = pressure(load(kv_permille=1_000), CONFIG)
    assert full.permille == CONFIG.deferred - 1
    assert full.why == "memory is 100 % full while runs wait"
    ladder = Ladder(CONFIG)
    ladder.update(load(kv_permille=1_000), 0)
    assert level_of(ladder) == "downgraded"


def test_the_worst_of_the_three_decides() -> None:
    assert pressure(load(wait_ms=1_000, sojourn_ms=1_500), CONFIG).permille == 750
    assert pressure(load(sojourn_ms=1_500), CONFIG).why == "the best tier waited 1.5 s"
    assert pressure(load(wait_ms=9_000, sojourn_ms=1_500), CONFIG).permille == 900
    assert pressure(load(kv_permille=450, sojourn_ms=100), CONFIG).permille == 500


def test_reached_holds_for_the_level_and_those_below() -> None:
    ladder = Ladder(CONFIG)
    ladder.update(load(wait_ms=8_000), 0)
    assert [ladder.reached(level) for level in LEVELS] == [True, True, True, False, False]

"""Workers that die again and again."""

from actors.scheduler.quarantine import Quarantine
from tests.unit.scheduler.test_machine import Pool


def test_the_first_death_keeps_nothing_away() -> None:
    quarantine = Quarantine()
    quarantine.died("gpu_1", 1_000)
    assert quarantine.left_ms("gpu_1", 1_001) == 0
    assert quarantine.left_ms("gpu_2", 1_001) == 0


def test_each_further_death_keeps_runs_away_twice_as_long() -> None:
    quarantine = Quarantine()
    now_ms, lengths = 0, []
    for _ in range(9):
        quarantine.died("gpu_1", now_ms)
        lengths.append(quarantine.left_ms("gpu_1", now_ms))
        now_ms += 1_000
    assert lengths == [0, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 600_000, 600_000]


def test_a_worker_that_lives_long_enough_begins_anew() -> None:
    quarantine = Quarantine()
    quarantine.died("gpu_1", 0)
    quarantine.died("gpu_1", 1_000)
    assert quarantine.left_ms("gpu_1", 10_999) == 1
    assert quarantine.left_ms("gpu_1", 11_000) == 0
    quarantine.died("gpu_1", 311_001)
    assert quarantine.left_ms("gpu_1", 311_001) == 0


def test_the_window_begins_when_the_quarantine_ends() -> None:
    quarantine = Quarantine()
    quarantine.died("gpu_1", 0)
    quarantine.died("gpu_1", 1_000)
    quarantine.died("gpu_1", 311_000)
    assert quarantine.left_ms("gpu_1", 311_000) == 20_000


def test_a_clock_that_was_set_far_back_ends_every_quarantine() -> None:
    quarantine = Quarantine()
    quarantine.died("gpu_1", 10_000_000)
    quarantine.died("gpu_1", 10_001_000)
    assert quarantine.left_ms("gpu_1", 0) == 0


def test_a_thousand_workers_are_remembered_and_no_more() -> None:
    quarantine = Quarantine()
    for number in range(1_001):
        quarantine.died(f"gpu_{number}", number)
    quarantine.died("gpu_0", 2_000)
    quarantine.died("gpu_1000", 2_000)
    assert quarantine.left_ms("gpu_0", 2_000) == 0
    assert quarantine.left_ms("gpu_1000", 2_000) == 10_000


def test_worker_that_is_silent_while_it_loads_its_engine_is_no_dying_one() -> None:
    pool = Pool()
    for _ in range(4):
        pool.report("gpu_a")
        pool.report("gpu_b", state="starting")
        pool.tick(400)
        pool.report("gpu_a")
        pool.tick(400)
    pool.report("gpu_b")
    pool.submit("run_1")
    pool.submit("run_2")
    assert {pool.started[run_id][0] for run_id in ("run_1", "run_2")} == {"gpu_a", "gpu_b"}

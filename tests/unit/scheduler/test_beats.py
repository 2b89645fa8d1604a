"""A worker that is silent for longer than is its way: others go on, and nobody is hurt who was
merely late."""

from hypothesis import given
from hypothesis import strategies as st

from actors.scheduler.beats import LEAST_MS, Beat
from actors.scheduler.state import Effect, Heard, Send, Tick
from contracts.scheduling import DropRun, StartRun, WorkerGone
from tests.unit.scheduler.test_machine import Pool

MOST_MS = 700


class Beating(Pool):
    """Two workers that report every 100 ms while the scheduler ticks every 50."""

    def beat(
        self,
        ms: int,
        *workers: str,
        runs: dict[str, dict[str, int]] | None = None,
        seen: int | None = None,
    ) -> list[Effect]:
        """Let time pass while `workers` report; return what the machine did."""
        done: list[Effect] = []
        for _ in range(ms // 50):
            self.now_ms += 50
            if self.now_ms % 100 == 0:
                for worker in workers:
                    done += self.report(worker, runs=(runs or {}).get(worker, {}), seen=seen)
            done += self.tell(Tick())
        return done


def starts(effects: list[Effect]) -> list[tuple[str, int]]:
    return [
        (effect.worker, effect.command.attempt)
        for effect in effects
        if isinstance(effect, Send) and isinstance(effect.command, StartRun)
    ]


def running_on_a() -> Beating:
    pool = Beating()
    pool.beat(3_000, "gpu_a", "gpu_b")
    pool.submit("run")
    worker, _ = pool.started["run"]
    assert worker == "gpu_a"
    pool.beat(300, "gpu_a", "gpu_b", runs={"gpu_a": {"run": 3}})
    return pool


def test_worker_that_misses_its_beat_loses_its_runs_to_another_soon() -> None:
    pool = running_on_a()
    _, first = pool.started["run"]
    assert starts(pool.beat(LEAST_MS, "gpu_b")) == []
    ((worker, second),) = starts(pool.beat(100, "gpu_b"))
    assert worker == "gpu_b" and second > first


def test_worker_that_comes_back_drops_what_others_do_and_is_used_again() -> None:
    pool = running_on_a()
    stale = pool.started["run"][1]
    pool.beat(500, "gpu_b")
    effects = pool.beat(100, "gpu_a", "gpu_b", runs={"gpu_b": {"run": 4}})
    pool.started["run"] = ("gpu_a", stale)
    effects = pool.report("gpu_a", runs={"run": 3})
    assert [e.command for e in effects if isinstance(e, Send)] == [
        DropRun(run_id="run", attempt=stale)
    ]
    assert pool.machine._pool.runs["run"].losses == 0
    assert not pool.machine._pool.quarantine.left_ms("gpu_a", pool.now_ms)
    assert {name for name, _ in pool.machine._pool.workers.with_room()} == {"gpu_a", "gpu_b"}


def test_stall_that_lasts_counts_as_a_death() -> None:
    pool = running_on_a()
    pool.beat(1_000, "gpu_b", runs={"gpu_b": {"run": 3}})
    assert pool.machine._pool.runs["run"].losses == 1
    assert pool.machine._pool.workers.get("gpu_a") is None


def test_only_worker_is_waited_for() -> None:
    pool = Beating()
    pool.beat(3_000, "gpu_a")
    pool.submit("run")
    pool.beat(300, "gpu_a", runs={"gpu_a": {"run": 3}})
    pool.beat(MOST_MS - 50)
    assert pool.machine._pool.runs["run"].stage == "running"


def test_workers_are_not_blamed_for_a_silence_of_all() -> None:
    pool = running_on_a()
    pool.beat(MOST_MS - 100)
    assert pool.machine._pool.runs["run"].stage == "running"


def test_scheduler_that_slept_blames_nobody() -> None:
    pool = running_on_a()
    pool.now_ms += 500
    pool.report("gpu_b")
    assert starts(pool.tell(Tick())) == []
    assert pool.machine._pool.runs["run"].stage == "running"


def test_stall_of_a_worker_is_borne_while_no_other_has_room() -> None:
    pool = Beating()
    pool.beat(3_000, "gpu_a", "gpu_b")
    for run_id in ("one", "two", "three"):
        pool.submit(run_id)
    placed = {run_id: worker for run_id, (worker, _) in pool.started.items()}
    kept = {w: {r: 3 for r, at in placed.items() if at == w} for w in ("gpu_a", "gpu_b")}
    full = max(kept, key=lambda worker: len(kept[worker]))
    other = "gpu_a" if full == "gpu_b" else "gpu_b"
    pool.beat(300, "gpu_a", "gpu_b", runs=kept)
    pool.beat(MOST_MS - 50, other, runs=kept)
    assert {run_id: worker for run_id, (worker, _) in pool.started.items()} == placed


def test_start_is_said_once_to_the_successor_of_a_dead_worker() -> None:
    pool = Beating()
    pool.beat(1_000, "gpu_a", "gpu_b")
    pool.submit("run")
    pool.beat(900, "gpu_a", "gpu_b", seen=0)
    effects = pool.tell(Heard(WorkerGone(worker="gpu_a", reason="exit")))
    assert [worker for worker, _ in starts(effects)] == ["gpu_b"]
    assert starts(pool.beat(900, "gpu_b", seen=0)) == []
    assert len(starts(pool.beat(200, "gpu_b", seen=0))) == 1


@given(st.lists(st.integers(min_value=1, max_value=2_000), min_size=1, max_size=400))
def test_patience_is_bounded_and_above_what_was_seen_lately(silences_ms: list[int]) -> None:
    now_ms = 0
    beat = Beat(MOST_MS, now_ms)
    late: list[tuple[int, int]] = []
    for silence_ms in silences_ms:
        now_ms += silence_ms
        beat.heard(silence_ms, now_ms)
        late.append((now_ms, silence_ms))
        assert LEAST_MS <= beat.patience_ms <= MOST_MS
        seen = [ms for at, ms in late if now_ms - at < 30_000 and ms <= MOST_MS]
        assert beat.patience_ms >= min(MOST_MS, 2 * max(seen, default=0))

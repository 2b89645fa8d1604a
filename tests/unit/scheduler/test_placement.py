"""Where a run goes among the workers that have room."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from actors.scheduler.order import WorkerRoom
from actors.scheduler.placement import (
    PoolLoad,
    frees_in_us,
    load_of,
    place,
    recompute_us,
    waits_for_home,
)
from actors.scheduler.state import Run
from contracts.runs import RunSpec, Sampling


@dataclass
class Caches:
    """So many tokens of any prompt."""

    tokens: dict[str, int] = field(default_factory=dict)

    def warm_tokens(self, worker: str, block_keys: Sequence[str]) -> int:
        assert block_keys
        return self.tokens.get(worker, 0)


def _run(prompt: int = 1_000) -> Run:
    spec = RunSpec(
        run_id="run_1",
        pool="default",
        model="m",
        user_id="user_1",
        prompt_tokens=(1,) * prompt,
        sampling=Sampling(max_tokens=10),
        submitted_at_ms=0,
        block_keys=("k",),
    )
    return Run(spec, [1], 1)


def _room(
    worker: str, caches: Caches | None = None, *, batch: int = 0, pending: int = 0
) -> WorkerRoom:
    return WorkerRoom(
        worker=worker,
        slots=4,
        kv_tokens=None,
        prefill_tokens=None,
        pending_prefill=pending,
        batch=batch,
        warmth=caches or Caches(),
    )


def _placed(*rooms: WorkerRoom, load: PoolLoad | None = None, replicas: Sequence[str] = ()) -> str:
    choice = place(_run(), rooms, load or load_of(rooms), replicas)
    return "" if choice is None else choice.worker


def test_run_goes_where_its_prefix_is_warm() -> None:
    caches = Caches({"b": 640})
    choice = place(_run(), (_room("a", caches), _room("b", caches)), PoolLoad(0, 2))
    assert choice is not None
    assert (choice.worker, choice.cached) == ("b", 640)


def test_run_without_a_warm_prefix_goes_to_the_smaller_batch() -> None:
    assert _placed(_room("a", batch=2), _room("b", batch=1)) == "b"


def test_prefill_that_is_pending_counts_like_the_runs_own() -> None:
    assert _placed(_room("a", pending=4_000), _room("b", batch=2)) == "b"


def test_warm_prefix_wins_while_the_product_is_less() -> None:
    caches = Caches({"a": 960})
    assert _placed(_room("a", caches, batch=5), _room("b", caches, batch=4)) == "a"
    caches = Caches({"a": 100})
    assert _placed(_room("a", caches, batch=5), _room("b", caches, batch=4)) == "b"


def test_crowded_worker_attracts_no_more() -> None:
    caches = Caches({"a": 999})
    rooms = (_room("a", caches, batch=9), _room("b", caches, batch=3))
    assert _placed(*rooms) == "b"
    assert _placed(*rooms, load=PoolLoad(runs=24, workers=3)) == "a"


@pytest.mark.parametrize(
    ("batch", "runs", "workers", "crowded"),
    [(1, 1, 2, False), (2, 2, 2, False), (10, 16, 2, False), (12, 16, 2, True), (5, 5, 1, False)],
)
def test_load_crowds_above_five_quarters_of_the_mean_and_a_run(
    batch: int, runs: int, workers: int, *, crowded: bool
) -> None:
    assert PoolLoad(runs, workers).crowds(batch) is crowded


def test_run_of_a_hot_prefix_stays_with_its_replicas() -> None:
    rooms = (_room("a", batch=1), _room("b", batch=2), _room("c"))
    assert _placed(*rooms, replicas=("a", "b")) == "a"


def test_run_of_a_hot_prefix_leaves_replicas_that_are_crowded_or_full() -> None:
    assert _placed(_room("a", batch=9), _room("b"), _room("c"), replicas=("a",)) == "b"
    assert _placed(_room("b"), _room("c"), replicas=("a",)) == "b"


def test_run_that_fits_nowhere_is_not_placed() -> None:
    full = _room("a", batch=1, pending=10)
    full.prefill_tokens = 20
    assert _placed(full) == ""
    assert place(_run(), (), PoolLoad(0, 0)) is None


def test_warm_prefix_makes_a_prompt_fit() -> None:
    caches = Caches({"a": 990})
    warm, cold = _room("a", caches, batch=1, pending=10), _room("b", caches, batch=1, pending=10)
    warm.prefill_tokens = cold.prefill_tokens = 20
    assert _placed(warm, cold) == "a"


def test_slot_frees_when_the_shortest_run_is_through() -> None:
    assert frees_in_us([50, 20, 400], 3, 300) == 200_000
    assert frees_in_us([-7, 20], 2, 1_000) == 2_000
    assert frees_in_us([], 0, 1_000) is None
    assert frees_in_us([5], 1, 0) is None


def test_run_waits_for_its_home_only_while_that_is_quicker() -> None:
    lost_us = recompute_us(2_000, 500, 100)
    assert lost_us == 150_000
    assert waits_for_home(149_999, lost_us)
    assert not waits_for_home(150_000, lost_us)
    assert not waits_for_home(None, lost_us)
    assert not waits_for_home(0, recompute_us(500, 2_000, 100))

"""Which worker computes where."""

import pytest

from ops import placement
from ops.placement import deal_workers, place, place_embedder, usual_workers


def test_workers_are_dealt_in_turn_and_no_pool_goes_without() -> None:
    assert deal_workers(("fast", "capable"), 3) == (
        ("gpu-1", "fast"),
        ("gpu-2", "capable"),
        ("gpu-3", "fast"),
    )
    assert len(deal_workers(("fast", "capable"), 1)) == 2


def test_usual_workers_are_one_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "nvidia_cards", lambda: 3)
    assert usual_workers("vllm") == 3
    assert usual_workers("sim") == 2


def test_place_gives_engines_neighbouring_cores_of_their_own() -> None:
    cores = [4, 5, 6, 7]
    bound = [place(n, 2, cores, 0)["VLLM_CPU_OMP_THREADS_BIND"] for n in range(2)]
    assert bound == ["4,5", "6,7"]


@pytest.mark.parametrize(("workers", "cores"), [(1, [0, 1]), (3, [0, 1])])
def test_place_leaves_a_lone_or_crowded_engine_to_the_kernel(
    workers: int, cores: list[int]
) -> None:
    assert place(0, workers, cores, 0) == {}


def test_embedder_has_the_card_that_no_engine_has() -> None:
    assert place_embedder(2, 3) == {"CUDA_VISIBLE_DEVICES": "2"}
    assert place_embedder(2, 2) == place_embedder(2, 0) == {}


def test_place_gives_each_worker_a_card_where_there_are_enough() -> None:
    assert place(1, 2, [0, 1], 2) == {"CUDA_VISIBLE_DEVICES": "1"}
    assert place(1, 2, [0, 1], 1) == {}
    assert place(0, 1, [0, 1], 8) == {}

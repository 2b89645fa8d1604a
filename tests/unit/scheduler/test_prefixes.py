"""What a scheduler believes of the workers' prefix caches."""

from typing import Any

from actors.scheduler.prefixes import PrefixIndex
from contracts.block_keys import BLOCK_TOKENS, prompt_keys
from contracts.scheduling import PrefixChanged, WorkerReport

KEYS = prompt_keys(tuple(range(8 * BLOCK_TOKENS + 1)))


def _changed(number: int, *stored: str, worker: str = "gpu_1", **more: Any) -> PrefixChanged:
    fields: dict[str, Any] = {"incarnation": 7, "number": number, "stored": stored}
    return PrefixChanged(worker=worker, **(fields | more))


def _report(prefixes: int, number: int = 1, incarnation: int = 7) -> WorkerReport:
    return WorkerReport(
        worker="gpu_1",
        pool="default",
        model="m",
        incarnation=incarnation,
        number=number,
        state="ready",
        slots=4,
        context_length=100,
        engine="sim",
        prefixes=prefixes,
    )


def _warm(index: PrefixIndex, worker: str = "gpu_1") -> int:
    return index.warm_tokens(worker, KEYS) // BLOCK_TOKENS


def test_index_that_heard_nothing_knows_of_no_prefix() -> None:
    assert _warm(PrefixIndex()) == 0
    assert PrefixIndex().warm_tokens("gpu_1", ()) == 0


def test_warm_tokens_end_at_the_first_missing_block() -> None:
    index = PrefixIndex()
    assert not index.heard(_changed(1, *KEYS[:2], *KEYS[3:]), 0)
    assert _warm(index) == 2
    assert not index.heard(_changed(2, KEYS[2], removed=(KEYS[6],)), 0)
    assert _warm(index) == 6
    assert _warm(index, "gpu_2") == 0


def test_message_that_comes_twice_or_late_changes_nothing() -> None:
    index = PrefixIndex()
    index.heard(_changed(1, *KEYS[:4]), 0)
    index.heard(_changed(2, removed=(KEYS[1],)), 0)
    assert not index.heard(_changed(1, *KEYS[:4]), 0)
    assert not index.heard(_changed(2, *KEYS), 0)
    assert _warm(index) == 1


def test_missing_number_asks_for_all_again_and_no_more_than_once_a_second() -> None:
    index = PrefixIndex(ask_ms=1_000)
    index.heard(_changed(1, KEYS[0]), 0)
    assert index.heard(_changed(3, KEYS[1]), 10)
    assert not index.heard(_changed(4, KEYS[2]), 900)
    assert index.heard(_changed(5, KEYS[3]), 1_010)
    assert not index.heard(_changed(6, *KEYS[:2], cleared=True), 1_100)
    assert not index.heard(_changed(7, KEYS[2]), 3_000)
    assert _warm(index) == 3


def test_gap_within_what_is_sent_again_asks_anew() -> None:
    index = PrefixIndex()
    index.heard(_changed(4, KEYS[0], cleared=True), 0)
    assert index.heard(_changed(6, KEYS[2]), 0)


def test_report_of_an_unheard_number_asks_for_all_again() -> None:
    index = PrefixIndex()
    assert not index.reported(_report(0), 0)
    assert index.reported(_report(3, number=2), 100)
    assert not index.heard(_changed(4, *KEYS, cleared=True), 200)
    assert not index.reported(_report(4, number=3), 5_000)
    assert _warm(index) == 8


def test_number_that_the_worker_never_reached_does_not_deafen_the_index() -> None:
    index = PrefixIndex()
    index.heard(_changed(10**15, KEYS[0]), 0)
    assert index.reported(_report(1), 2_000)
    index.heard(_changed(2, *KEYS, cleared=True), 2_100)
    assert _warm(index) == 8


def test_new_life_of_a_worker_begins_with_an_empty_cache() -> None:
    index = PrefixIndex()
    index.heard(_changed(1, *KEYS), 0)
    assert not index.reported(_report(0, incarnation=8), 100)
    assert _warm(index) == 0
    assert not index.heard(_changed(2, *KEYS), 100)
    assert _warm(index) == 0


def test_forgotten_worker_that_comes_back_is_asked_for_all() -> None:
    index = PrefixIndex()
    index.heard(_changed(1, *KEYS), 0)
    index.forget("gpu_1")
    assert len(index) == 0
    assert index.reported(_report(1), 100)


def test_speculation_counts_until_it_is_not_confirmed() -> None:
    index = PrefixIndex(speculative_ms=2_000)
    index.speculate("gpu_1", KEYS, 0)
    assert _warm(index) == 8
    index.heard(_changed(1, *KEYS[:3]), 100)
    index.expire(1_999)
    assert _warm(index) == 8
    index.expire(2_000)
    assert _warm(index) == 3


def test_speculation_that_is_renewed_lasts_from_the_last_dispatch() -> None:
    index = PrefixIndex(speculative_ms=2_000)
    index.speculate("gpu_1", KEYS, 0)
    index.speculate("gpu_1", KEYS, 1_500)
    index.expire(2_500)
    assert _warm(index) == 8
    index.expire(3_500)
    assert len(index) == 0


def test_speculation_outlives_the_removal_of_an_older_copy() -> None:
    index = PrefixIndex()
    index.speculate("gpu_1", KEYS, 0)
    index.heard(_changed(1, removed=KEYS), 10)
    assert _warm(index) == 8


def test_clock_that_steps_back_ends_speculation() -> None:
    index = PrefixIndex(speculative_ms=2_000)
    index.speculate("gpu_1", KEYS, 1_000_000)
    index.expire(10)
    assert len(index) == 0


def test_keys_of_a_worker_are_bounded_and_the_unused_go_first() -> None:
    index = PrefixIndex(worker_keys_max=8)
    index.heard(_changed(1, *KEYS[:4]), 0)
    others = prompt_keys(tuple(range(1_000, 1_000 + 8 * BLOCK_TOKENS)))
    index.heard(_changed(2, *others[:4]), 0)
    index.speculate("gpu_1", KEYS[:4], 0)
    index.heard(_changed(3, *others[4:]), 0)
    assert len(index) == 8
    assert _warm(index) == 4
    assert index.warm_tokens("gpu_1", others) == BLOCK_TOKENS


def test_leading_blocks_are_forgotten_last() -> None:
    index = PrefixIndex(worker_keys_max=3)
    index.heard(_changed(1, *KEYS), 0)
    assert _warm(index) == 3


def test_workers_share_the_limit_of_the_index() -> None:
    index = PrefixIndex(keys_max=12)
    index.heard(_changed(1, *KEYS), 0)
    assert _warm(index) == 8
    index.heard(_changed(1, *KEYS, worker="gpu_2"), 0)
    assert (_warm(index), _warm(index, "gpu_2")) == (6, 6)


def test_what_is_no_key_is_not_kept() -> None:
    index = PrefixIndex()
    index.heard(_changed(1, "x" * 1_000_000, "", removed=("nonsense",)), 0)
    assert len(index) == 0

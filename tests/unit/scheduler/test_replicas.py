"""Where hot prefixes live."""

from actors.scheduler.replicas import DEPTH_MIN, Replicas
from contracts.block_keys import BLOCK_TOKENS

SHARED = tuple(f"shared-{n}" for n in range(40))
WARM = len(SHARED) * BLOCK_TOKENS


def _chat(number: int) -> tuple[str, ...]:
    return (*SHARED, *(f"chat-{number}-{n}" for n in range(30)))


def _spill(
    replicas: Replicas, now_ms: int, number: int = 0, home: str = "a", worker: str = "b"
) -> bool:
    return replicas.spilled(_chat(number), WARM, home, worker, now_ms)


def _hot(replicas: Replicas) -> Replicas:
    for number in range(4):
        _spill(replicas, number, number)
    return replicas


def test_prefix_becomes_hot_with_the_fourth_spill_in_ten_seconds() -> None:
    replicas = Replicas()
    assert [_spill(replicas, 1_000 * n, n) for n in range(4)] == [False, False, False, True]
    assert replicas.workers(_chat(9), 3_000) == ("a", "b")
    assert replicas.workers(("other",) * 40, 3_000) == ()


def test_spills_further_apart_make_nothing_hot() -> None:
    replicas = Replicas()
    assert not any(_spill(replicas, 4_000 * n, n) for n in range(20))
    assert replicas.workers(_chat(9), 80_000) == ()


def test_spills_of_one_chats_own_history_make_nothing_else_hot() -> None:
    replicas = Replicas()
    for number in range(4):
        own = tuple(f"own-{number}-{n}" for n in range(40))
        assert not replicas.spilled(own, WARM, "a", "b", number)
    assert replicas.workers(_chat(0), 10) == ()


def test_short_prefix_is_never_hot() -> None:
    replicas = Replicas()
    for n in range(20):
        assert not replicas.spilled(SHARED, (DEPTH_MIN - 1) * BLOCK_TOKENS, "a", "b", n)
    assert len(replicas) == 0


def test_hot_prefix_grows_by_a_worker_for_every_four_spills() -> None:
    replicas = _hot(Replicas())
    assert [_spill(replicas, 100 + n, n, "b", "c") for n in range(4)] == [False] * 3 + [True]
    assert replicas.workers(_chat(9), 200) == ("a", "b", "c")


def test_spill_between_workers_that_keep_it_grows_nothing() -> None:
    replicas = _hot(Replicas())
    assert not any(_spill(replicas, 100 + n, n) for n in range(12))


def test_worker_that_is_idle_for_three_minutes_gives_the_prefix_up() -> None:
    replicas = _hot(Replicas())
    for n in range(4):
        _spill(replicas, 100, n, "a", "c")
    replicas.served(_chat(1), "a", 150_000)
    replicas.served(_chat(1), "c", 150_000)
    assert replicas.workers(_chat(1), 190_000) == ("a", "c")


def test_prefix_that_cools_down_to_one_worker_is_hot_no_more() -> None:
    replicas = _hot(Replicas())
    replicas.served(_chat(1), "b", 150_000)
    assert replicas.workers(_chat(1), 181_000) == ()


def test_serving_from_elsewhere_makes_no_replica() -> None:
    replicas = _hot(Replicas())
    replicas.served(_chat(1), "z", 50)
    assert "z" not in replicas.workers(_chat(1), 60)


def test_worker_that_is_gone_keeps_nothing() -> None:
    replicas = _hot(Replicas())
    for n in range(4):
        _spill(replicas, 100, n, "a", "c")
    replicas.forget("b")
    assert replicas.workers(_chat(1), 200) == ("a", "c")
    replicas.forget("a")
    assert replicas.workers(_chat(1), 200) == ()


def test_watched_prefixes_are_bounded() -> None:
    replicas = Replicas(prefixes_max=5)
    for number in range(50):
        keys = tuple(f"{number}-{n}" for n in range(40))
        replicas.spilled(keys, WARM, "a", "b", number)
    assert len(replicas) == 5

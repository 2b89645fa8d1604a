"""What bounds the edge: cursors, throttle, cache, the judgement on a pool."""

from string import printable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.scheduling import PoolStatus
from edge.cursors import CursorSigner
from edge.expiring import ExpiringCache
from edge.models import PoolBoard
from edge.problems import InvalidRequest
from edge.throttle import FailureThrottle, address_key

values = st.lists(st.integers(-(2**53), 2**53) | st.text(printable, max_size=20), max_size=3)


@given(values)
def test_cursor_returns_what_was_signed(content: list[int | str]) -> None:
    signer = CursorSigner([b"secret"])
    assert signer.open("a", signer.sign("a", content)) == content


@given(values, st.integers(0, 10_000), st.integers(1, 255))
def test_cursor_changed_in_any_byte_is_refused(
    content: list[int | str], place: int, change: int
) -> None:
    signer = CursorSigner([b"secret"])
    cursor = signer.sign("a", content)
    place %= len(cursor)
    changed = chr((ord(cursor[place]) ^ change) % 128)
    forged = cursor[:place] + changed + cursor[place + 1 :]
    try:
        opened = signer.open("a", forged)
    except InvalidRequest:
        return
    assert opened == content, "base64 may ignore bits of the last character, nothing else"


@given(st.text(max_size=600))
def test_cursor_of_any_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        CursorSigner([b"secret"]).open("a", text)


def test_cursor_of_another_listing_is_refused() -> None:
    signer = CursorSigner([b"secret"])
    with pytest.raises(InvalidRequest):
        signer.open("b", signer.sign("a", [1]))


def test_cursor_survives_the_rotation_of_keys() -> None:
    old = CursorSigner([b"old"]).sign("a", [7])
    assert CursorSigner([b"new", b"old"]).open("a", old) == [7]
    with pytest.raises(InvalidRequest):
        CursorSigner([b"new"]).open("a", old)


def test_throttle_blocks_after_the_limit_until_the_window_ends() -> None:
    throttle = FailureThrottle(limit=2, window_ms=100)
    throttle.failed("ann", 0)
    assert throttle.wait_ms("ann", 1) == 0
    throttle.failed("ann", 10)
    assert throttle.wait_ms("ann", 30) == 70
    assert throttle.wait_ms("bob", 30) == 0
    assert throttle.wait_ms("ann", 100) == 0
    throttle.failed("ann", 200)
    assert throttle.wait_ms("ann", 200) == 0


def test_throttle_forgets_on_success_and_stays_bounded() -> None:
    throttle = FailureThrottle(limit=1, window_ms=100, keys_max=2)
    throttle.failed("ann", 0)
    throttle.succeeded("ann")
    assert throttle.wait_ms("ann", 1) == 0
    for name in ("a", "b", "c"):
        throttle.failed(name, 0)
    assert throttle.wait_ms("a", 1) == 0
    assert throttle.wait_ms("c", 1) == 99


def test_cache_forgets_by_time_and_by_size() -> None:
    cache: ExpiringCache[str, int] = ExpiringCache(size=2, ttl_ms=10)
    cache.put("a", 1, 0)
    assert cache.get("a", 9) == 1
    assert cache.get("a", 10) is None
    for name in ("a", "b", "c"):
        cache.put(name, 1, 20)
    assert len(cache) == 2
    assert cache.get("a", 20) is None
    cache.drop("b")
    assert cache.get("b", 20) is None


def _status(**changes: object) -> PoolStatus:
    fields: dict[str, object] = {
        "pool": "p",
        "model": "m",
        "healthy": True,
        "admit": {"free": True, "paid": True},
        **changes,
    }
    return PoolStatus(**fields)  # type: ignore[arg-type]


def test_pool_never_heard_or_silent_is_unavailable() -> None:
    board = PoolBoard(["p"], silence_ms=100)
    never = board.obstacle("p", 0)
    assert never is not None
    assert never.code == "unavailable"
    board.hear(_status(), 0)
    assert board.obstacle("p", 99) is None
    silent = board.obstacle("p", 100)
    assert silent is not None
    assert silent.code == "unavailable"
    assert board.last("p") is not None


def test_pool_without_worker_or_room_refuses_with_its_wait() -> None:
    board = PoolBoard(["p"], silence_ms=100)
    board.hear(_status(healthy=False), 0)
    unhealthy = board.obstacle("p", 1)
    assert unhealthy is not None
    assert unhealthy.code == "no_worker"
    board.hear(_status(admit={"free": False}, retry_after_ms=4_100), 2)
    assert board.obstacle("p", 3) is None
    full = board.full("p", "free", 3)
    assert full is not None
    assert (full.code, full.retry_after_ms) == ("at_capacity", 4_100)
    assert "5 s" in full.detail
    assert board.full("p", "paid", 3) is None


def test_prompts_go_to_the_fallback_while_the_pool_asks_for_it_and_it_is_faster() -> None:
    board = PoolBoard(["p", "small"], silence_ms=100)
    board.hear(_status(downgrade=("free",), waits_ms={"free": 9_000, "paid": 100}), 0)
    assert not board.faster("p", "small", "free", 1)
    board.hear(_status(pool="small", waits_ms={"free": 1_000, "paid": 0}), 1)
    assert board.faster("p", "small", "free", 2)
    assert not board.faster("p", "small", "paid", 2)
    assert not board.faster("small", "p", "free", 2)
    board.hear(_status(pool="small", waits_ms={"free": 9_000}), 3)
    assert not board.faster("p", "small", "free", 4)
    board.hear(_status(pool="small", waits_ms={"free": 0}, admit={"free": False}), 5)
    assert not board.faster("p", "small", "free", 6)
    board.hear(_status(pool="small", waits_ms={"free": 0}, healthy=False), 7)
    assert not board.faster("p", "small", "free", 8)


def test_pool_status_of_a_replaced_scheduler_is_ignored_while_the_new_one_speaks() -> None:
    board = PoolBoard(["p"], silence_ms=100)
    board.hear(_status(epoch=5), 0)
    board.hear(_status(epoch=4, healthy=False), 50)
    assert board.obstacle("p", 60) is None
    board.hear(_status(epoch=4, healthy=False), 150)
    assert board.obstacle("p", 160) is not None


def test_pool_that_nobody_configured_is_not_remembered() -> None:
    board = PoolBoard(["p"], silence_ms=100)
    board.hear(_status(pool="other"), 0)
    assert board.last("other") is None


def test_throttle_forgets_an_attempt_that_was_taken_back() -> None:
    throttle = FailureThrottle(limit=2, window_ms=1_000)
    for _ in range(5):
        throttle.failed("a", 0)
        throttle.taken_back("a")
    throttle.taken_back("nobody")
    throttle.failed("a", 10)
    assert throttle.wait_ms("a", 20) == 0
    throttle.failed("a", 20)
    assert throttle.wait_ms("a", 20) == 990
    throttle.taken_back("a")
    assert throttle.wait_ms("a", 20) == 0


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("localhost", "localhost"),
    ],
)
def test_addresses_of_one_network_are_one_key(host: str, key: str) -> None:
    assert address_key(host) == key

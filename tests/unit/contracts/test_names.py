"""Ids, subjects and error codes: what others build names and statuses from."""

import http
import random
import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import subjects
from contracts.errors import STATUS, ErrorCode, Problem
from contracts.ids import (
    ENTROPY_BYTES,
    IdKind,
    id_time_ms,
    is_id,
    made_since_ms,
    make_id,
    partition_of,
)

KINDS: tuple[IdKind, ...] = get_args(IdKind)
TIMES = st.integers(min_value=0, max_value=2**48 - 1)
ENTROPY = st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES)
IDS = st.builds(make_id, st.sampled_from(KINDS), TIMES, ENTROPY)
POOLS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)
TOKEN = re.compile(r"[A-Za-z0-9_-]+")


@given(st.sampled_from(KINDS), TIMES, ENTROPY)
def test_id_made_is_one_of_its_kind_and_tells_its_time(
    kind: IdKind, now_ms: int, entropy: bytes
) -> None:
    made = make_id(kind, now_ms, entropy)
    assert is_id(made, kind)
    assert not any(is_id(made, other) for other in KINDS if other != kind)
    assert id_time_ms(made) == now_ms
    assert TOKEN.fullmatch(made)


@pytest.mark.parametrize("name", ["run_{}", "fold_{}-12-1", "chat_{}"])
def test_time_since_which_a_run_may_be_is_that_of_the_id_it_begins_with(name: str) -> None:
    made = make_id("run", 1_700_000_000_123, bytes(10)).partition("_")[2]
    assert made_since_ms(name.format(made)) == 1_700_000_000_123


@pytest.mark.parametrize("name", ["run_1", "plain", "run_" + "u" * 26])
def test_name_that_tells_no_time_has_none(name: str) -> None:
    assert made_since_ms(name) is None


@given(st.sampled_from(KINDS), TIMES, TIMES, ENTROPY, ENTROPY)
def test_ids_sort_by_time_then_entropy(
    kind: IdKind, one_ms: int, two_ms: int, one: bytes, two: bytes
) -> None:
    ids = make_id(kind, one_ms, one), make_id(kind, two_ms, two)
    assert (ids[0] < ids[1]) == ((one_ms, one) < (two_ms, two))


@pytest.mark.parametrize(
    ("now_ms", "entropy"), [(-1, bytes(10)), (2**48, bytes(10)), (0, bytes(9)), (0, bytes(11))]
)
def test_id_of_bad_parts_is_a_callers_bug(now_ms: int, entropy: bytes) -> None:
    with pytest.raises(ValueError, match="48 bits"):
        make_id("run", now_ms, entropy)


@given(st.text(max_size=40))
def test_text_that_is_no_id_is_refused(text: str) -> None:
    expected = re.fullmatch(r"run_[0-9a-hjkmnp-tv-z]{26}", text) is not None
    assert is_id(text, "run") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "run_",
        "run",
        "chat_0123456789abcdefghjkmnpqrs",
        "run_0123456789abcdefghjkmnpqr",
        "run_0123456789abcdefghjkmnpqrs1",
        "run_0123456789ABCDEFGHJKMNPQRS",
        "run_0123456789abcdefghjkmnpq.s",
        "run_0123456789abcdefghjkmnpq*>",
        "run_0123456789abcdefghjkmnpqr\n",
        "run_run_0123456789abcdefghjkmn",
        "run_٠١٢٣٤٥٦٧٨٩abcdefghjkmnpqrs",
    ],
)
def test_near_miss_of_an_id_is_refused(text: str) -> None:
    assert not is_id(text, "run")


def test_id_form_is_the_one_that_is_stored() -> None:
    assert make_id("run", 0, bytes(10)) == "run_" + "0" * 26
    assert make_id("chat", 2**48 - 1, b"\xff" * 10) == "chat_7" + "z" * 25
    assert make_id("msg", 1_700_000_000_000, bytes(range(10))) == "msg_01hf7yat00000g40r40m30e209"


@given(st.text(max_size=40), st.integers(min_value=1, max_value=1000))
def test_partition_lies_in_range(key: str, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions


@pytest.mark.parametrize(
    ("key", "hash32"), [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)]
)
def test_partition_is_fnv_1a_as_published(key: str, hash32: int) -> None:
    # Vectors: http://www.isthe.com/chongo/tech/comp/fnv/, "FNV test vectors".
    assert partition_of(key, 2**32) == hash32


@given(IDS, POOLS)
def test_subjects_are_legal_and_match_their_filters(made: str, pool: str) -> None:
    names = [
        subjects.token_claims(made),
        subjects.token_entries(made),
        subjects.token_snapshots(made),
        subjects.live(made),
        subjects.session_commands(made),
        subjects.run_queue(pool, made),
        subjects.scheduler_requests(pool),
        subjects.scheduler_workers(pool),
        subjects.pool_status(pool),
        subjects.worker_commands(made),
        subjects.scheduler_lease(pool),
        subjects.session_lease(3),
        subjects.session_host(made),
        subjects.fold_wishes(made),
        subjects.summarizer_lease(3),
        subjects.summarizer_host(made),
        subjects.actor_announcement("gpu", made),
    ]
    assert len(set(names)) == len(names)
    for name in names:
        assert all(TOKEN.fullmatch(token) for token in name.split("."))
    partition = subjects.session_partition(made)
    assert matches(subjects.session_commands(made), subjects.session_partition_filter(partition))
    assert matches(subjects.fold_wishes(made), subjects.fold_partition_filter(partition))
    assert matches(subjects.run_queue(pool, made), subjects.run_queue_filter(pool))
    assert matches(subjects.pool_status(pool), subjects.POOL_STATUS_FILTER)


def matches(subject: str, pattern: str) -> bool:
    tokens, wanted = subject.split("."), pattern.split(".")
    return len(tokens) == len(wanted) and all(
        w in ("*", token) for token, w in zip(tokens, wanted, strict=True)
    )


def test_subjects_stand_as_operators_type_them() -> None:
    run, chat = "run_" + "0" * 26, "chat_" + "0" * 26
    p = subjects.token_partition(run)
    assert subjects.token_stream(p) == f"TOK_{p}"
    assert subjects.token_claims(run) == f"tok.{p}.{run}.claim"
    assert subjects.token_entries(run) == f"tok.{p}.{run}.d"
    assert subjects.token_snapshots(run) == f"tok.{p}.{run}.snap"
    assert subjects.live(run) == f"live.{run}"
    assert subjects.session_commands(chat) == f"sess.{subjects.session_partition(chat)}.{chat}"
    assert subjects.session_durable(4) == "session-4"
    assert subjects.fold_wishes(chat) == f"fold.{subjects.session_partition(chat)}.{chat}"
    assert subjects.summarizer_durable(4) == "summarizer-4"
    assert subjects.run_queue("fast", run) == f"run.q.fast.{run}"
    assert subjects.scheduler_durable("fast") == "scheduler-fast"
    assert subjects.worker_commands("gpu_1") == "gpu.gpu_1.cmd"


def test_partitions_are_used_evenly() -> None:
    entropy = random.Random(1)
    runs = [
        make_id("run", 1_700_000_000_000 + n, entropy.randbytes(ENTROPY_BYTES))
        for n in range(4_000)
    ]
    counts = [0] * subjects.TOKEN_PARTITIONS
    for run in runs:
        counts[subjects.token_partition(run)] += 1
    assert min(counts) > 150


def test_every_error_code_has_a_status_and_a_title() -> None:
    assert set(STATUS) == set(get_args(ErrorCode))
    for code, (status, title) in STATUS.items():
        problem = Problem(code=code, detail="x")
        assert (problem.status, problem.title) == (status, title)
        assert 400 <= http.HTTPStatus(status) < 600
        assert title

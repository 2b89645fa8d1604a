"""The embedded server: each role's user may do what it needs, and nothing else."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from actors.runtime.clock import SystemClock
from actors.runtime.nats_bus import NatsBus
from contracts.codec import encode
from contracts.errors import BusError
from contracts.runs import RunSpec, Sampling
from contracts.subjects import (
    LEASE_BUCKET,
    RUNS_STREAM,
    SESSION_STREAM,
    fold_wishes,
    live,
    run_queue,
    scheduler_journal,
    scheduler_workers,
    session_commands,
    token_claims,
    token_entries,
    token_partition,
    token_stream,
    worker_commands,
)
from ops.nats_server import NatsFacts, User, facts_of, inbox_prefix, prepare, program
from ops.ports import is_free
from ops.streams import declare_streams

RUN, CHAT = "run_x", "chat_x"


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsFacts]:
    home = tmp_path_factory.mktemp("home")
    config, facts = prepare(home, port=4222)
    server = subprocess.Popen([str(program()), "-c", str(config)], stderr=subprocess.DEVNULL)
    yield facts
    server.terminate()
    server.wait()


@asynccontextmanager
async def joined(facts: NatsFacts, user: User) -> AsyncIterator[NatsBus]:
    bus = await NatsBus.connect(
        [facts.url(user)], name=user, clock=SystemClock(), inbox_prefix=inbox_prefix(user)
    )
    try:
        yield bus
    finally:
        await bus.close()


async def heard_elsewhere(facts: NatsFacts, user: User, subject: str) -> bool:
    """Say whether what `user` publishes on `subject` reaches an operator."""
    heard = asyncio.Event()
    async with joined(facts, "operator") as operator, joined(facts, user) as bus:
        await operator.subscribe(subject, lambda _: heard.set())
        bus.publish(subject, b"forged")
        await bus.flush()
        await operator.flush()
        return heard.is_set()


async def test_every_stream_can_be_declared_within_the_servers_limits(facts: NatsFacts) -> None:
    async with joined(facts, "operator") as bus:
        await declare_streams(bus)
        await declare_streams(bus)


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("edge", session_commands(CHAT)),
        ("edge", run_queue("default", RUN)),
        ("session", run_queue("default", RUN)),
        ("session", token_claims(RUN)),
        ("scheduler", session_commands(CHAT)),
        ("scheduler", scheduler_journal("default")),
        ("gpu", token_entries(RUN)),
        ("gpu", session_commands(CHAT)),
        ("session", fold_wishes(CHAT)),
        ("summarizer", run_queue("default", RUN)),
    ],
)
async def test_a_role_may_append_what_it_needs(facts: NatsFacts, user: User, subject: str) -> None:
    async with joined(facts, "operator") as operator:
        await declare_streams(operator)
    async with joined(facts, user) as bus:
        assert await bus.append(subject, b"{}", timeout_s=5.0) > 0


async def test_a_prompt_of_a_quarter_million_tokens_can_be_queued(facts: NatsFacts) -> None:
    async with joined(facts, "operator") as operator:
        await declare_streams(operator)
    spec = RunSpec(
        run_id=RUN,
        pool="default",
        model="m",
        user_id="user_x",
        prompt_tokens=tuple(range(100_000, 362_144)),
        sampling=Sampling(max_tokens=1),
        submitted_at_ms=0,
    )
    async with joined(facts, "session") as bus:
        assert await bus.append(run_queue("default", RUN), encode(spec)) > 0


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("edge", token_entries(RUN)),
        ("edge", live(RUN)),
        ("edge", worker_commands("gpu-1")),
        ("edge", scheduler_workers("default")),
        ("edge", scheduler_journal("default")),
        ("session", scheduler_journal("default")),
        ("gpu", scheduler_journal("default")),
        ("edge", "$KV.LEASE.session.0"),
        ("edge", "$JS.API.STREAM.PURGE.SESS"),
        ("edge", f"{inbox_prefix('session')}.abc"),
        ("session", worker_commands("gpu-1")),
        ("session", "$KV.LEASE.scheduler.default"),
        ("session", "$JS.API.STREAM.DELETE.SESS"),
        ("scheduler", run_queue("default", RUN)),
        ("scheduler", "$KV.LEASE.session.0"),
        ("gpu", worker_commands("gpu-2")),
        ("gpu", run_queue("default", RUN)),
        ("gpu", live(RUN)),
        ("gpu", "$KV.LEASE.scheduler.default"),
        ("edge", fold_wishes(CHAT)),
        ("summarizer", token_entries(RUN)),
        ("summarizer", session_commands(CHAT)),
        ("summarizer", "$KV.LEASE.session.0"),
    ],
)
async def test_a_role_can_not_publish_what_is_anothers(
    facts: NatsFacts, user: User, subject: str
) -> None:
    assert not await heard_elsewhere(facts, user, subject)


@pytest.mark.parametrize(
    ("user", "subject"), [("gpu", worker_commands("x")), ("edge", "$KV.LEASE.x")]
)
async def test_an_append_that_is_not_allowed_is_not_stored(
    facts: NatsFacts, user: User, subject: str
) -> None:
    async with joined(facts, user) as bus:
        with pytest.raises(BusError):
            await bus.append(subject, b"{}", timeout_s=0.5)


@pytest.mark.parametrize("user", ["edge", "gpu", "session", "scheduler", "summarizer"])
async def test_a_role_reads_the_token_logs(facts: NatsFacts, user: User) -> None:
    stream, subject = token_stream(token_partition(RUN)), token_entries(RUN)
    async with joined(facts, "operator") as operator:
        await declare_streams(operator)
        await operator.append(subject, b"{}")
    async with joined(facts, user) as bus:
        assert await bus.last(stream, subject, leader=True) is not None
        assert await bus.last(stream, subject) is not None
        assert await bus.range(stream, subject, from_seq=1, limit=9)


@pytest.mark.parametrize(
    ("user", "stream"),
    [
        ("edge", SESSION_STREAM),
        ("edge", RUNS_STREAM),
        ("edge", f"KV_{LEASE_BUCKET}"),
        ("gpu", SESSION_STREAM),
        ("gpu", RUNS_STREAM),
        ("gpu", f"KV_{LEASE_BUCKET}"),
        ("summarizer", SESSION_STREAM),
        ("summarizer", RUNS_STREAM),
    ],
)
async def test_a_role_can_not_read_the_streams_of_others(
    facts: NatsFacts, user: User, stream: str
) -> None:
    for read in (f"DIRECT.GET.{stream}", f"DIRECT.GET.{stream}.x", f"STREAM.MSG.GET.{stream}"):
        assert not await heard_elsewhere(facts, user, f"$JS.API.{read}")


@pytest.mark.parametrize("owner", ["session", "scheduler", "gpu", "edge"])
async def test_nobody_hears_the_answers_of_another_role(facts: NatsFacts, owner: User) -> None:
    stranger: User = "gpu" if owner != "gpu" else "edge"
    heard = asyncio.Event()
    async with joined(facts, stranger) as spy, joined(facts, "operator") as operator:
        await spy.subscribe(f"{inbox_prefix(owner)}.>", lambda _: heard.set())
        operator.publish(f"{inbox_prefix(owner)}.secret", b"an answer")
        await operator.flush()
        await spy.flush()
        assert not heard.is_set()


async def test_a_stranger_does_not_get_in(facts: NatsFacts) -> None:
    with pytest.raises(BusError):
        await NatsBus.connect(
            [f"nats://127.0.0.1:{facts.port}"], name="nobody", clock=SystemClock(), timeout_s=0.5
        )


def test_passwords_stay_with_the_home_and_only_its_owner_reads_them(tmp_path: Path) -> None:
    config, first = prepare(tmp_path, port=4222)
    _, second = prepare(tmp_path, port=4222)
    assert first.passwords == second.passwords
    assert facts_of(tmp_path) == second
    assert config.stat().st_mode & 0o077 == 0
    assert (config.parent / "facts.json").stat().st_mode & 0o077 == 0


def test_a_taken_port_is_replaced_by_a_free_one(tmp_path: Path, facts: NatsFacts) -> None:
    _, mine = prepare(tmp_path, port=facts.port)
    assert mine.port != facts.port
    assert is_free(mine.port)

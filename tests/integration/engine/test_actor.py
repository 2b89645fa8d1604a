"""The gpu actor with a simulated engine on a real token log (in memory)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors.gpu.actor import GpuActor
from actors.gpu.config import GpuConfig
from actors.gpu.sim_engine import SimConfig, SimEngine
from actors.runtime.byte_codec import EOS, ByteCodec
from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryBus, MemoryServer
from actors.runtime.token_log import BusTokenLog
from contracts.block_keys import prompt_keys
from contracts.codec import decode, encode
from contracts.errors import EngineDead
from contracts.events import MessageDelta, RunRecovered, RunStarted
from contracts.log import LogEntry
from contracts.runs import RunSpec, Sampling
from contracts.scheduling import (
    AbortRun,
    DropRun,
    PrefixChanged,
    ResendPrefixes,
    RunRejected,
    RunSettled,
    StartRun,
    WorkerGone,
    WorkerMessage,
    WorkerReport,
)
from contracts.session import RunFinished
from contracts.subjects import (
    SESSION_STREAM,
    scheduler_workers,
    session_commands,
    token_entries,
    token_partition,
    token_stream,
    worker_commands,
)
from ops.streams import declare_streams
from tests.support.waiting import until

CLOCK = SystemClock()
CODEC = ByteCodec()
LETTERS = tuple(range(ord("a"), ord("z") + 1))


@dataclass
class Pool:
    """A bus on which a scheduler's place is taken by the test."""

    server: MemoryServer
    bus: MemoryBus
    heard: list[Any] = field(default_factory=list)
    actors: dict[str, tuple[GpuActor, SimEngine, asyncio.Task[None]]] = field(default_factory=dict)

    async def worker(self, name: str, **sim: Any) -> GpuActor:
        settings: dict[str, Any] = {"vocabulary": LETTERS, "eos_token": EOS, "step_ms": 2}
        settings |= {"slots": 8} | sim
        engine = SimEngine(SimConfig(**settings), CLOCK)
        bus = await self.server.connect(name)
        config = GpuConfig(
            worker=name, pool="default", model="m", report_ms=20, snapshot_ms=50, drain_ms=300
        )
        actor = GpuActor(
            config,
            bus=bus,
            log=BusTokenLog(bus, CLOCK),
            engine=engine,
            codec=CODEC,
            clock=CLOCK,
        )
        task = asyncio.create_task(actor.run())
        self.actors[name] = (actor, engine, task)
        await until(lambda: any(r.worker == name and r.state == "ready" for r in self.reports()))
        return actor

    def start(self, worker: str, attempt: int = 1, expect: int | None = 0, **spec: Any) -> None:
        command = StartRun(spec=_spec(**spec), attempt=attempt, expect_epoch=expect)
        self.command(worker, command)

    def command(self, worker: str, command: Any) -> None:
        self.bus.publish(worker_commands(worker), encode(command))

    def reports(self) -> list[WorkerReport]:
        return [message for message in self.heard if isinstance(message, WorkerReport)]

    def news(self) -> list[PrefixChanged]:
        return [message for message in self.heard if isinstance(message, PrefixChanged)]

    def settled(self, run_id: str = "run_1") -> list[RunSettled]:
        return [m for m in self.heard if isinstance(m, RunSettled) and m.run_id == run_id]

    async def settling(self, run_id: str, attempt: int = 1) -> None:
        await until(lambda: any(s.attempt == attempt for s in self.settled(run_id)))

    async def entries(self, run_id: str = "run_1") -> list[LogEntry]:
        stream = token_stream(token_partition(run_id))
        found = await self.bus.range(stream, token_entries(run_id), from_seq=1, limit=100_000)
        return [decode(stored.data, LogEntry) for stored in found]

    async def finished(self, chat_id: str = "chat_1") -> RunFinished | None:
        stored = await self.bus.last(SESSION_STREAM, session_commands(chat_id))
        return None if stored is None else decode(stored.data, RunFinished)

    async def text(self, run_id: str = "run_1") -> str:
        return (await BusTokenLog(self.bus, CLOCK).read(run_id)).text

    async def writing(self, at_least: int, run_id: str = "run_1") -> None:
        """Return when that many tokens are committed."""
        async with asyncio.timeout(20):
            while True:
                if sum(len(entry.tokens) for entry in await self.entries(run_id)) >= at_least:
                    return
                await asyncio.sleep(0.005)


def _spec(run_id: str = "run_1", chat_id: str | None = "chat_1", **sampling: Any) -> RunSpec:
    return RunSpec(
        run_id=run_id,
        pool="default",
        model="m",
        user_id="user_1",
        prompt_tokens=CODEC.encode("tell me"),
        sampling=Sampling(**({"max_tokens": 60, "temperature": 0.0} | sampling)),
        submitted_at_ms=0,
        chat_id=chat_id,
        message_id="msg_1",
    )


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    server = MemoryServer(CLOCK)
    bus = await server.connect("test")
    await declare_streams(bus)
    made = Pool(server, bus)

    def hear(inbound: Any) -> None:
        made.heard.append(decode(inbound.data, WorkerMessage))

    await bus.subscribe(scheduler_workers("default"), hear)
    yield made
    for actor, _, task in made.actors.values():
        if not task.done():
            await actor.stop()
        await asyncio.gather(task, return_exceptions=True)


async def test_actor_writes_an_answer_and_settles_it(pool: Pool) -> None:
    await pool.worker("gpu_a")
    pool.start("gpu_a")
    await until(pool.settled)
    entries = await pool.entries()
    assert isinstance(entries[0].events[0], RunStarted)
    assert isinstance(entries[0].events[1], MessageDelta)
    assert sum(len(entry.tokens) for entry in entries) == 60
    assert entries[-1].end == pool.settled()[0].outcome
    finished = await pool.finished()
    assert finished is not None
    assert finished.text == await pool.text()
    assert finished.next_seq == entries[-1].next_seq


async def test_successor_of_a_killed_worker_tells_the_same_story(pool: Pool) -> None:
    await pool.worker("gpu_a")
    pool.start("gpu_a", run_id="run_0", chat_id="chat_0")
    await until(lambda: pool.settled("run_0"))
    undisturbed = await pool.text("run_0")
    await pool.worker("gpu_b")
    for number in range(1, 6):
        run_id = f"run_{number}"
        pool.start("gpu_a", run_id=run_id)
        await pool.writing(number * 7, run_id)
        pool.start("gpu_b", 2, None, run_id=run_id)
        await pool.settling(run_id, 2)
        assert await pool.text(run_id) == undisturbed
        events = [event for entry in await pool.entries(run_id) for event in entry.events]
        assert sum(isinstance(event, RunRecovered) for event in events) == 1
        await pool.settling(run_id)
        first = next(s for s in pool.settled(run_id) if s.attempt == 1)
        assert first.outcome is None


async def test_successor_of_a_seeded_run_replays_it(pool: Pool) -> None:
    await pool.worker("gpu_a")
    await pool.worker("gpu_b")
    sampling: dict[str, Any] = {"temperature": 1.0, "seed": 11}
    pool.start("gpu_a", run_id="run_0", chat_id="chat_0", **sampling)
    await until(lambda: pool.settled("run_0"))
    pool.start("gpu_a", **sampling)
    await pool.writing(20)
    pool.start("gpu_b", 2, None, **sampling)
    await pool.settling("run_1", 2)
    assert await pool.text() == await pool.text("run_0")


async def test_cancel_is_committed_and_nothing_follows(pool: Pool) -> None:
    await pool.worker("gpu_a")
    pool.start("gpu_a", max_tokens=3000)
    await pool.writing(10)
    pool.command("gpu_a", AbortRun(run_id="run_1", attempt=1))
    await until(pool.settled)
    assert pool.actors["gpu_a"][1].load().running == 0
    entries = await pool.entries()
    outcome = pool.settled()[0].outcome
    assert outcome is not None
    assert outcome.finish_reason == "cancelled"
    assert outcome.usage.completion_tokens == sum(len(entry.tokens) for entry in entries)
    await asyncio.sleep(0.05)
    assert await pool.entries() == entries


async def test_cancel_right_behind_the_start_ends_the_run(pool: Pool) -> None:
    await pool.worker("gpu_a")
    for number in range(20):
        run_id = f"run_{number}"
        pool.start("gpu_a", run_id=run_id, chat_id=None, max_tokens=3000)
        pool.command("gpu_a", AbortRun(run_id=run_id, attempt=1))
        await pool.settling(run_id)
        assert [bool(entry.end) for entry in await pool.entries(run_id)] == [True]
    load = pool.actors["gpu_a"][1].load()
    assert load.running + load.waiting == 0


async def test_dropped_run_is_freed_and_not_ended(pool: Pool) -> None:
    await pool.worker("gpu_a")
    pool.start("gpu_a", max_tokens=3000)
    await pool.writing(5)
    pool.command("gpu_a", DropRun(run_id="run_1", attempt=1))
    await until(lambda: not pool.actors["gpu_a"][0].info(1, "h").running)
    await until(lambda: pool.actors["gpu_a"][1].load().running == 0)
    assert not any(entry.end for entry in await pool.entries())


async def test_many_runs_at_once_each_have_their_own_story(pool: Pool) -> None:
    await pool.worker("gpu_a", slots=64)
    for number in range(50):
        pool.start("gpu_a", run_id=f"run_{number}", chat_id=f"chat_{number}", max_tokens=30)
    await until(lambda: all(pool.settled(f"run_{number}") for number in range(50)))
    texts = {await pool.text(f"run_{number}") for number in range(50)}
    assert len(texts) == 1
    assert len(texts.pop()) == 30


async def test_engine_that_says_things_twice_is_taken_once(pool: Pool) -> None:
    await pool.worker("gpu_a")
    await pool.worker("gpu_b", duplicate_every=3)
    pool.start("gpu_a")
    pool.start("gpu_b", run_id="run_2", chat_id="chat_2")
    await until(lambda: pool.settled() and pool.settled("run_2"))
    assert await pool.text() == await pool.text("run_2")


async def test_late_reader_finds_a_snapshot_that_agrees(pool: Pool) -> None:
    await pool.worker("gpu_a")
    pool.start("gpu_a", chat_id=None, max_tokens=200)
    await pool.writing(100)
    text = ""
    async with BusTokenLog(pool.bus, CLOCK).follow("run_1", after=None) as reader:
        async for batch in reader.batches():
            for numbered in batch.events:
                event = numbered.event
                text = getattr(event, "text", text) + getattr(event, "delta", "")
            if batch.end:
                break
    assert text == await pool.text()


async def test_worker_tells_what_its_cache_holds_and_all_of_it_when_asked(pool: Pool) -> None:
    await pool.worker("gpu_a")
    pool.start("gpu_a")
    await until(pool.settled)
    whole = (*CODEC.encode("tell me"), *CODEC.encode(await pool.text()))
    keys = prompt_keys(whole)
    assert len(keys) == 2
    await until(lambda: {key for news in pool.news() for key in news.stored} == set(keys))
    told = len(pool.news())
    pool.command("gpu_a", ResendPrefixes())
    await until(lambda: len(pool.news()) > told)
    again = pool.news()[-1]
    assert (again.cleared, again.stored, again.number) == (True, keys, told + 1)
    await until(lambda: pool.reports()[-1].prefixes == again.number)


async def test_dead_engine_ends_the_actor_and_no_run(pool: Pool) -> None:
    await pool.worker("gpu_a", crash_after=30)
    pool.start("gpu_a")
    with pytest.raises(EngineDead):
        await pool.actors["gpu_a"][2]
    assert any(isinstance(message, WorkerGone) for message in pool.heard)
    assert not pool.settled()
    assert not any(entry.end for entry in await pool.entries())


async def test_drain_finishes_what_runs_and_takes_nothing_new(pool: Pool) -> None:
    actor = await pool.worker("gpu_a")
    pool.start("gpu_a", max_tokens=50)
    await pool.writing(5)
    stopping = asyncio.create_task(actor.stop())
    await until(lambda: pool.reports()[-1].state == "draining")
    pool.start("gpu_a", run_id="run_2")
    await stopping
    assert pool.settled()[0].outcome is not None
    assert any(isinstance(m, RunRejected) and m.run_id == "run_2" for m in pool.heard)
    await until(lambda: isinstance(pool.heard[-1], WorkerGone))


async def test_drain_that_takes_too_long_hands_back(pool: Pool) -> None:
    actor = await pool.worker("gpu_a")
    pool.start("gpu_a", max_tokens=4000)
    await pool.writing(5)
    await actor.stop()
    assert not pool.settled()
    await until(lambda: isinstance(pool.heard[-1], WorkerGone))

"""Pictures on their way through the gpu actor: read, checked, shown again to a successor."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import pytest

from actors.gpu.actor import GpuActor
from actors.gpu.config import GpuConfig
from actors.gpu.sim_engine import SimConfig, SimEngine
from actors.runtime.byte_codec import EOS, ByteCodec
from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryBus, MemoryServer
from actors.runtime.token_log import BusTokenLog
from contracts.codec import decode, encode
from contracts.runs import Picture, RunOutcome, RunSpec, Sampling, Sight
from contracts.scheduling import AbortRun, RunSettled, StartRun, WorkerMessage, WorkerReport
from contracts.subjects import scheduler_workers, worker_commands
from ops.files.memory import MemoryFiles
from ops.streams import declare_streams
from tests.support.pictures import chequered, plain
from tests.support.waiting import until

CLOCK = SystemClock()
MARK = 999
TOKENS = 40
RED, CHEQUERED = plain(), chequered()


class SeeingCodec(ByteCodec):
    """A codec whose template would take pictures."""

    picture_mark = MARK


class SlowFiles(MemoryFiles):
    """Files that are read when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.asked = 0

    async def get(self, name: str) -> bytes | None:
        self.asked += 1
        await self.open.wait()
        return await super().get(name)


@dataclass
class Pool:
    """A bus, a file store, and the workers that a test starts."""

    server: MemoryServer
    bus: MemoryBus
    files: SlowFiles
    heard: list[Any] = field(default_factory=list)
    engines: dict[str, SimEngine] = field(default_factory=dict)
    actors: list[tuple[GpuActor, asyncio.Task[None]]] = field(default_factory=list)

    async def worker(self, name: str, codec: ByteCodec | None = None, **sim: Any) -> None:
        settings: dict[str, Any] = {
            "vocabulary": tuple(range(ord("a"), ord("z") + 1)),
            "eos_token": EOS,
            "step_ms": 2,
            "pictures_max": 2,
            "picture_tokens": TOKENS,
            "picture_mark": MARK,
        }
        engine = self.engines[name] = SimEngine(SimConfig(**settings | sim), CLOCK)
        bus = await self.server.connect(name)
        config = GpuConfig(worker=name, pool="default", model="m", report_ms=20, drain_ms=300)
        actor = GpuActor(
            config,
            bus=bus,
            log=BusTokenLog(bus, CLOCK),
            engine=engine,
            codec=codec or SeeingCodec(),
            clock=CLOCK,
            files=self.files,
        )
        self.actors.append((actor, asyncio.create_task(actor.run())))
        await until(lambda: bool(self.ready(name)))

    def ready(self, name: str) -> list[WorkerReport]:
        reports = (m for m in self.heard if isinstance(m, WorkerReport))
        return [r for r in reports if r.worker == name and r.state == "ready"]

    def tell(self, worker: str, command: Any) -> None:
        self.bus.publish(worker_commands(worker), encode(command))

    def start(self, worker: str, spec: RunSpec, attempt: int = 1) -> None:
        expect = 0 if attempt == 1 else None
        self.tell(worker, StartRun(spec=spec, attempt=attempt, expect_epoch=expect))

    async def outcome(self, run_id: str, attempt: int = 1) -> RunOutcome:
        def settled() -> list[RunSettled]:
            told = (m for m in self.heard if isinstance(m, RunSettled))
            return [m for m in told if (m.run_id, m.attempt) == (run_id, attempt)]

        await until(lambda: bool(settled()))
        outcome = settled()[0].outcome
        assert outcome is not None
        return outcome

    async def text(self, run_id: str) -> str:
        return (await BusTokenLog(self.bus, CLOCK).read(run_id)).text

    async def written(self, run_id: str, at_least: int) -> None:
        log = BusTokenLog(self.bus, CLOCK)
        async with asyncio.timeout(20):
            while True:
                if len((await log.read(run_id)).tokens) >= at_least:
                    return
                await asyncio.sleep(0.005)


def spec(run_id: str, *pictures: bytes, names: tuple[str, ...] = ("a", "b")) -> RunSpec:
    shown = tuple(
        Picture(at=at, name=name, digest=sha256(data).hexdigest(), tokens=TOKENS)
        for at, (name, data) in enumerate(zip(names, pictures, strict=False))
    )
    return RunSpec(
        run_id=run_id,
        pool="default",
        model="m",
        user_id="user_1",
        prompt_tokens=(*(MARK for _ in shown), *b"tell me"),
        sampling=Sampling(max_tokens=60, temperature=0.0),
        submitted_at_ms=0,
        pictures=shown,
    )


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    server = MemoryServer(CLOCK)
    bus = await server.connect("test")
    await declare_streams(bus)
    made = Pool(server, bus, SlowFiles())
    made.files.stored |= {"a": RED, "b": CHEQUERED}

    def hear(inbound: Any) -> None:
        made.heard.append(decode(inbound.data, WorkerMessage))

    await bus.subscribe(scheduler_workers("default"), hear)
    yield made
    made.files.open.set()
    for actor, task in made.actors:
        await actor.stop()
        await asyncio.gather(task, return_exceptions=True)


async def test_worker_reports_what_it_sees_if_its_template_takes_pictures(pool: Pool) -> None:
    await pool.worker("gpu_a")
    await pool.worker("gpu_b", ByteCodec())
    assert pool.ready("gpu_a")[-1].sight == Sight(pictures=2, tokens=TOKENS)
    assert pool.ready("gpu_b")[-1].sight is None


async def test_answer_to_pictures_is_counted_as_the_engine_made_it(pool: Pool) -> None:
    await pool.worker("gpu_a")
    pool.start("gpu_a", spec("run_1", RED, CHEQUERED))
    outcome = await pool.outcome("run_1")
    assert outcome.finish_reason == "length"
    assert outcome.usage.prompt_tokens == len("tell me") + 2 * TOKENS
    pool.start("gpu_a", spec("run_2", CHEQUERED, RED, names=("b", "a")))
    await pool.outcome("run_2")
    assert await pool.text("run_2") != await pool.text("run_1")


async def test_successor_is_shown_the_same_pictures_and_tells_the_same_story(pool: Pool) -> None:
    await pool.worker("gpu_a")
    await pool.worker("gpu_b")
    pool.start("gpu_a", spec("run_0", RED))
    undisturbed = await pool.outcome("run_0")
    pool.start("gpu_a", spec("run_1", RED))
    await pool.written("run_1", 20)
    pool.start("gpu_b", spec("run_1", RED), 2)
    outcome = await pool.outcome("run_1", 2)
    assert await pool.text("run_1") == await pool.text("run_0")
    assert outcome.usage.prompt_tokens == undisturbed.usage.prompt_tokens


@pytest.mark.parametrize(("name", "data"), [("gone", RED), ("b", RED)])
async def test_picture_that_is_not_what_it_was_fails_the_run_in_words(
    pool: Pool, name: str, data: bytes
) -> None:
    await pool.worker("gpu_a")
    pool.start("gpu_a", spec("run_1", data, names=(name,)))
    outcome = await pool.outcome("run_1")
    assert outcome.error is not None
    assert "picture of this conversation" in outcome.error.detail
    assert not pool.engines["gpu_a"].requests


async def test_file_store_that_is_away_for_a_moment_is_asked_again(pool: Pool) -> None:
    await pool.worker("gpu_a")
    pool.files.available = False
    pool.start("gpu_a", spec("run_1", RED))
    await until(lambda: pool.files.asked > 0)
    pool.files.available = True
    assert (await pool.outcome("run_1")).finish_reason == "length"


async def test_cancel_while_pictures_are_read_leaves_nothing_in_the_engine(pool: Pool) -> None:
    await pool.worker("gpu_a")
    pool.files.open.clear()
    pool.start("gpu_a", spec("run_1", RED))
    await until(lambda: pool.files.asked > 0)
    pool.tell("gpu_a", AbortRun(run_id="run_1", attempt=1))
    assert (await pool.outcome("run_1")).finish_reason == "cancelled"
    pool.files.open.set()
    pool.start("gpu_a", spec("run_2"))
    await pool.outcome("run_2")
    assert not pool.engines["gpu_a"].requests
    assert await pool.text("run_1") == ""

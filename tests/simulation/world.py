"""A simulated deployment: two of each actor, the production shells and machines, one seed."""

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Protocol, cast

import msgspec

from actors.gpu.actor import GpuActor
from actors.gpu.config import GpuConfig
from actors.gpu.sim_engine import SimConfig, SimEngine
from actors.runtime.byte_codec import EOS, ByteCodec
from actors.runtime.log_writer import RENEW_MS
from actors.runtime.token_log import KEPT_MS, BusTokenLog
from actors.scheduler import SchedulerActor, SchedulerConfig
from actors.session import ModelContext, SessionConfig, SessionHost
from actors.session.config import Shares
from actors.summarizer import SummarizerConfig, SummarizerHost
from contracts.codec import encode
from contracts.errors import BusError, EngineDead
from contracts.ports.bus import StreamSpec
from contracts.ports.history import History
from contracts.ports.text import Turn
from contracts.scheduling import WorkerGone
from contracts.subjects import (
    RUNS_STREAM,
    SESSION_STREAM,
    TOKEN_PARTITIONS,
    scheduler_workers,
    token_stream,
)
from ops.streams import stream_specs
from tests.simulation.edges import SimulatedEdge
from tests.simulation.faults import FaultyBus, FaultyHistory, Fuse, Weather
from tests.simulation.story import PROCESSES, Disaster, Story
from tests.simulation.virtual_time import PROCESS, VirtualClock, VirtualTimeLoop
from tests.simulation.witness import WitnessedHistory, WitnessedServer

MODEL = "sim-model"
POOL = "default"
VOCABULARY = (*b"abcdef .,", 0xC3, 0xA9)
SUMMARY_ASKED = ByteCodec().render_chat([Turn("user", "Write the new summary.")])[1:]
SUMMARY_BEGUN = tuple(b"- noted\n- ")
_FOLDING = Shares(verbatim_high=20, verbatim_low=8)
_STOPS = 8
"""Commands that may wait for the end of a run: a stop leaves the queue with it, and where stops
fill the queue no end finds room."""

_LED = {"logs": "TOK_", "runs": "RUNS", "commands": "SESS", "leases": "KV_", "folds": "FOLD"}


class Runnable(Protocol):
    """What a process runs."""

    async def run(self) -> None: ...


@dataclass(slots=True)
class Process:
    """One operating-system process: `kill` leaves it no chance to say anything."""

    name: str
    build: Callable[["FaultyBus", int], Awaitable[Runnable]]
    world: "World"
    bus: FaultyBus | None = None
    task: asyncio.Task[None] | None = None
    actor: Runnable | None = None
    lives: int = 0

    def start(self) -> None:
        """Start it, under a new incarnation."""
        self.lives += 1
        context = copy_context()
        context.run(PROCESS.set, self.name)
        self.task = asyncio.get_running_loop().create_task(
            self._live(), name=self.name, context=context
        )

    async def _live(self) -> None:
        while True:
            inner = await self.world.server.connect(self.name)
            self.bus = bus = self.world.faulty(inner)
            try:
                self.actor = await self.build(bus, self.lives)
                await self.actor.run()
            except* (BusError, EngineDead):
                pass
            finally:
                bus.dead = True
                self.actor = None
                self.world.server.cut(inner)
                await self.world.close_engine(self.name)
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                return  # killed at the moment at which it died by itself
            self.lives += 1
            await asyncio.sleep(0.2)

    async def kill(self) -> None:
        """Kill it at once, stopped or not."""
        if self.bus is not None:
            self.bus.dead = True
        self.world.loop.resume_process(self.name)
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
            self.world.check_crashes()


class World:
    """Server, history, processes and weather of one seed."""

    def __init__(self, story: Story, loop: VirtualTimeLoop) -> None:
        self.story = story
        self.loop = loop
        self.rng = random.Random(story.seed + 1)
        self.clock = VirtualClock(loop, random.Random(story.seed + 2))
        self.server = WitnessedServer(self.clock)
        self.weather = Weather()
        self.history = WitnessedHistory(self.clock)
        self.codec = ByteCodec()
        self.engine_config = SimConfig(
            vocabulary=VOCABULARY,
            model=MODEL,
            eos_token=EOS,
            eos_every=story.eos_every,
            seed=7,
            step_ms=story.step_ms,
            context_length=1_024,
            slots=4,
            openings=((SUMMARY_ASKED, SUMMARY_BEGUN),),
        )
        self.engines: dict[str, SimEngine] = {}
        self.processes: dict[str, Process] = {}
        builds = {
            "session": self._session,
            "scheduler": self._scheduler,
            "gpu": self._gpu,
            "edge": self._edge,
            "summarizer": self._summarizer,
        }
        for name in PROCESSES:
            kind = name.partition("_")[0]
            if kind == "summarizer" and not story.folding:
                continue
            build = builds[kind]
            self.processes[name] = Process(name, self._named(build, name), self)

    def faulty(self, inner: object) -> FaultyBus:
        """Return a bus in this world's weather."""
        return FaultyBus(inner, self.weather, self.rng)  # type: ignore[arg-type]

    def _log(self, bus: FaultyBus) -> BusTokenLog:
        """Return the log as production has it: with siblings where streams have replicas, and
        so elections; where entries age sooner, claims are renewed sooner."""
        siblings = any(disaster.kind == "election" for disaster in self.story.disasters)
        age_s = self.story.log_age_s
        return BusTokenLog(
            bus,
            self.clock,
            siblings=siblings,
            renew_ms=int(age_s * 300) or RENEW_MS,
            kept_ms=int(age_s * 1_000) or KEPT_MS,
        )

    def _spec(self, spec: StreamSpec) -> StreamSpec:
        """Return the declaration of a stream as this story has it."""
        story = self.story
        if story.log_age_s and spec.name.startswith("TOK_"):
            return dataclasses.replace(spec, max_age_s=story.log_age_s)
        if story.queue_max and spec.name == RUNS_STREAM:
            return dataclasses.replace(spec, max_msgs=story.queue_max)
        if story.queue_max and spec.name == SESSION_STREAM:
            return dataclasses.replace(spec, max_msgs=story.queue_max + _STOPS)
        return spec

    async def start(self) -> None:
        """Declare the streams and start every process."""
        inner = await self.server.connect("admin")
        for spec in stream_specs():
            await inner.declare(self._spec(spec))
        await inner.lease_put("world", b"", revision=0, ttl_s=1.0)
        for process in self.processes.values():
            process.start()

    async def stop(self) -> None:
        """Kill everything, and raise what a process died of by itself."""
        self.check_crashes()
        for process in self.processes.values():
            await process.kill()
        self.check_crashes()

    def check_crashes(self) -> None:
        """Raise what a process died of by itself."""
        for process in self.processes.values():
            task = process.task
            if task is not None and task.done() and not task.cancelled():
                error = task.exception()
                if error is not None:
                    raise error

    async def suffer(self, disaster: Disaster) -> None:
        """Let a disaster happen and pass; its target is as before afterwards."""
        if disaster.kind != "election" and disaster.target not in self.processes:
            return
        match disaster.kind:
            case "election":
                await self._election(disaster)
            case "kill":
                await self._crash(disaster.target, seen=disaster.seen)
                await asyncio.sleep(disaster.lasts_s)
                self.processes[disaster.target].start()
            case "crash" | "halt":
                await self._at_a_call(disaster)
            case "pause":
                self.loop.stop_process(disaster.target)
                bus = self.processes[disaster.target].bus
                await self._hold_up(bus, disaster.lasts_s, inward=True)
                self.loop.resume_process(disaster.target)
            case "history out":
                self.weather.history_out = True
                await asyncio.sleep(disaster.lasts_s)
                self.weather.history_out = False
            case _:
                bus = self.processes[disaster.target].bus
                await self._hold_up(
                    bus,
                    disaster.lasts_s,
                    outward=disaster.kind != "cut in",
                    inward=disaster.kind != "cut out",
                )

    async def _election(self, disaster: Disaster) -> None:
        prefix = _LED.get(disaster.target, "")
        led = [name for name in self.server.streams if name.startswith(prefix)]
        if disaster.target == "half the logs":
            led = [token_stream(partition) for partition in range(TOKEN_PARTITIONS // 2)]
        for name in led:
            self.server.depose(name)
        await asyncio.sleep(disaster.lasts_s)
        for name in led:
            self.server.elect(name)

    async def _at_a_call(self, disaster: Disaster) -> None:
        """Crash or halt the target at its next so-and-so-many-th call, if it makes that many."""
        process, blown = self.processes[disaster.target], asyncio.Event()
        bus = process.bus
        if bus is None:
            return

        def blow() -> None:
            if disaster.kind == "crash":
                bus.dead = True
            else:
                self.loop.stop_process(disaster.target)
            blown.set()

        bus.fuse = Fuse(disaster.calls, disaster.late, blow)
        try:
            async with asyncio.timeout(3.0):
                await blown.wait()
        except TimeoutError:
            bus.fuse = None
            return
        if disaster.kind == "crash":
            await self._crash(disaster.target, seen=disaster.seen)
            await asyncio.sleep(disaster.lasts_s)
            process.start()
        else:
            await self._hold_up(bus, disaster.lasts_s, inward=True)
            self.loop.resume_process(disaster.target)

    @staticmethod
    async def _hold_up(
        bus: FaultyBus | None, seconds: float, *, outward: bool = False, inward: bool = False
    ) -> None:
        lanes = (
            [lane for lane, cut in ((bus.outward, outward), (bus.inward, inward)) if cut]
            if bus
            else []
        )
        for lane in lanes:
            lane.cut = True
        await asyncio.sleep(seconds)
        for lane in lanes:
            lane.mend()

    async def _crash(self, name: str, *, seen: bool) -> None:
        """Kill a process; `seen`: its parent noticed, and says so where that is known."""
        process = self.processes[name]
        await process.kill()
        if seen and name.startswith("gpu"):
            inner = await self.server.connect("parent")
            gone = WorkerGone(worker=name, reason="exit")
            inner.publish(scheduler_workers(POOL), encode(gone))
            await inner.close()

    def holds(self, run_id: str) -> bool:
        """Say whether any engine still has room for a run."""
        return any(
            key.startswith(f"{run_id}.")
            for engine in self.engines.values()
            for key in engine.requests
        )

    async def close_engine(self, name: str) -> None:
        """End the engine of a gpu process that ended."""
        engine = self.engines.pop(name, None)
        if engine is not None:
            await engine.close()

    @staticmethod
    def _named(
        build: Callable[[str, FaultyBus, int], Awaitable[Runnable]], name: str
    ) -> Callable[[FaultyBus, int], Awaitable[Runnable]]:
        return lambda bus, life: build(name, bus, life)

    async def _session(self, name: str, bus: FaultyBus, life: int) -> Runnable:
        model = ModelContext(
            model=MODEL,
            pool=POOL,
            codec=self.codec,
            context_length=1_024,
            output_reserve=64,
            max_output=200,
            shares=Shares(verbatim_high=20, verbatim_low=8)
            if self.story.folding
            else Shares(summary=0),
        )
        config = SessionConfig(models={MODEL: model}, default_model=MODEL, fold_again_ms=2_000)
        return SessionHost(
            config,
            bus=bus,
            log=self._log(bus),
            history=self._history(bus),
            clock=self.clock,
            host_id=f"{name}_{life}",
        )

    async def _scheduler(self, name: str, bus: FaultyBus, life: int) -> Runnable:
        config = SchedulerConfig(
            pool=POOL,
            model=MODEL,
            context_length=1_024,
            attempts_max=50,
            first_token_ms=3_000,
            token_gap_ms=1_500,
        )
        return SchedulerActor(
            config,
            bus=bus,
            log=self._log(bus),
            clock=self.clock,
            actor_id=f"{name}_{life}",
        )

    async def _gpu(self, name: str, bus: FaultyBus, life: int) -> Runnable:
        faults = {f: value for gpu, f, value in self.story.engines if gpu == name and life == 1}
        engine = SimEngine(msgspec.structs.replace(self.engine_config, **faults), self.clock)
        self.engines[name] = engine
        return GpuActor(
            GpuConfig(worker=name, pool=POOL, model=MODEL, snapshot_ms=300),
            bus=bus,
            log=self._log(bus),
            engine=engine,
            codec=self.codec,
            clock=self.clock,
        )

    async def _edge(self, name: str, bus: FaultyBus, life: int) -> Runnable:  # noqa: ARG002
        return SimulatedEdge(
            bus, self._log(bus), self._history(bus), self.clock, model=MODEL, pool=POOL
        )

    async def _summarizer(self, name: str, bus: FaultyBus, life: int) -> Runnable:
        config = SummarizerConfig(
            pool=POOL,
            model=MODEL,
            codec=self.codec,
            context_length=1_024,
            tokens_max=64,
            patience_ms=15_000,
            retry_ms=300,
        )
        return SummarizerHost(
            config,
            bus=bus,
            log=self._log(bus),
            history=self._history(bus),
            clock=self.clock,
            host_id=f"{name}_{life}",
        )

    def _history(self, bus: FaultyBus) -> History:
        return cast("History", FaultyHistory(self.history, bus, self.weather, self.rng))

"""A simulated deployment: two of each actor, the production shells and machines, one seed."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from actors.gpu.actor import GpuActor
from actors.gpu.config import GpuConfig
from actors.gpu.sim_engine import SimConfig, SimEngine
from actors.runtime.byte_codec import EOS, ByteCodec
from actors.runtime.memory_bus import MemoryServer
from actors.runtime.token_log import BusTokenLog
from actors.scheduler import SchedulerActor, SchedulerConfig
from actors.session import ModelContext, SessionConfig, SessionHost
from contracts.codec import encode
from contracts.errors import BusError, EngineDead
from contracts.scheduling import WorkerGone
from contracts.subjects import scheduler_workers
from ops.history.memory import MemoryHistory
from ops.streams import declare_streams
from tests.simulation.faults import FaultyBus, FaultyHistory, Fuse, Weather, Witness
from tests.simulation.story import PROCESSES, Disaster, Story
from tests.simulation.virtual_time import PROCESS, VirtualClock, VirtualTimeLoop

MODEL = "sim-model"
POOL = "default"
VOCABULARY = (*b"abcdef .,", 0xC3, 0xA9)


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
    crashes: list[BaseException] = field(default_factory=list)

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
            if not self.task.cancelled() and self.task.exception() is not None:
                self.crashes.append(self.task.exception())  # type: ignore[arg-type]


class World:
    """Server, history, processes and weather of one seed."""

    def __init__(self, story: Story, loop: VirtualTimeLoop) -> None:
        self.story = story
        self.loop = loop
        self.rng = random.Random(story.seed + 1)
        self.clock = VirtualClock(loop, random.Random(story.seed + 2))
        self.server = MemoryServer(self.clock)
        self.weather = Weather()
        self.witness = Witness()
        self.history = MemoryHistory()
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
        )
        self.engines: dict[str, SimEngine] = {}
        self.processes: dict[str, Process] = {}
        builds = {"session": self._session, "scheduler": self._scheduler, "gpu": self._gpu}
        for name in PROCESSES:
            build = builds[name.partition("_")[0]]
            self.processes[name] = Process(name, self._named(build, name), self)

    def faulty(self, inner: object) -> FaultyBus:
        """Return a bus in this world's weather."""
        return FaultyBus(inner, self.weather, self.rng, self.witness)  # type: ignore[arg-type]

    async def start(self) -> None:
        """Declare the streams and start every process."""
        inner = await self.server.connect("admin")
        await declare_streams(inner)
        await inner.lease_put("world", b"", revision=0, ttl_s=1.0)
        for process in self.processes.values():
            process.start()

    async def stop(self) -> None:
        """Kill everything, and raise what a process died of by itself."""
        for process in self.processes.values():
            await process.kill()
        crashes = [crash for p in self.processes.values() for crash in p.crashes]
        if crashes:
            raise crashes[0]

    async def suffer(self, disaster: Disaster) -> None:
        """Let a disaster happen and pass; its target is as before afterwards."""
        match disaster.kind:
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
        return any(run_id in key for engine in self.engines.values() for key in engine.requests)

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
        )
        config = SessionConfig(models={MODEL: model}, default_model=MODEL)
        return SessionHost(
            config,
            bus=bus,
            log=BusTokenLog(bus, self.clock),
            history=FaultyHistory(self.history, bus, self.weather, self.rng),  # type: ignore[arg-type]
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
            log=BusTokenLog(bus, self.clock),
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
            log=BusTokenLog(bus, self.clock),
            engine=engine,
            codec=self.codec,
            clock=self.clock,
        )

"""The scheduler's shell on a real NATS server, with workers that answer at once."""

import asyncio
import multiprocessing
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop
from prometheus_client import REGISTRY

from actors.runtime.clock import SystemClock
from actors.runtime.nats_bus import NatsBus
from actors.runtime.token_log import BusTokenLog
from actors.scheduler import SchedulerActor, SchedulerConfig
from contracts.codec import decode, encode
from contracts.errors import BusUnavailable
from contracts.ports.bus import Inbound
from contracts.runs import TIERS, RunOutcome, RunSpec, Sampling, Usage
from contracts.scheduling import (
    Allowance,
    AskAllowance,
    RunBegan,
    RunSettled,
    StartRun,
    WorkerCommand,
    WorkerReport,
)
from contracts.subjects import run_queue, scheduler_requests, scheduler_workers, worker_commands
from ops.nats_server import facts_of, prepare, program
from ops.old_objects import OldObjects
from ops.ports import free_port
from ops.streams import declare_streams

_POOL = "bench"
_WORKERS = 8
_SLOTS = 64
_PORT_WAIT_S = 10.0
_WINDOW = 256
_KNOCK_S = 0.01
_DEEP_S = 3.0
"""So long newcomers are refused before any run is dispatched."""


@dataclass(frozen=True, slots=True)
class ShellFigures:
    """What went through NATS: runs settled, how many a second, and processor time of the
    scheduler's process a run; then how long a standby took from its start to its first dispatch
    with three quarters of the queue left. `refused` is how many prompts were refused from the
    moment when all were queued to that take-over, with the median, the 99th percentile and the
    longest time that the answer took, milliseconds."""

    runs: int
    runs_s: int
    cpu_us: int
    takeover_ms: int
    refused: int
    refused_ms: tuple[float, float, float]


class _Workers:
    """Gpu actors that generate nothing: each run begins and ends as it comes."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self._numbers = 0
        self._seen = 0
        self.ended = 0

    def hear(self, message: Inbound) -> None:
        """Take a command."""
        command = decode(message.data, WorkerCommand)
        if not isinstance(command, StartRun):
            return
        self._seen = max(self._seen, command.attempt)
        run_id, worker = command.spec.run_id, message.subject.split(".")[1]
        usage = Usage(prompt_tokens=len(command.spec.prompt_tokens), completion_tokens=20)
        began = RunBegan(run_id=run_id, attempt=command.attempt, worker=worker)
        settled = RunSettled(
            run_id=run_id,
            attempt=command.attempt,
            worker=worker,
            outcome=RunOutcome(finish_reason="stop", usage=usage),
        )
        subject = scheduler_workers(_POOL)
        self._bus.publish(subject, encode(began))
        self._bus.publish(subject, encode(settled))
        self.ended += 1

    def report(self) -> None:
        """All say that they are there."""
        self._numbers += 1
        for number in range(_WORKERS):
            report = WorkerReport(
                worker=f"gpu_{number}",
                pool=_POOL,
                model="m",
                incarnation=1,
                number=self._numbers,
                state="ready",
                slots=_SLOTS,
                context_length=4_096,
                engine="sim",
                seen=0,
            )
            self._bus.publish(scheduler_workers(_POOL), encode(report))


def _work(url: str, ready: "multiprocessing.synchronize.Event") -> None:
    """Be the workers until killed (the target of a process)."""

    async def work() -> None:
        bus = await NatsBus.connect([url], name="workers", clock=SystemClock())
        workers = _Workers(bus)
        await bus.subscribe(worker_commands("*"), workers.hear)
        while True:
            if ready.is_set():
                workers.report()
            await asyncio.sleep(0.1)

    uvloop.run(work())


def _knock(url: str, ready: "multiprocessing.synchronize.Event", answers: Connection) -> None:
    """Ask for a place as an edge does, every 10 ms while `ready` is set, and send how long each
    refusal took (the target of a process)."""

    async def knock() -> None:
        bus = await NatsBus.connect([url], name="edge", clock=SystemClock())
        took: list[float] = []
        number = 0
        await asyncio.to_thread(ready.wait)
        while ready.is_set():
            number += 1
            ask = AskAllowance(user_id=f"user_{number}", tier="free", wanted=True)
            began_s = time.perf_counter()
            data = await bus.request(scheduler_requests(_POOL), encode(ask), timeout_s=10.0)
            if decode(data, Allowance).problem is not None:
                took.append((time.perf_counter() - began_s) * 1_000)
            await asyncio.sleep(_KNOCK_S)
        answers.send(took)
        await bus.close()

    uvloop.run(knock())


async def measure_shell(home: Path, runs: int) -> ShellFigures:
    """Queue so many runs, let one scheduler settle half of them, and another take over."""
    config, facts = prepare(home, port=free_port())
    nowhere = asyncio.subprocess.DEVNULL
    server = await asyncio.create_subprocess_exec(
        str(program()), "-c", str(config), stdout=nowhere, stderr=nowhere
    )
    context = multiprocessing.get_context("spawn")
    ready, knocking = context.Event(), context.Event()
    answers, theirs = context.Pipe(duplex=False)
    url = (facts_of(home) or facts).url("operator")
    others = [
        context.Process(target=_work, args=(url, ready), daemon=True),
        context.Process(target=_knock, args=(url, knocking, theirs), daemon=True),
    ]
    clock = SystemClock()
    try:
        async with AsyncExitStack() as held:
            bus = await _connected(url, clock)
            held.push_async_callback(bus.close)
            side_bus = await _connected(url, clock)
            held.push_async_callback(side_bus.close)
            await declare_streams(bus)
            await _queue(bus, runs)
            for other in others:
                other.start()
            rig = _Rig(bus, side_bus, clock, runs, ready, knocking)
            return await _settle(rig, answers)
    finally:
        for other in others:
            if other.pid is not None:
                other.kill()
                other.join()
        server.terminate()
        await server.wait()


async def _connected(url: str, clock: SystemClock) -> NatsBus:
    give_up_s = time.monotonic() + _PORT_WAIT_S
    while True:
        try:
            return await NatsBus.connect([url], name="bench", clock=clock, timeout_s=1.0)
        except BusUnavailable:
            if time.monotonic() > give_up_s:
                raise
            await asyncio.sleep(0.1)


async def _queue(bus: NatsBus, runs: int) -> None:
    """Append the runs to RUNS, some hundred in flight."""
    numbers = iter(range(runs))

    async def append() -> None:
        for number in numbers:
            spec = RunSpec(
                run_id=f"run_{number}",
                pool=_POOL,
                model="m",
                user_id=f"user_{number % max(1, runs // 5)}",
                tier=TIERS[number % len(TIERS)],
                prompt_tokens=tuple(range(100)),
                sampling=Sampling(max_tokens=256),
                submitted_at_ms=0,
            )
            await bus.append(run_queue(_POOL, spec.run_id), encode(spec))

    async with asyncio.TaskGroup() as group:
        for _ in range(_WINDOW):
            group.create_task(append())


@dataclass(frozen=True, slots=True)
class _Rig:
    """What the schedulers of a measurement need, and what starts the other processes."""

    bus: NatsBus
    side_bus: NatsBus
    clock: SystemClock
    runs: int
    ready: "multiprocessing.synchronize.Event"
    knocking: "multiprocessing.synchronize.Event"

    def scheduler(self, name: str) -> SchedulerActor:
        """Return a scheduler for which the queue is just full: newcomers are refused."""
        return SchedulerActor(
            SchedulerConfig(
                pool=_POOL,
                model="m",
                context_length=4_096,
                queue_max=self.runs,
                notices_max=0,
            ),
            bus=self.bus,
            log=BusTokenLog(self.bus, self.clock),
            clock=self.clock,
            actor_id=name,
            side_bus=self.side_bus,
        )


async def _settle(rig: _Rig, answers: Connection) -> ShellFigures:
    """Let one scheduler take the whole queue, settle a quarter of it, and another go on."""
    old = OldObjects()
    setting_aside = asyncio.create_task(old.run())
    first = rig.scheduler("first")
    running = asyncio.create_task(first.run())
    await _until(lambda: first.info(0, "").running >= rig.runs)
    rig.knocking.set()
    await asyncio.sleep(_DEEP_S)
    rig.ready.set()
    await _until(lambda: _count("settled") > 0)
    settled, cpu_s, wall_s = _count("settled"), time.process_time(), time.monotonic()
    await _until(lambda: _count("settled") >= rig.runs // 4)
    settled = _count("settled") - settled
    cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
    rig.knocking.clear()
    took = await asyncio.to_thread(answers.recv)
    await first.stop()
    await running
    dispatched, began_s = _count("dispatched"), time.monotonic()
    second = rig.scheduler("second")
    running = asyncio.create_task(second.run())
    await _until(lambda: _count("dispatched") > dispatched)
    takeover_ms = round((time.monotonic() - began_s) * 1000)
    await second.stop()
    await running
    await old.stop()
    await setting_aside
    took.sort()
    return ShellFigures(
        runs=settled,
        runs_s=round(settled / wall_s),
        cpu_us=round(cpu_s * 1_000_000 / max(1, settled)),
        takeover_ms=takeover_ms,
        refused=len(took),
        refused_ms=(took[len(took) // 2], took[len(took) * 99 // 100], took[-1])
        if took
        else (0.0, 0.0, 0.0),
    )


def _count(what: str) -> int:
    """Return how many runs were `dispatched` or `settled` in this process."""
    name = f"parley_scheduler_{what}_total"
    return int(REGISTRY.get_sample_value(name, {"pool": _POOL}) or 0)


async def _until(truth: Callable[[], bool]) -> None:
    while not truth():  # noqa: ASYNC110 - another process and the actor's metrics are watched
        await asyncio.sleep(0.01)

"""The scheduler's shell on a real NATS server, with workers that answer at once."""

import asyncio
import multiprocessing
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import REGISTRY

from actors.runtime.clock import SystemClock
from actors.runtime.nats_bus import NatsBus
from actors.runtime.token_log import BusTokenLog
from actors.scheduler import SchedulerActor, SchedulerConfig
from contracts.codec import decode, encode
from contracts.errors import BusUnavailable
from contracts.ports.bus import Inbound
from contracts.runs import TIERS, RunOutcome, RunSpec, Sampling, Usage
from contracts.scheduling import RunBegan, RunSettled, StartRun, WorkerCommand, WorkerReport
from contracts.subjects import run_queue, scheduler_workers, worker_commands
from ops.nats_server import facts_of, prepare, program
from ops.ports import free_port
from ops.streams import declare_streams

_POOL = "bench"
_WORKERS = 8
_SLOTS = 64
_PORT_WAIT_S = 10.0
_WINDOW = 256


@dataclass(frozen=True, slots=True)
class ShellFigures:
    """What went through NATS: runs settled, how many a second, and processor time of the
    scheduler's process a run; then how long a standby took from its start to its first dispatch
    with half of the queue left."""

    runs: int
    runs_s: int
    cpu_us: int
    takeover_ms: int


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

    asyncio.run(work())


async def measure_shell(home: Path, runs: int) -> ShellFigures:
    """Queue so many runs, let one scheduler settle half of them, and another take over."""
    config, facts = prepare(home, port=free_port())
    nowhere = asyncio.subprocess.DEVNULL
    server = await asyncio.create_subprocess_exec(
        str(program()), "-c", str(config), stdout=nowhere, stderr=nowhere
    )
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    known = facts_of(home) or facts
    workers = context.Process(target=_work, args=(known.url("operator"), ready), daemon=True)
    clock = SystemClock()
    try:
        async with AsyncExitStack() as held:
            bus = await _connected(known.url("operator"), clock)
            held.push_async_callback(bus.close)
            await declare_streams(bus)
            await _queue(bus, runs)
            workers.start()
            return await _settle(bus, clock, runs, ready)
    finally:
        if workers.pid is not None:
            workers.kill()
            workers.join()
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


async def _settle(
    bus: NatsBus,
    clock: SystemClock,
    runs: int,
    ready: "multiprocessing.synchronize.Event",
) -> ShellFigures:
    """Let one scheduler take the whole queue, settle half of it, and another the rest."""
    config = SchedulerConfig(
        pool=_POOL, model="m", context_length=4_096, queue_max=runs + 1, notices_max=0
    )

    def scheduler(name: str) -> SchedulerActor:
        log = BusTokenLog(bus, clock)
        return SchedulerActor(config, bus=bus, log=log, clock=clock, actor_id=name)

    first = scheduler("first")
    running = asyncio.create_task(first.run())
    await _until(lambda: first.info(0, "").running >= runs)
    ready.set()
    await _until(lambda: _count("settled") > 0)
    settled, cpu_s, wall_s = _count("settled"), time.process_time(), time.monotonic()
    await _until(lambda: _count("settled") >= runs // 2)
    settled = _count("settled") - settled
    cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
    await first.stop()
    await running
    dispatched, began_s = _count("dispatched"), time.monotonic()
    second = scheduler("second")
    running = asyncio.create_task(second.run())
    await _until(lambda: _count("dispatched") > dispatched)
    takeover_ms = round((time.monotonic() - began_s) * 1000)
    await second.stop()
    await running
    return ShellFigures(
        runs=settled,
        runs_s=round(settled / wall_s),
        cpu_us=round(cpu_s * 1_000_000 / max(1, settled)),
        takeover_ms=takeover_ms,
    )


def _count(what: str) -> int:
    """Return how many runs were `dispatched` or `settled` in this process."""
    name = f"parley_scheduler_{what}_total"
    return int(REGISTRY.get_sample_value(name, {"pool": _POOL}) or 0)


async def _until(truth: Callable[[], bool]) -> None:
    while not truth():  # noqa: ASYNC110 - another process and the actor's metrics are watched
        await asyncio.sleep(0.01)

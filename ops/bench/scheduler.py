"""`parley bench scheduler`: how many decisions a second, in the machine and through NATS.

The machine alone, with its journal, for growing queues: a cycle is a run that begins, one that
ends, its successor's dispatch, and a new run that queues: three messages. Processor time of the
thread counts, so that a busy machine changes the figures little, and the collector of cycles
works as it does in a host (`ops.old_objects`): it never looks at all objects by itself. Then the
shell on a NATS server of its own, with workers in another process that answer at once: runs a
second, and processor time a run of the scheduler's process, which is what a core of its own
could do.
"""

import gc
import json
import os
import random
import tempfile
import time
import tracemalloc
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import uvloop

from actors.scheduler.config import SchedulerConfig, default_tiers
from actors.scheduler.journal import Recollection
from actors.scheduler.machine import SchedulerMachine
from actors.scheduler.state import Effect, Heard, RunSubmitted, Send, Tick
from contracts.codec import encode
from contracts.runs import TIERS, RunOutcome, RunSpec, Sampling, Usage
from contracts.scheduling import RunBegan, RunSettled, StartRun, WorkerReport
from ops.bench.scheduler_shell import ShellFigures, measure_shell

_WORKERS = 16
_SLOTS = 32
_BATCH = 20
"""Cycles between two entries of the journal."""

_PATIENT_MS = 1 << 50
"""Nobody is refused: the queue keeps its length."""

_TICK_MS = 50
_SET_ASIDE = 10_000
"""Cycles, about a second, after which the collector sets aside what it has seen."""

_NEVER = 1 << 30
_MESSAGES = 3
"""In a cycle."""

_PROMPT = tuple(range(100))


@dataclass(frozen=True, slots=True)
class MachineFigures:
    """One size of queue. Times are of the thread's processor; `bytes_a_run` includes the run's
    spec with a prompt of 100 tokens that all share."""

    queued: int
    cycles_s: int
    p50_us: float
    p99_us: float
    worst_ms: float
    bytes_a_run: int


class _Rig:
    """A machine with busy workers and a queue."""

    def __init__(self, queued: int) -> None:
        config = SchedulerConfig(
            pool="bench",
            model="m",
            context_length=4_096,
            queue_max=1 << 40,
            tiers={
                name: replace(tier, wait_limit_ms=_PATIENT_MS, wait_soft_ms=_PATIENT_MS)
                for name, tier in default_tiers().items()
            },
        )
        self.rng = random.Random(1)
        self.now_ms = 0
        self.machine = SchedulerMachine(config, 1, 0, known=Recollection())
        self.now_ms = 1_000
        self.running: list[tuple[str, str, int]] = []
        self.count = 0
        self.reports = 0
        self.users = max(10, queued // 5)
        self.report()

    def report(self) -> None:
        """Every worker says that it is there."""
        self.reports += 1
        for number in range(_WORKERS):
            report = WorkerReport(
                worker=f"gpu_{number}",
                pool="bench",
                model="m",
                incarnation=1,
                number=self.reports,
                state="ready",
                slots=_SLOTS,
                context_length=4_096,
                engine="sim",
            )
            self.take(self.machine.handle(Heard(report), self.now_ms))

    def spec(self) -> RunSpec:
        """Return a new run of some user of some tier."""
        self.count += 1
        return RunSpec(
            run_id=f"run_{self.count}",
            pool="bench",
            model="m",
            user_id=f"user_{self.rng.randrange(self.users)}",
            tier=TIERS[self.count % len(TIERS)],
            prompt_tokens=_PROMPT,
            sampling=Sampling(max_tokens=256),
            submitted_at_ms=self.now_ms,
        )

    def take(self, effects: list[Effect]) -> None:
        """Note what was dispatched."""
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.command, StartRun):
                command = effect.command
                self.running.append((effect.worker, command.spec.run_id, command.attempt))

    def cycle(self, spec: RunSpec, tokens: int) -> None:
        """One run begins and ends, its place is given on, and a new run queues."""
        place = self.rng.randrange(len(self.running))
        self.running[place], self.running[-1] = self.running[-1], self.running[place]
        worker, run_id, attempt = self.running.pop()
        began = RunBegan(run_id=run_id, attempt=attempt, worker=worker)
        self.take(self.machine.handle(Heard(began), self.now_ms))
        usage = Usage(prompt_tokens=len(_PROMPT), completion_tokens=tokens)
        outcome = RunOutcome(finish_reason="stop", usage=usage)
        settled = RunSettled(run_id=run_id, attempt=attempt, worker=worker, outcome=outcome)
        self.take(self.machine.handle(Heard(settled), self.now_ms))
        self.take(self.machine.handle(RunSubmitted(spec, self.count), self.now_ms))

    def pause(self) -> None:
        """What comes between: time, reports, and the journal."""
        entry = self.machine.journal_entry(self.now_ms)
        if entry is not None:
            encode(entry)
        self.now_ms += 2
        if self.now_ms % _TICK_MS < 2:
            for number in range(_WORKERS):
                self.machine._pool.workers[f"gpu_{number}"].heard_ms = self.now_ms
            self.take(self.machine.handle(Tick(), self.now_ms))


def measure_machine(queued: int, cycles: int) -> MachineFigures:
    """Measure one size of queue."""
    tracemalloc.start()
    rig = _Rig(queued)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(queued + _WORKERS * _SLOTS):
        rig.take(rig.machine.handle(RunSubmitted(rig.spec(), rig.count), rig.now_ms))
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    rig.machine.journal_entry(rig.now_ms)
    gc.collect()
    gc.freeze()
    thresholds = gc.get_threshold()
    gc.set_threshold(*thresholds[:2], _NEVER)
    took: list[int] = []
    for number in range(cycles):
        spec, tokens = rig.spec(), rig.rng.randrange(1, 256)
        began = time.thread_time_ns()
        rig.cycle(spec, tokens)
        if number % _BATCH == 0:
            rig.pause()
        if number % _SET_ASIDE == _SET_ASIDE - 1:
            gc.collect(1)
            gc.freeze()
        took.append(time.thread_time_ns() - began)
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    took.sort()
    return MachineFigures(
        queued=queued,
        cycles_s=cycles * 1_000_000_000 // sum(took),
        p50_us=took[cycles // 2] / 1_000,
        p99_us=took[cycles * 99 // 100] / 1_000,
        worst_ms=took[-1] / 1_000_000,
        bytes_a_run=held // queued,
    )


def report_of(machine: list[MachineFigures], shell: ShellFigures | None) -> str:
    """Return the figures as Markdown."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [
        f"Load of the machine (1, 5, 15 min): {load}; {os.cpu_count()} cores.",
        "",
        "| Queued | cycles/s of processor | messages/s | p50 µs | p99 µs | worst ms "
        "| bytes a queued run |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {it.queued:,} | {it.cycles_s:,} | {_MESSAGES * it.cycles_s:,} | {it.p50_us:.1f} "
        f"| {it.p99_us:.1f} | {it.worst_ms:.1f} | {it.bytes_a_run:,} |"
        for it in machine
    ]
    if shell is not None:
        lines += [
            "",
            f"Through NATS: {shell.runs_s:,} runs settled a second ({shell.runs:,} runs); the "
            f"scheduler's process used {shell.cpu_us} µs of processor a run "
            f"({1_000_000 // max(1, shell.cpu_us):,} a second on a core of its own). A standby's "
            f"first dispatch came {shell.takeover_ms:,} ms after its start, with three quarters "
            f"of the queue left. While all were queued {shell.refused:,} prompts were refused, "
            "each in {:.1f} ms (p50), {:.1f} ms (p99), {:.1f} ms at most.".format(
                *shell.refused_ms
            ),
        ]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--queued", default="1000,10000,100000", show_default=True, metavar="N,N,…")
@click.option("--cycles", default=50_000, show_default=True, type=click.IntRange(100))
@click.option("--runs", default=20_000, show_default=True, help="Through NATS; 0: leave out.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the figures as JSON.")
def scheduler(*, queued: str, cycles: int, runs: int, out: Path | None) -> None:
    """Measure the scheduler: decisions a second for growing queues, and runs through NATS."""
    machine = []
    for size in (int(part) for part in queued.split(",")):
        click.echo(f"machine, {size:,} queued …", err=True)
        machine.append(measure_machine(size, cycles))
    shell = None
    if runs:
        click.echo(f"shell, {runs:,} runs through NATS …", err=True)
        with tempfile.TemporaryDirectory(prefix="parley-bench-") as home:
            shell = uvloop.run(measure_shell(Path(home), runs))
    click.echo(report_of(machine, shell))
    if out is not None:
        figures = {
            "machine": [asdict(it) for it in machine],
            "shell": asdict(shell) if shell is not None else None,
            "load": os.getloadavg(),
        }
        out.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")

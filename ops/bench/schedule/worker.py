"""A simulated gpu actor: what it tells the scheduler about its GPU."""

from dataclasses import replace

from contracts.scheduling import PrefixChanged, RunningRun, StartRun, WorkerReport
from ops.bench.schedule.gpu import Gpu, Running, StepDone
from ops.bench.schedule.prompts import Record


class Worker:
    """Speaks for one GPU. `stepping`: a step is under way; `incarnation` grows with every
    start."""

    def __init__(self, name: str, pool: str, gpu: Gpu) -> None:
        self.name = name
        self.gpu = gpu
        self.incarnation = 1
        self.alive = True
        self.stepping = False
        self._pool = pool
        self._number = 0
        self._prefixes = 0
        self._seen = 0

    def start(self, command: StartRun, record: Record) -> None:
        """Take a run; what is committed of its answer isn't generated again, and it ends at
        the `max_tokens` that it has been left with. The same command again does nothing."""
        self._seen = max(self._seen, command.attempt)
        if any(run.name == command.spec.run_id for run in self.gpu.all()):
            return
        prompt, most = record.prompt, command.spec.sampling.max_tokens
        if prompt.output_tokens > most:
            prompt = replace(prompt, output_tokens=most)
        self.gpu.submit(command.spec.run_id, command.attempt, prompt, record.output_tokens)

    def die(self) -> list[Running]:
        """Lose everything. Returns what ran."""
        lost = self.gpu.all()
        self.gpu = self.gpu.replaced()
        self.alive = self.stepping = False
        self.incarnation += 1
        self._number = self._prefixes = self._seen = 0
        return lost

    def report(self) -> WorkerReport:
        """Return the whole truth about the worker."""
        self._number += 1
        gpu = self.gpu
        return WorkerReport(
            worker=self.name,
            pool=self._pool,
            model="simulated",
            incarnation=self.incarnation,
            number=self._number,
            state="ready",
            slots=gpu.model.slots,
            context_length=1 << 20,
            engine="sim",
            runs=tuple(
                RunningRun(
                    run_id=run.name,
                    attempt=run.attempt,
                    tokens=run.produced,
                    started=run.produced > 0,
                )
                for run in gpu.all()
            ),
            seen=self._seen,
            waiting=len(gpu.waiting),
            kv_used=min(1.0, gpu.used_tokens / gpu.model.kv_tokens),
            kv_tokens=gpu.model.kv_tokens if gpu.model.tells_memory else 0,
            pending_prefill=gpu.pending_tokens,
            prefixes=self._prefixes,
        )

    def prefixes(self, done: StepDone) -> PrefixChanged | None:
        """Return what the scheduler hears of the prefix cache after a step, None if it is as
        before."""
        removed = set(done.removed)
        stored = tuple(key for key in done.stored if key not in removed)
        if not stored and not removed:
            return None
        self._prefixes += 1
        return PrefixChanged(
            worker=self.name,
            incarnation=self.incarnation,
            number=self._prefixes,
            stored=stored,
            removed=tuple(done.removed),
        )

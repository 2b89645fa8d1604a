"""The production scheduler machine and simulated GPUs in virtual time.

The machine is told what its shell would tell it (submissions, the workers' reports every
100 ms and their events, ticks every 50 ms) and its effects are performed on the GPUs. Events
at the same microsecond happen in the order in which they were planned, so that a seed gives
one history.
"""

import heapq
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from actors.scheduler.journal import JournalEntry, Recollection
from actors.scheduler.machine import SchedulerMachine
from actors.scheduler.state import (
    Answer,
    Asked,
    Broadcast,
    CheckClosed,
    ClosedChecked,
    Effect,
    EndRun,
    EndStored,
    Heard,
    Notify,
    RunSubmitted,
    SchedulerMessage,
    Send,
    Settle,
    Tick,
)
from contracts.runs import RunOutcome, RunSpec, Sampling, Usage
from contracts.scheduling import (
    AbortRun,
    Allowance,
    AskAllowance,
    DropRun,
    PoolStatus,
    RunBegan,
    RunSettled,
    StartRun,
    WorkerGone,
    WorkerMessage,
)
from ops.bench.schedule.gpu import Gpu, GpuModel, Running, StepDone
from ops.bench.schedule.history import Cost, Fault, Length, Outcome
from ops.bench.schedule.prompts import Ending, Prompt, Record, Workload
from ops.bench.schedule.worker import Worker

MakeMachine = Callable[[int, int, Recollection | None], SchedulerMachine]
"""Makes the machine of a term: its number, the time in milliseconds, and what earlier ones left
(None: nothing is to outlive it)."""

_TICK_US = 50_000
_NOTICED_US = 5_000
_REPORT_US = 100_000
_LISTEN_US = 1_000_000
_EPOCH_MS = 1_000_000


class Simulation:
    """One history.

    Args:
        gpus: one model for each GPU.
        until_us: when it ends, whatever still runs.
        lengths: is filled with the length of each answer as its prompt comes.
        faults: who dies, and when.
        asks: prompts come through an edge, which asks the scheduler first where its status
            says so; who is refused comes back once, when told to.
    """

    def __init__(
        self,
        workload: Workload,
        gpus: Sequence[GpuModel],
        make_machine: MakeMachine,
        *,
        seed: int,
        until_us: int,
        pool: str = "default",
        lengths: dict[str, int] | None = None,
        faults: Sequence[Fault] = (),
        asks: bool = False,
    ) -> None:
        self.records: dict[str, Record] = {}
        self.workers = [
            Worker(f"gpu-{index}", pool, Gpu(model, seed * 1_000 + index))
            for index, model in enumerate(gpus)
        ]
        self.cost = Cost()
        self.now_us = -_LISTEN_US
        self._pool = pool
        self._lengths = lengths if lengths is not None else {}
        self._by_name = {worker.name: worker for worker in self.workers}
        self._workload = workload
        self._opening = workload.opening()
        self._make_machine = make_machine
        self._term = 1
        self._journal: list[JournalEntry] = []
        self._machine: SchedulerMachine | None = make_machine(
            self._term, self._now_ms(), Recollection() if faults else None
        )
        self._asks = asks
        self._until_us = until_us
        self._faults = tuple(faults)
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = 0
        self._deliveries = 0
        self._unsettled: dict[int, RunSpec] = {}
        self._open = 0
        self._exhausted = False
        self._allowances: list[Allowance] = []
        self._statuses: list[tuple[int, PoolStatus]] = []

    def run(self) -> Outcome:
        """Live through it."""
        for index, worker in enumerate(self.workers):
            self._at(self.now_us + 1_000 * index, partial(self._report, worker))
        self._at(self.now_us, self._tick)
        self._next_opening()
        for fault in self._faults:
            self._at(fault.at_us, partial(self._fail, fault))
        while self._events:
            at_us, _, happen = heapq.heappop(self._events)
            if at_us > self._until_us or (self._exhausted and not self._open):
                break
            self.now_us = at_us
            happen()
        return Outcome(list(self.records.values()), self.cost, self.now_us / 1e6, self._statuses)

    def _at(self, at_us: int, happen: Callable[[], None]) -> None:
        self._numbers += 1
        heapq.heappush(self._events, (at_us, self._numbers, happen))

    def _now_ms(self) -> int:
        return _EPOCH_MS + self.now_us // 1_000

    def _next_opening(self) -> None:
        prompt = next(self._opening, None)
        if prompt is None:
            self._exhausted = True
            return
        self._at(prompt.at_us, partial(self._arrive, prompt, opening=True))

    def _arrive(self, prompt: Prompt, *, opening: bool) -> None:
        if opening:
            self._next_opening()
        record = self.records[prompt.name] = Record(prompt)
        self._lengths[prompt.name] = prompt.output_tokens
        self._open += 1
        if not self._refused(record):
            self._submit(record)

    def _submit(self, record: Record) -> None:
        self._deliveries += 1
        spec = self._spec(record.prompt)
        self._unsettled[self._deliveries] = spec
        self._tell(RunSubmitted(spec, self._deliveries))

    def _refused(self, record: Record) -> bool:
        """Do the edge's part: ask where the pool's status says so. Who is refused the first
        time comes back when told to."""
        prompt = record.prompt
        status = self._statuses[-1][1] if self._statuses else None
        if not self._asks or status is None or prompt.tier not in status.ask:
            return False
        ask = AskAllowance(
            user_id=prompt.user,
            tier=prompt.tier,
            wanted=True,
            prompt_tokens=prompt.prompt_tokens,
            output_tokens=prompt.max_tokens,
        )
        self._allowances.clear()
        self._tell(Asked(ask, "edge"))
        problem = self._allowances[0].problem if self._allowances else None
        if problem is None:
            return False
        self._turn_away(record, problem.retry_after_ms)
        return True

    def _turn_away(self, record: Record, after_ms: int | None) -> None:
        if record.tries > 1 or after_ms is None:
            self._end(record.prompt.name, "refused")
            return
        record.promised_ms = after_ms
        record.tries += 1
        self._at(self.now_us + after_ms * 1_000, partial(self._come_back, record))

    def _come_back(self, record: Record) -> None:
        if not self._refused(record):
            self._submit(record)

    def _spec(self, prompt: Prompt) -> RunSpec:
        return RunSpec(
            run_id=prompt.name,
            pool=self._pool,
            model="simulated",
            user_id=prompt.user,
            prompt_tokens=Length(prompt.prompt_tokens),
            sampling=Sampling(max_tokens=prompt.max_tokens),
            submitted_at_ms=self._now_ms(),
            tier=prompt.tier,
            chat_id=prompt.chat or None,
            block_keys=prompt.keys,
        )

    def _tick(self) -> None:
        self._tell(Tick())
        self._at(self.now_us + _TICK_US, self._tick)

    def _report(self, worker: Worker) -> None:
        if worker.alive:
            self._hear(worker.report())
        self._at(self.now_us + _REPORT_US, partial(self._report, worker))

    def _hear(self, body: WorkerMessage) -> None:
        self._tell(Heard(body))

    def _tell(self, message: SchedulerMessage) -> None:
        """Tell the machine, perform what it asks for, and tell it what comes of that."""
        told = deque([message])
        while told and self._machine is not None:
            begun_ns = time.perf_counter_ns()
            effects = self._machine.handle(told.popleft(), self._now_ms())
            self.cost.spent_ns += time.perf_counter_ns() - begun_ns
            self.cost.messages += 1
            for effect in effects:
                answer = self._perform(effect)
                if answer is not None:
                    told.append(answer)
            if self._faults and (entry := self._machine.journal_entry(self._now_ms())) is not None:
                self._journal.append(entry)

    def _perform(self, effect: Effect) -> SchedulerMessage | None:
        match effect:
            case Send(name, command):
                return self._command(self._by_name[name], command)
            case Settle(delivery):
                self._unsettled.pop(delivery, None)
            case EndRun(spec, _, outcome):
                self._end_unserved(spec.run_id, outcome)
                return EndStored(spec.run_id)
            case CheckClosed(run_id):
                return ClosedChecked(run_id, closed=self.records[run_id].end_us is not None)
            case Broadcast(status):
                self._statuses.append((self.now_us, status))
            case Answer(_, Allowance() as allowance):
                self._allowances.append(allowance)
            case Notify(run_id, _, event):
                record = self.records[run_id]
                if record.told_ms is None:
                    record.told_ms = event.eta_ms
        return None

    def _command(self, worker: Worker, command: object) -> SchedulerMessage | None:
        if not worker.alive:
            return None
        if isinstance(command, StartRun):
            return self._start(worker, command)
        if isinstance(command, AbortRun):
            run = worker.gpu.drop(command.run_id)
            if run is not None:
                self._leave(run)
                return self._cancelled(worker, run)
        elif isinstance(command, DropRun):
            run = worker.gpu.drop(command.run_id)
            if run is not None:
                self._leave(run)
        return None

    def _start(self, worker: Worker, command: StartRun) -> SchedulerMessage | None:
        record = self.records[command.spec.run_id]
        if record.end_us is not None:
            return Heard(
                RunSettled(run_id=record.prompt.name, attempt=command.attempt, worker=worker.name)
            )
        self.cost.decisions += 1
        record.dispatches += 1
        record.attempt = command.attempt
        record.worker = worker.name
        if record.dispatched_us is None:
            record.dispatched_us = self.now_us
        worker.start(command, record)
        self._work(worker)
        return None

    def _fail(self, fault: Fault) -> None:
        if fault.what == "scheduler":
            self._machine = None
            self._at(self.now_us + fault.lasts_us, self._take_over)
            return
        worker = self._by_name[fault.what]
        gone = WorkerGone(worker=worker.name, incarnation=worker.incarnation)
        for run in worker.die():
            self._leave(run)
        self._at(self.now_us + _NOTICED_US, partial(self._hear, gone))
        self._at(self.now_us + fault.lasts_us, partial(setattr, worker, "alive", True))

    def _take_over(self) -> None:
        """Another scheduler holds the lease: it reads the journal, and what is not acknowledged
        comes again, in order."""
        self._term += 1
        known = Recollection(self._journal)
        self._machine = self._make_machine(self._term, self._now_ms(), known)
        for delivery, spec in list(self._unsettled.items()):
            self._tell(RunSubmitted(spec, delivery, redelivered=True))

    def _leave(self, run: Running) -> None:
        """A run leaves its worker unfinished: what was generated is committed."""
        record = self.records[run.name]
        if record.attempt == run.attempt:
            record.output_tokens = max(record.output_tokens, run.produced)

    def _cancelled(self, worker: Worker, run: Running) -> SchedulerMessage:
        self._end(run.name, "failed")
        return Heard(self._settled(worker, run, "cancelled"))

    def _work(self, worker: Worker) -> None:
        """Start a step if none is under way."""
        if worker.stepping:
            return
        lasts_us = worker.gpu.plan()
        if lasts_us is None:
            return
        worker.stepping = True
        self._at(self.now_us + lasts_us, partial(self._stepped, worker, worker.incarnation))

    def _stepped(self, worker: Worker, incarnation: int) -> None:
        if worker.incarnation != incarnation:
            return
        worker.stepping = False
        done = worker.gpu.complete()
        self._hear_step(worker, done)
        self._work(worker)

    def _hear_step(self, worker: Worker, done: StepDone) -> None:
        changed = worker.prefixes(done)
        if changed is not None:
            self._hear(changed)
        for run in done.began:
            record = self.records[run.name]
            if record.attempt != run.attempt:
                continue
            record.first_us = self.now_us
            record.cached_tokens = run.cached
            self._hear(
                RunBegan(
                    run_id=run.name,
                    attempt=run.attempt,
                    worker=worker.name,
                    cached_tokens=run.cached,
                )
            )
        for run in done.ended:
            if self.records[run.name].attempt != run.attempt:
                continue
            self.records[run.name].output_tokens = run.produced
            self._end(run.name, "served")
            self._hear(self._settled(worker, run, "stop"))

    def _settled(self, worker: Worker, run: Running, reason: str) -> RunSettled:
        usage = Usage(
            prompt_tokens=run.prompt.prompt_tokens,
            completion_tokens=run.produced,
            cached_tokens=run.cached,
        )
        outcome = RunOutcome(
            finish_reason="cancelled" if reason == "cancelled" else "stop", usage=usage
        )
        return RunSettled(run_id=run.name, attempt=run.attempt, worker=worker.name, outcome=outcome)

    def _end_unserved(self, run_id: str, outcome: RunOutcome) -> None:
        """End a run that no worker will end, unless it has ended behind the scheduler's back:
        its log refuses a second end."""
        problem = outcome.error
        if self.records[run_id].end_us is not None:
            return
        if problem is not None and problem.code in ("at_capacity", "over_budget"):
            self._end(run_id, "refused")
        else:
            self._end(run_id, "failed")

    def _end(self, run_id: str, ending: Ending) -> None:
        record = self.records[run_id]
        assert record.end_us is None, f"{run_id} ended twice"
        record.end_us = self.now_us
        record.ending = ending
        self._open -= 1
        following = self._workload.following(record)
        if following is not None:
            at_us = max(following.at_us, self.now_us)
            self._at(at_us, partial(self._arrive, following, opening=False))

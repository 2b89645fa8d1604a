"""The gpu machine: every decision of a gpu actor, without I/O.

Here are the worker as a whole and the commands of the scheduler; `answering` has what
happens to one run.
"""

from collections.abc import Iterable

from actors.gpu.answering import Answering
from actors.gpu.config import GpuConfig
from actors.gpu.prefix_mirror import PrefixMirror
from actors.gpu.protocol import (
    AbortEngine,
    Appended,
    BlocksChanged,
    Claimed,
    ClaimLog,
    Denied,
    Effect,
    EngineReady,
    Fenced,
    FinishStored,
    Freed,
    HandBack,
    LogLost,
    LogRead,
    Message,
    Output,
    Stop,
    Tell,
    Tick,
)
from actors.gpu.rates import Rates
from actors.gpu.roster import Roster
from actors.gpu.state import Run, Sequence
from actors.gpu.text import AnswerText
from contracts.errors import IllegalMessage
from contracts.ports.engine import EngineInfo, EngineLoad
from contracts.ports.text import TextCodec
from contracts.scheduling import (
    AbortRun,
    Drain,
    DropRun,
    PrefixChanged,
    ResendPrefixes,
    RunningRun,
    RunRejected,
    StartRun,
    WorkerCommand,
    WorkerGone,
    WorkerReport,
    WorkerState,
)


class GpuMachine:
    """See the module. `incarnation` tells this life of the worker from earlier ones."""

    def __init__(self, config: GpuConfig, codec: TextCodec, incarnation: int) -> None:
        self._config = config
        self._codec = codec
        self._incarnation = incarnation
        self._state: WorkerState = "starting"
        self._info: EngineInfo | None = None
        self._load = EngineLoad()
        self._seen = 0
        self._number = 0
        self._roster = Roster()
        self._rates = Rates()
        self._mirror = PrefixMirror(config.worker, incarnation)
        self._answering = Answering(config, codec, self._roster, self._rates, self._mirror)

    @property
    def state(self) -> WorkerState:
        """Whether it takes runs."""
        return self._state

    @property
    def running(self) -> int:
        """The number of runs here."""
        return len(self._roster.runs)

    def handle(self, message: Message, now_ms: int) -> tuple[Effect, ...]:
        """Take in one message and return what the shell is to do, in order.

        Raises:
            IllegalMessage: the shell reports something that it was not asked for; the state
                is unchanged.
            InvariantBroken: the engine left out tokens.
        """
        effects = self._dispatch(message, now_ms)
        if self._state == "draining" and not self._roster.runs:
            effects += self._stop("drained")
        return tuple(effects)

    def _dispatch(self, message: Message, now_ms: int) -> list[Effect]:
        match message:
            case Output():
                return self._answering.output(message, now_ms)
            case Appended():
                return self._answering.appended(message, now_ms)
            case Tick() if self._state == "stopped":
                return []  # it has said goodbye
            case Tick():
                self._load = message.load
                self._rates.tick(now_ms)
                news = _tell(self._mirror.news())
                return [*news, self._report(), *self._answering.flush(now_ms)]
            case StartRun() | AbortRun() | DropRun() | ResendPrefixes() | Drain():
                return self._obey(message, now_ms)
            case BlocksChanged(changes):
                self._mirror.changed(changes)
                return []
            case Claimed():
                return self._answering.claimed(message, now_ms)
            case LogRead():
                return self._answering.log_read(message, now_ms)
            case Freed():
                return self._answering.freed(message, now_ms)
            case FinishStored():
                return self._answering.finish_stored(message)
            case Denied():
                return self._answering.denied(message, now_ms)
            case Fenced():
                return self._answering.fenced(message)
            case LogLost():
                return self._answering.log_lost(message)
            case Drain():
                return self._drain()
            case EngineReady():
                return self._ready(message)
            case HandBack():
                return self._hand_back(message)

    # the worker

    def _ready(self, message: EngineReady) -> list[Effect]:
        if self._info is not None:
            raise IllegalMessage("the engine is ready already")
        self._info = message.info
        self._answering.context_length = message.info.context_length
        if self._state == "starting":
            self._state = "ready"
        return [self._report()]

    def _drain(self) -> list[Effect]:
        if self._state in ("draining", "stopped"):
            return []
        self._state = "draining"
        return [self._report()]

    def _hand_back(self, message: HandBack) -> list[Effect]:
        if self._state == "stopped":
            return []
        effects: list[Effect] = []
        for run in tuple(self._roster.runs.values()):
            effects += self._roster.discard(run)
        return [*effects, *self._stop(message.reason)]

    def _stop(self, reason: str) -> list[Effect]:
        self._state = "stopped"
        gone = WorkerGone(worker=self._config.worker, incarnation=self._incarnation, reason=reason)
        return [self._report(), Tell(gone), Stop()]

    def _slots(self) -> int:
        if self._info is None:
            return self._config.slots
        return min(self._config.slots or self._info.slots, self._info.slots)

    def _report(self) -> Tell:
        self._number += 1
        info, config = self._info, self._config
        runs = tuple(
            RunningRun(
                run_id=run_id,
                attempt=run.attempt,
                tokens=len(run.committed.tokens),
                started=run.began,
            )
            for run_id, run in self._roster.runs.items()
        )
        return Tell(
            WorkerReport(
                worker=config.worker,
                pool=config.pool,
                model=config.model,
                incarnation=self._incarnation,
                number=self._number,
                state=self._state,
                slots=self._slots(),
                context_length=0 if info is None else info.context_length,
                engine="vllm" if info is None else info.kind,
                pid=config.pid,
                host=config.host,
                runs=runs,
                seen=self._seen,
                waiting=self._load.waiting,
                kv_used=self._load.kv_used,
                prefill_tokens_s=self._rates.prefill_tokens_s,
                decode_tokens_s=self._rates.decode_tokens_s,
                kv_tokens=0 if info is None else info.kv_tokens,
                pending_prefill=sum(
                    run.prefill
                    for run in self._roster.runs.values()
                    if run.sequence is Sequence.RUNNING
                ),
                prefixes=self._mirror.number,
                sight=None if info is None else info.sight,
            )
        )

    # commands

    def _obey(self, command: WorkerCommand, now_ms: int) -> list[Effect]:
        match command:
            case StartRun():
                return self._start(command, now_ms)
            case AbortRun():
                return self._abort(command, now_ms)
            case DropRun():
                return self._drop(command)
            case ResendPrefixes():
                return _tell(self._mirror.everything())
            case Drain():
                return self._drain()

    def _start(self, command: StartRun, now_ms: int) -> list[Effect]:
        spec, attempt = command.spec, command.attempt
        self._seen = max(self._seen, attempt)
        effects: list[Effect] = []
        known = self._roster.runs.get(spec.run_id)
        if known is not None:
            if known.attempt >= attempt:
                return []
            effects = self._roster.discard(known)
        closed_attempt, settled = self._roster.closed(spec.run_id)
        if closed_attempt >= attempt:
            if settled is not None and closed_attempt == attempt:
                return [Tell(settled)]
            return [self._rejected(spec.run_id, attempt, "given up before")]
        reason = self._refusal(command)
        if reason:
            return [*effects, self._rejected(spec.run_id, attempt, reason)]
        run = Run(spec=spec, attempt=attempt, answer=AnswerText(self._codec, spec.sampling))
        run.snapshot_ms = now_ms
        run.degraded = command.degraded
        self._roster.add(run)
        if command.expect_epoch == 0:
            effects += self._answering.engage(run, now_ms)
        return [*effects, ClaimLog(spec.run_id, attempt, command.expect_epoch)]

    def _refusal(self, command: StartRun) -> str:
        """Return why the worker can't take a run now, '' if it can."""
        if self._state != "ready":
            return self._state
        if command.spec.model != self._config.model:
            return f"serves {self._config.model}"
        return "full" if len(self._roster.runs) >= self._slots() else ""

    def _rejected(self, run_id: str, attempt: int, reason: str) -> Tell:
        return Tell(
            RunRejected(run_id=run_id, attempt=attempt, worker=self._config.worker, reason=reason)
        )

    def _abort(self, command: AbortRun, now_ms: int) -> list[Effect]:
        run = self._roster.runs.get(command.run_id)
        if run is None or run.attempt < command.attempt:
            closed_attempt, settled = self._roster.closed(command.run_id)
            if settled is not None and closed_attempt >= command.attempt:
                return [Tell(settled)]
            effects = [] if run is None else self._roster.discard(run)
            self._roster.close(command.run_id, command.attempt, None)
            return [*effects, self._rejected(command.run_id, command.attempt, "unknown")]
        if run.attempt > command.attempt or run.cancelled or run.outcome is not None:
            return []
        run.cancelled = True
        if run.sequence is Sequence.RUNNING:
            run.sequence = Sequence.FREEING
            return [AbortEngine(*run.key)]
        return self._answering.advance(run, now_ms)

    def _drop(self, command: DropRun) -> list[Effect]:
        run = self._roster.runs.get(command.run_id)
        if run is None or run.attempt > command.attempt:
            return []
        effects = self._roster.discard(run)
        self._roster.close(command.run_id, command.attempt, None)
        return effects


def _tell(messages: Iterable[PrefixChanged]) -> list[Effect]:
    return [Tell(message) for message in messages]

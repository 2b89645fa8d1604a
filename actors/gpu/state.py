"""What the gpu machine knows of a run."""

from dataclasses import dataclass, field
from enum import Enum, auto

import msgspec

from actors.gpu.text import AnswerText
from contracts.events import MessageDelta, RunEvent, RunRecovered, RunStarted
from contracts.log import LogEntry, LogSnapshot
from contracts.ports.text import TextCodec
from contracts.ports.token_log import LogState
from contracts.runs import (
    Degradation,
    FinishReason,
    RunOutcome,
    RunSpec,
    Sampling,
    TokenLogprob,
    Usage,
)

MARKS_MAX = 64


class Phase(Enum):
    """Where a run stands with its log."""

    CLAIMING = auto()
    READING = auto()
    WRITING = auto()
    FINISHING = auto()


class Sequence(Enum):
    """Where a run stands with the engine."""

    NONE = auto()
    RUNNING = auto()
    FREEING = auto()


@dataclass(slots=True)
class Unwritten:
    """What the next entry will carry."""

    tokens: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)


@dataclass(slots=True)
class Committed:
    """What the log holds."""

    tokens: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    next_seq: int = 1
    marks: list[tuple[int, int]] = field(default_factory=list)
    started: RunEvent | None = None
    started_seq: int = 0
    last_at_ms: int = 0

    def add(self, entry: LogEntry, stream_seq: int) -> None:
        """Take in an entry that is committed now."""
        self.tokens += entry.tokens
        for place, event in enumerate(entry.events, entry.seq):
            if isinstance(event, MessageDelta):
                self.text.append(event.delta)
            elif isinstance(event, RunStarted):
                self.started, self.started_seq = event, place
        if entry.events and not self.marks:
            self.marks.append((entry.seq, stream_seq))
        self.next_seq = entry.next_seq
        self.last_at_ms = entry.at_ms

    def mark(self, seq: int, stream_seq: int) -> None:
        """Remember the entry that begins with event `seq` as a place to replay from; every
        second place is given up when there are too many."""
        if not self.marks or self.marks[-1][0] < seq:
            self.marks.append((seq, stream_seq))
        if len(self.marks) > MARKS_MAX:
            self.marks = self.marks[::2]

    def snapshot(self, stream_seq: int, now_ms: int) -> LogSnapshot:
        """Return all so far; `stream_seq` is the last entry's."""
        return LogSnapshot(
            seq=self.next_seq - 1,
            stream_seq=stream_seq,
            text="".join(self.text),
            tokens=tuple(self.tokens),
            marks=tuple(self.marks),
            started=self.started,
            started_seq=self.started_seq,
            at_ms=now_ms,
        )


@dataclass(slots=True)
class Run:
    """One attempt at one run. `replay` counts the committed tokens that the engine must
    produce again before anything new comes; `offset` is how many committed tokens were part
    of its prompt; `received` counts what it produced; `prefill` are the tokens that it is
    expected to compute before; `prompt_length` what it makes of the prompt, at the most until it
    has told."""

    spec: RunSpec
    attempt: int
    answer: AnswerText
    phase: Phase = Phase.CLAIMING
    sequence: Sequence = Sequence.NONE
    epoch: int = 0
    committed: Committed = field(default_factory=Committed)
    unwritten: Unwritten = field(default_factory=Unwritten)
    in_flight: LogEntry | None = None
    outcome: RunOutcome | None = None
    cancelled: bool = False
    successor: bool = False
    announced: bool = False
    began: bool = False
    replay: int = 0
    received: int = 0
    tokens: int = 0
    cached_tokens: int = 0
    prefill: int = 0
    engine_started_ms: int = 0
    snapshot_ms: int = 0
    degraded: tuple[Degradation, ...] = ()
    prompt_length: int = field(init=False)

    def __post_init__(self) -> None:
        self.prompt_length = self.spec.prompt_length

    @property
    def key(self) -> tuple[str, int]:
        """The names that an effect of this run carries."""
        return self.spec.run_id, self.attempt

    def usage(self) -> Usage:
        """Return the counts of the run as it stands."""
        prompt = self.prompt_length
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=self.tokens,
            cached_tokens=min(self.cached_tokens, prompt),
            degraded=self.degraded,
        )

    def adopt(self, log: LogState, codec: TextCodec) -> tuple[str, bool] | None:
        """Stand where the log ends: return text that the tokens give and the log lacks, and
        whether the answer is complete with it. None: tokens and text contradict each other."""
        self.tokens = len(log.tokens)
        self.committed = Committed(
            tokens=list(log.tokens),
            text=[log.text],
            next_seq=log.next_seq,
            started=log.started,
            started_seq=log.started_seq,
            last_at_ms=log.last_at_ms,
        )
        if isinstance(log.started, RunStarted):
            self.successor = True
            self.cached_tokens = log.started.cached_tokens
        self.answer = AnswerText(codec, self.spec.sampling)
        step = self.answer.push(log.tokens)
        if step.accepted != len(log.tokens) or not step.text.startswith(log.text):
            return None
        return step.text[len(log.text) :], step.stopped

    def next_entry(self, now_ms: int, *, message_id: str) -> LogEntry:
        """Return the entry that carries everything unwritten, and the end if there is one."""
        events: list[RunEvent] = []
        if self.unwritten.tokens and not self.announced:
            events.append(self._opening(now_ms, message_id))
            self.announced = True
        text = "".join(self.unwritten.text)
        if text:
            events.append(MessageDelta(delta=text))
        entry = LogEntry(
            epoch=self.epoch,
            seq=self.committed.next_seq,
            events=tuple(events),
            tokens=tuple(self.unwritten.tokens),
            offset=len(self.committed.tokens),
            at_ms=now_ms,
            end=self.outcome,
            logprobs=tuple(self.unwritten.logprobs),
        )
        self.unwritten = Unwritten()
        return entry

    def _opening(self, now_ms: int, message_id: str) -> RunEvent:
        if self.successor:
            return RunRecovered(gap_ms=max(0, now_ms - self.committed.last_at_ms))
        return RunStarted(
            model=self.spec.model,
            message_id=message_id,
            cached_tokens=min(self.cached_tokens, self.prompt_length),
            left_out=self.spec.left_out or msgspec.UNSET,
        )


def must_replay(sampling: Sampling) -> bool:
    """Say whether an answer can't be continued from its tokens alone: a seeded draw has a
    state, presence and frequency penalties count output tokens, not the prompt's, and a guide
    begins with the output."""
    seeded = sampling.temperature > 0 and sampling.seed is not None
    if sampling.guide is not None:
        return True
    return seeded or sampling.presence_penalty != 0 or sampling.frequency_penalty != 0


def finish_without_engine(
    tokens: int, sampling: Sampling, room: int, *, stopped: bool
) -> FinishReason | None:
    """Return how an answer of `tokens` committed tokens ends if it needs no further one;
    `room` is what the model's window leaves after the prompt."""
    if stopped:
        return "stop"
    return "length" if tokens >= min(sampling.max_tokens, room) else None

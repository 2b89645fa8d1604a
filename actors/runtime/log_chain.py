"""The chain of a run's entries: what follows what was seen, decided without I/O.

Entries are contiguous by `seq`; an entry seen before (a retry, a live message that a read
overtook) adds nothing; an entry from further on is a gap, and is not taken. Only who has seen
nothing yet may begin with the log that was begun anew (ADR 0030): its first number is higher
than any that was given out before, so that to everybody else it is a gap.
"""

from contracts.errors import LogGone
from contracts.events import (
    MessageDelta,
    NumberedEvent,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunStarted,
    Terminal,
)
from contracts.log import LogEntry, LogSnapshot
from contracts.ports.token_log import LogBatch, LogState
from contracts.runs import RunOutcome, TokenLogprob

_TERMINAL = (RunCompleted, RunCancelled, RunFailed)


class LogChain:
    """What one reader has seen, and what it has not handed on yet.

    Invariants: the numbered events that `take` returns over time are next_seq,
    next_seq + 1, … without gap or duplicate; after a terminal event none follows.

    `positions` are the stream sequences that it has come to in the places of the log: at home,
    and in the sibling partition's stream (ADR 0028), where it may go on.

    Args:
        next_seq: the place of the first event wanted, from 1.
    """

    def __init__(self, next_seq: int) -> None:
        self.next_seq = next_seq
        self.positions = [0, 0]
        self.ended = False
        self.finished = False
        self._epochs = [0, 0]
        self._events: list[NumberedEvent] = []
        self._tokens = 0
        self._end: RunOutcome | None = None
        self._logprobs: list[tuple[int, TokenLogprob]] = []
        self._told = 0 if next_seq == 1 else None

    def offer(self, entry: LogEntry, stream_seq: int, place: int = 0) -> bool:
        """Take an entry of `place` (0: home, 1: the sibling) if it is next; return False for a
        gap (it was not taken).

        Raises LogGone if it tells another story than the one begun: the stream was lost and
        made anew.
        """
        if self.next_seq == 1 and entry.begins_anew:
            self.next_seq = entry.seq
        if entry.seq > self.next_seq or not self._take_logprobs(entry):
            return False
        fresh = entry.next_seq - self.next_seq
        if fresh < 0 or (fresh == 0 and (entry.end is None or self.ended)):
            self.positions[place] = max(self.positions[place], stream_seq)
            self.finished = bool(entry.events) and isinstance(entry.events[-1], _TERMINAL)
            return True
        if stream_seq <= self.positions[place] or entry.epoch < self._epochs[place]:
            raise LogGone("the log was lost and begun again")
        self.positions[place] = stream_seq
        self._epochs[place] = entry.epoch
        if fresh:
            events = entry.events if fresh == len(entry.events) else entry.events[-fresh:]
            number = self.next_seq
            for event in events:
                self._events.append(NumberedEvent(seq=number, event=event))
                number += 1
            self.next_seq = number
            self._tokens += len(entry.tokens)
            self.finished = isinstance(events[-1], _TERMINAL)
        if entry.end is not None and not self.ended:
            self.ended = True
            self._end = entry.end
        return True

    def _take_logprobs(self, entry: LogEntry) -> bool:
        """Take what the entry says of tokens not told yet; False if it leaves out some: an
        entry without events was missed, which its number does not show."""
        if self._told is None or not (entry.logprobs or self._told):
            return True
        if entry.offset > self._told:
            return False
        fresh = self._told - entry.offset
        if entry.logprobs:
            self._logprobs += zip(entry.tokens[fresh:], entry.logprobs[fresh:], strict=True)
            self._told = max(self._told, entry.offset + len(entry.tokens))
        return True

    def begin_with(self, snapshot: LogSnapshot, shown: list[NumberedEvent]) -> None:
        """Start from a snapshot: `shown` stands for all events up to its `seq`."""
        self.next_seq = snapshot.seq + 1
        self.positions[0] = snapshot.stream_seq
        self._events.extend(shown)
        self._tokens += len(snapshot.tokens)
        self._told = None

    def take(self) -> LogBatch | None:
        """Return what came since the last call, None if nothing did."""
        if not self._events and self._end is None:
            return None
        batch = LogBatch(self._events, self._tokens, self._end, self._logprobs)
        self._events, self._tokens, self._end, self._logprobs = [], 0, None, []
        return batch


class LogFold:
    """All of a run, added up from its first entry on, or from a snapshot."""

    def __init__(self, snapshot: LogSnapshot | None = None) -> None:
        begun = snapshot or LogSnapshot(seq=0, stream_seq=0, text="")
        self._next_seq = begun.seq + 1
        self._text = [begun.text]
        self._tokens = list(begun.tokens)
        self._end: RunOutcome | None = None
        self._terminal: Terminal | None = None
        self._started = begun.started if isinstance(begun.started, RunStarted) else None
        self._started_seq = begun.started_seq
        self._last_at_ms = begun.at_ms

    def add(self, entry: LogEntry) -> None:
        """Add the next entry; one seen before adds nothing. Raises LogGone for a hole."""
        if self._next_seq == 1 and entry.begins_anew:
            self._next_seq = entry.seq
        if entry.seq > self._next_seq:
            raise LogGone(f"events {self._next_seq} to {entry.seq - 1} are gone")
        if entry.tokens and entry.offset > len(self._tokens):
            raise LogGone(f"tokens {len(self._tokens)} to {entry.offset - 1} are gone")
        fresh = entry.events[self._next_seq - entry.seq :]
        for place, event in enumerate(fresh, self._next_seq):
            self._add_event(place, event)
        self._next_seq = max(self._next_seq, entry.next_seq)
        self._tokens.extend(entry.tokens[max(0, len(self._tokens) - entry.offset) :])
        self._end = self._end or entry.end
        self._last_at_ms = max(self._last_at_ms, entry.at_ms)

    def _add_event(self, place: int, event: RunEvent) -> None:
        if isinstance(event, MessageDelta):
            self._text.append(event.delta)
        elif isinstance(event, RunStarted):
            if self._started is None:
                self._started, self._started_seq = event, place
        elif isinstance(event, _TERMINAL):
            self._terminal = event

    def state(self) -> LogState:
        """Return the sum."""
        return LogState(
            next_seq=self._next_seq,
            text="".join(self._text),
            tokens=tuple(self._tokens),
            end=self._end,
            terminal=self._terminal,
            started=self._started,
            started_seq=self._started_seq,
            last_at_ms=self._last_at_ms,
        )

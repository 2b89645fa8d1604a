"""The token log: one durable, fenced story a run, and readers that join at any age."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.events import NumberedEvent, RunStarted, Terminal
from contracts.log import ANEW_MIN, Claim, LogEntry, LogSnapshot
from contracts.runs import RunOutcome, TokenLogprob


@dataclass(frozen=True, slots=True)
class LogState:
    """A run's log, read to its end: `next_seq` is the place of the next event, `text` and
    `tokens` all that is committed, `end` how the worker ended (None: it hasn't), `terminal`
    the terminal event if one was written, `started` the first `run.started` and
    `started_seq` its place (0: none), `last_at_ms` the time of the newest entry."""

    next_seq: int = 1
    text: str = ""
    tokens: tuple[int, ...] = ()
    end: RunOutcome | None = None
    terminal: Terminal | None = None
    started: RunStarted | None = None
    started_seq: int = 0
    last_at_ms: int = 0

    @property
    def anew(self) -> bool:
        """Whether the log was begun anew (ADR 0030), perhaps after the run's end."""
        return self.next_seq > ANEW_MIN


class RunWriter(Protocol):
    """The right to write a run's log, until another claims it."""

    @property
    def epoch(self) -> int:
        """The stream sequence of the claim; grows when the writer renews it."""
        ...

    @property
    def moved(self) -> bool:
        """Whether the log goes on in its sibling (ADR 0028), and `epoch` is a claim of that."""
        ...

    @property
    def attempt(self) -> int:
        """The attempt under which it was made."""
        ...

    @property
    def first_seq(self) -> int:
        """The number that the first event of this log must have, should it be empty: 1, or one
        above all that readers may have been told of what the streams have dropped since."""
        ...

    async def append(self, entry: LogEntry) -> int:
        """Commit one entry and return its stream sequence. One at a time: await it before
        the next. An append whose acknowledgement was lost is retried and settled by
        reading. Should a broken connection deliver it once more after that, the repetition
        is the same entry, and who reads the log skips it.

        Raises Fenced (stop at once), BusUnavailable (after the caller's patience; the log
        must be read before anything else is written), LogGone.
        """
        ...

    async def snapshot(self, snapshot: LogSnapshot) -> None:
        """Commit all so far, fenced likewise; losing one only makes late readers slower."""
        ...


class TokenLog(Protocol):
    """Claims, reads and follows run logs."""

    async def claim(
        self,
        run_id: str,
        *,
        writer: str,
        attempt: int,
        expect_epoch: int | None,
        moved: bool = False,
    ) -> RunWriter:
        """Take over the writing of a run.

        `expect_epoch`: the claim believed current (0: none), which saves a read; who names one
        vouches that its writer has written all it will. None: read it from the leader first.
        An attempt never replaces a higher one. `moved`: the claim named is one of the sibling.
        Who names none, and finds nothing of a run so old that its streams may have dropped it,
        begins the log anew, with an entry that says so, unless it comes to close the run.

        Raises Fenced (a higher attempt holds it, or `expect_epoch` was wrong), BusUnavailable.
        """
        ...

    async def read_claim(self, run_id: str) -> tuple[int, Claim] | None:
        """Return epoch and claim as the leader knows them; None: never claimed."""
        ...

    async def read(self, run_id: str) -> LogState:
        """Return all that is committed. Raises LogGone if entries are missing (aged out) and no
        snapshot stands for them."""
        ...

    def follow(self, run_id: str, *, after: int | None) -> "LogReader":
        """Open a reader. `after` None: from the start, where a snapshot may stand for what is
        old; n ≥ 0: exactly the events n + 1, n + 2, …"""
        ...


class LogReader(Protocol):
    """One reader of one run. Use as an async context manager: entering returns when the
    subscription is known to the server, so a run submitted afterwards loses nothing."""

    async def __aenter__(self) -> "LogReader": ...

    async def __aexit__(self, *exc: object) -> None: ...

    def batches(self) -> AsyncIterator["LogBatch"]:
        """Yield what is committed, in order, without gap or duplicate, as it comes; several
        entries that waited come together. Ends after a terminal event, or after the end
        entry of a run without a chat (`end` set). Waits while the log is unreachable.

        Raises LogGone if what it needs has aged out: serve from history.
        """
        ...


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Numbered events, and the worker's end if it is among them. `tokens` counts the output
    tokens that they carry; `logprobs` are those of tokens whose text has come, each with its
    token, complete for a reader that joined at the start."""

    events: Sequence[NumberedEvent]
    tokens: int = 0
    end: RunOutcome | None = None
    logprobs: Sequence[tuple[int, TokenLogprob]] = ()

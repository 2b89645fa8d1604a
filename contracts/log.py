"""The records of a run's token log (ADR 0002).

Three subjects of one stream hold a run: `claim` (who may write), `d` (what was written) and
`snap` (all so far). A writer's epoch is the stream sequence of its claim; the server
refuses entries that carry an older one.
"""

from contracts.base import Wire
from contracts.events import MessageSnapshot, RunEvent
from contracts.runs import RunOutcome, TokenLogprob

CLOSING_ATTEMPT = 1 << 62
"""The attempt number of a claim that closes a run: none may claim after it but another
closing one."""

ANEW_MIN = 1 << 40
"""More events than any log has, and fewer than the number with which one begins anew."""


def seq_anew(now_ms: int) -> int:
    """Return the number of the first event of a log that is begun anew at `now_ms` (ADR 0030).

    It is above every number given out before, unless 1,024 events were written in each
    millisecond, or the clocks of two hosts differ by as long as a stream keeps anything; and
    below 2**53, so that JavaScript counts it exactly, until the year 2248.
    """
    return now_ms << 10


class Claim(Wire):
    """A writer's claim. `attempt` grows with each dispatch; a lower one never follows a
    higher. `claim_id` tells one's own claim, whose acknowledgement was lost, from another by
    the same writer. `first` is the stream sequence of the run's first claim; 0 in that claim
    itself, and where the claimer did not read it."""

    writer: str
    attempt: int
    first: int = 0
    at_ms: int = 0
    claim_id: str = ""


class LogEntry(Wire):
    """One committed step of a run.

    `seq` is the place of the first of `events`; they are numbered seq, seq + 1, …, and the
    next entry begins after the last of them. `tokens` are the ids that this step adds,
    the first of them being output token number `offset`; text of held-back tokens (half a
    character, the possible start of a stop string) appears in a later entry. `end` marks
    the last entry of the worker: tokens end here; for a chat the terminal event follows in
    an entry of the session, for an API run this is the end. `logprobs`, where the run asks
    for them, has one for each of `tokens`.
    """

    epoch: int
    seq: int
    events: tuple[RunEvent, ...] = ()
    tokens: tuple[int, ...] = ()
    offset: int = 0
    at_ms: int = 0
    end: RunOutcome | None = None
    logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def next_seq(self) -> int:
        """The place of the first event of the entry that follows."""
        return self.seq + len(self.events)

    @property
    def begins_anew(self) -> bool:
        """Whether what the log told before is void: it begins with this entry, and nothing."""
        return bool(self.events) and type(self.events[0]) is MessageSnapshot


class LogSnapshot(Wire):
    """All of a run up to and including event `seq`: what its last entry was (by stream
    sequence), its text and its tokens. `marks` are pairs (event seq, stream sequence of the
    entry that begins with it), ascending, from which an exact replay may start."""

    seq: int
    stream_seq: int
    text: str
    tokens: tuple[int, ...] = ()
    marks: tuple[tuple[int, int], ...] = ()
    started: RunEvent | None = None
    started_seq: int = 0
    at_ms: int = 0

"""An entry that stands in the log again, at once or later, changes nothing for who reads it.

A paused server may store what a broken connection had sent after the writer, on its next
connection, found the entry missing and sent it again.
"""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.log_chain import LogChain, LogFold
from contracts.events import MessageDelta, NumberedEvent, RunEvent
from contracts.log import LogEntry
from contracts.ports.token_log import LogState
from tests.support.log_writing import COMPLETED, STARTED, STOPPED

Steps = Sequence[tuple[int, int]]


def story(steps: Steps) -> list[LogEntry]:
    """Entries of (deltas, tokens) each, as one worker writes them; a step may hold its text
    back."""
    entries: list[LogEntry] = []
    seq, offset = 1, 0
    for number, (deltas, tokens) in enumerate(steps):
        events: tuple[RunEvent, ...] = (STARTED,) if number == 0 else ()
        events += tuple(MessageDelta(delta=f"{seq}.{n} ") for n in range(deltas))
        added = tuple(range(offset, offset + tokens))
        last = number == len(steps) - 1
        entry = LogEntry(
            epoch=1,
            seq=seq,
            events=events,
            tokens=added,
            offset=offset,
            end=STOPPED if last else None,
        )
        entries.append(entry)
        seq, offset = entry.next_seq, offset + tokens
    return [*entries, LogEntry(epoch=2, seq=seq, events=(COMPLETED,))]


def folded(entries: Sequence[LogEntry]) -> LogState:
    fold = LogFold()
    for entry in entries:
        fold.add(entry)
    return fold.state()


def followed(entries: Sequence[LogEntry]) -> list[NumberedEvent]:
    chain = LogChain(1)
    seen: list[NumberedEvent] = []
    for stream_seq, entry in enumerate(entries, start=1):
        if not chain.finished:
            assert chain.offer(entry, stream_seq)
        if (batch := chain.take()) is not None:
            seen += batch.events
    assert chain.finished
    return seen


steps = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=8)


@given(steps, st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9)), max_size=6))
def test_repeated_entries_add_nothing_to_a_log(
    said: Steps, repeats: Sequence[tuple[int, int]]
) -> None:
    entries = story(said)
    stored = list(entries)
    for which, later in repeats:
        entry = entries[which % (len(entries) - 1)]
        first = stored.index(entry)
        # The claim that closes a run refuses what its worker sent late.
        stored.insert(min(first + 1 + later, len(stored) - 1), entry)
    assert folded(stored) == folded(entries)
    assert followed(stored) == followed(entries)

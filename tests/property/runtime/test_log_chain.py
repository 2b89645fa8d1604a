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
from contracts.runs import RunOutcome, TokenLogprob
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


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.data())
def test_likelihoods_are_told_once_each_whatever_is_missed(
    sizes: list[int], data: st.DataObject
) -> None:
    """An entry of held-back text has tokens and no event: its number does not show a gap."""
    entries: list[LogEntry] = []
    offset, seq = 0, 1
    sizes = [max(1, sizes[0]), *sizes[1:]]
    for place, size in enumerate(sizes):
        events = (MessageDelta(delta="x"),) if place % 2 == 0 else ()
        entries.append(
            LogEntry(
                epoch=1,
                seq=seq,
                events=events,
                tokens=tuple(range(offset, offset + size)),
                offset=offset,
                logprobs=tuple(TokenLogprob(-float(n)) for n in range(offset, offset + size)),
            )
        )
        offset, seq = offset + size, seq + len(events)
    entries.append(LogEntry(epoch=1, seq=seq, end=RunOutcome(finish_reason="stop"), offset=offset))
    chain = LogChain(1)
    told: list[tuple[int, TokenLogprob]] = []
    heard = data.draw(st.lists(st.integers(0, len(entries) - 1), max_size=12))
    for place in [*heard, *range(len(entries))]:
        if not chain.offer(entries[place], place + 1):
            continue
        batch = chain.take()
        told += batch.logprobs if batch is not None else ()
    assert chain.ended
    assert [token for token, _ in told] == list(range(offset))
    assert all(each.logprob == -float(token) for token, each in told)

"""A log of which the streams may have dropped everything begins anew (ADR 0030)."""

import os

import pytest

from actors.runtime.clock import SystemClock
from actors.runtime.token_log import KEPT_MS, BusTokenLog
from contracts.errors import LogGone
from contracts.events import MessageSnapshot
from contracts.ids import ENTROPY_BYTES, make_id
from contracts.log import CLOSING_ATTEMPT, LogEntry, seq_anew
from ops.streams import LOG_MAX_AGE_S
from tests.support.log_writing import COMPLETED, STARTED, STOPPED, Script, collect, text


def aged(seconds: int) -> str:
    """Return a run that was made so long ago."""
    return make_id("run", SystemClock().now_ms() - seconds * 1_000, os.urandom(ENTROPY_BYTES))


@pytest.fixture
def run_id() -> str:
    """A run of an hour ago."""
    return aged(3_600)


async def begun_anew(log: BusTokenLog, run_id: str) -> Script:
    """Claim as who comes after one of whom nothing is left."""
    writer = await log.claim(run_id, writer="w", attempt=2, expect_epoch=None)
    state = await log.read(run_id)
    assert (state.text, state.tokens, state.end) == ("", (), None)
    return Script(writer, state.next_seq)


async def test_log_begun_anew_has_higher_numbers_than_any_before(
    log: BusTokenLog, run_id: str
) -> None:
    before = seq_anew(SystemClock().now_ms() - 60_000)
    script = await begun_anew(log, run_id)
    assert before < script.next_seq < 2**53
    await script.write(STARTED)
    assert (await log.read(run_id)).started == STARTED


@pytest.mark.parametrize("after", [0, None])
async def test_reader_without_a_place_is_told_that_all_before_is_void(
    log: BusTokenLog, run_id: str, after: int | None
) -> None:
    script = await begun_anew(log, run_id)
    await script.write(STARTED)
    await script.say("new ", "words")
    await script.write(end=STOPPED)
    await script.write(COMPLETED)
    async with log.follow(run_id, after=after) as reader:
        batches = await collect(reader)
    events = [event for batch in batches for event in batch.events]
    assert events[0].event == MessageSnapshot(text="")
    assert [event.seq for event in events] == list(range(events[0].seq, events[0].seq + 5))
    assert text(batches) == "new words"


@pytest.mark.parametrize("after", [1, 3, 40])
async def test_reader_with_an_old_place_is_told_that_the_log_is_gone(
    log: BusTokenLog, run_id: str, after: int
) -> None:
    script = await begun_anew(log, run_id)
    await script.write(STARTED)
    await script.say(*"abcdefgh")
    async with log.follow(run_id, after=after) as reader:
        with pytest.raises(LogGone):
            await collect(reader)


async def test_successor_of_a_log_begun_anew_goes_on_with_it(log: BusTokenLog, run_id: str) -> None:
    script = await begun_anew(log, run_id)
    await script.write(STARTED)
    await script.say("a", "b")
    await log.claim(run_id, writer="next", attempt=3, expect_epoch=None)
    state = await log.read(run_id)
    assert (state.text, state.next_seq) == ("ab", script.next_seq)


async def test_closer_of_an_empty_log_writes_nothing_and_knows_its_number(
    log: BusTokenLog, run_id: str
) -> None:
    closer = await log.claim(run_id, writer="s", attempt=CLOSING_ATTEMPT, expect_epoch=None)
    assert (await log.read(run_id)).next_seq == 1
    await closer.append(LogEntry(epoch=closer.epoch, seq=closer.first_seq, events=(COMPLETED,)))
    async with log.follow(run_id, after=1) as reader:
        with pytest.raises(LogGone):
            await collect(reader)


async def test_first_worker_is_believed_no_longer_than_claims_are_kept(
    log: BusTokenLog, run_id: str
) -> None:
    """It was stopped since it was told to begin: others may have come and gone."""
    late = await log.claim(run_id, writer="w", attempt=1, expect_epoch=0)
    with pytest.raises(LogGone):
        await late.append(LogEntry(epoch=late.epoch, seq=1, events=(STARTED,)))
    assert (await log.read(run_id)).next_seq == late.first_seq + 1


async def test_entry_that_would_begin_a_log_whose_entries_were_just_dropped_is_refused(
    log: BusTokenLog, run_id: str
) -> None:
    first = await begun_anew(log, run_id)
    await first.write(STARTED)
    second = await log.claim(run_id, writer="next", attempt=3, expect_epoch=None)
    with pytest.raises(LogGone):
        await second.append(LogEntry(epoch=second.epoch, seq=1, events=(STARTED,)))


def test_log_and_streams_agree_on_how_long_entries_are_kept() -> None:
    assert KEPT_MS == LOG_MAX_AGE_S * 1_000

"""Claims, fences, lost answers, reads."""

from dataclasses import replace
from typing import cast

import pytest

from actors.runtime.clock import SystemClock
from actors.runtime.log_place import Claimer, Hold, home_of
from actors.runtime.log_writer import BusRunWriter
from actors.runtime.token_log import BusTokenLog
from contracts.codec import decode
from contracts.errors import Fenced, LogGone
from contracts.events import MessageDelta
from contracts.log import CLOSING_ATTEMPT, LogEntry, LogSnapshot
from contracts.ports.bus import Bus
from contracts.ports.token_log import LogState
from contracts.subjects import token_claims, token_entries, token_partition, token_stream
from ops.streams import stream_specs
from tests.support.log_writing import COMPLETED, STARTED, STOPPED, Script
from tests.support.lossy_bus import LossyBus


async def claim(log: BusTokenLog, run_id: str, attempt: int, expect: int | None) -> Script:
    writer = await log.claim(
        run_id,
        writer=f"w{attempt}",
        attempt=attempt,
        expect_epoch=expect,
    )
    return Script(writer)


async def stored(bus: Bus, run_id: str) -> list[LogEntry]:
    stream = token_stream(token_partition(run_id))
    found = await bus.range(stream, token_entries(run_id), from_seq=1, limit=100)
    return [decode(s.data, LogEntry) for s in found]


async def test_read_of_a_run_never_claimed_is_empty(log: BusTokenLog, run_id: str) -> None:
    assert await log.read_claim(run_id) is None
    assert await log.read(run_id) == LogState()


async def test_read_adds_up_all_that_is_committed(log: BusTokenLog, run_id: str) -> None:
    script = await claim(log, run_id, 1, 0)
    await script.write(STARTED)
    await script.say("one ", "two ")
    await script.write(tokens=1)  # held back
    await script.write(MessageDelta(delta="three"), tokens=2, end=STOPPED)
    await script.write(COMPLETED)
    state = await log.read(run_id)
    assert state.text == "one two three"
    assert state.tokens == (0, 1, 2, 3, 4)
    assert (state.next_seq, state.end, state.terminal) == (6, STOPPED, COMPLETED)
    assert state.started == STARTED
    assert state.last_at_ms == 5


async def test_successor_fences_the_old_writer(log: BusTokenLog, run_id: str) -> None:
    old = await claim(log, run_id, 1, 0)
    await old.say("kept ")
    new = await claim(log, run_id, 2, None)
    assert new.writer.epoch > old.writer.epoch
    with pytest.raises(Fenced):
        await old.say("zombie")
    state = await log.read(run_id)
    assert (state.text, state.next_seq) == ("kept ", 2)
    await Script(new.writer, next_seq=2, offset=1).say("on")
    assert (await log.read(run_id)).text == "kept on"


async def test_claim_with_a_wrong_expectation_is_fenced(log: BusTokenLog, run_id: str) -> None:
    first = await claim(log, run_id, 1, 0)
    with pytest.raises(Fenced):
        await claim(log, run_id, 2, 0)
    second = await claim(log, run_id, 2, first.writer.epoch)
    found = await log.read_claim(run_id)
    assert found is not None
    assert found[0] == second.writer.epoch


async def test_claim_below_the_standing_attempt_is_fenced(log: BusTokenLog, run_id: str) -> None:
    await claim(log, run_id, CLOSING_ATTEMPT, None)
    with pytest.raises(Fenced):
        await claim(log, run_id, 7, None)
    again = await claim(log, run_id, CLOSING_ATTEMPT, None)
    await again.say("x")


async def test_claim_carries_the_first_claim_along(log: BusTokenLog, run_id: str) -> None:
    first = await claim(log, run_id, 1, None)
    for attempt in (2, 3):
        await claim(log, run_id, attempt, None)
    found = await log.read_claim(run_id)
    assert found is not None
    assert (found[1].first, found[1].attempt) == (first.writer.epoch, 3)


@pytest.mark.parametrize("loss", ["answer", "message"])
async def test_append_with_a_lost_answer_is_committed_once(
    bus: Bus, run_id: str, loss: str
) -> None:
    lossy = LossyBus(bus, [])
    script = await claim(BusTokenLog(cast("Bus", lossy), SystemClock()), run_id, 1, 0)
    await script.say("a")
    lossy.plan = [loss, loss]  # type: ignore[list-item]
    await script.say("b")
    lossy.plan = []
    await script.say("c")
    entries = await stored(bus, run_id)
    assert [entry.seq for entry in entries] == [1, 2, 3]
    last = await bus.last(token_stream(token_partition(run_id)), token_entries(run_id))
    assert last is not None
    assert script.last_seq == last.seq


async def test_append_with_a_lost_answer_under_an_old_claim_is_fenced(
    log: BusTokenLog, bus: Bus, run_id: str
) -> None:
    lossy = LossyBus(bus, [])
    script = await claim(BusTokenLog(cast("Bus", lossy), SystemClock()), run_id, 1, 0)
    await claim(log, run_id, 2, None)
    lossy.plan = ["message"]
    with pytest.raises(Fenced):
        await script.say("zombie")
    assert await stored(bus, run_id) == []


@pytest.mark.parametrize("loss", ["answer", "message"])
@pytest.mark.parametrize("expect", [0, None])
async def test_claim_with_a_lost_answer_is_made_once(
    bus: Bus, run_id: str, loss: str, expect: int | None
) -> None:
    lossy = LossyBus(bus, [loss])  # type: ignore[list-item]
    script = await claim(BusTokenLog(cast("Bus", lossy), SystemClock()), run_id, 1, expect)
    stream = token_stream(token_partition(run_id))
    claims = await bus.range(stream, token_claims(run_id), from_seq=1, limit=9)
    assert [c.seq for c in claims] == [script.writer.epoch]
    await script.say("x")


async def test_append_to_a_log_without_its_claim_is_gone(bus: Bus, run_id: str) -> None:
    home = Hold(bus, home_of(run_id), 12345, first=True)
    claimer = Claimer(bus, SystemClock(), "w", 1)
    script = Script(BusRunWriter(claimer, SystemClock(), home))
    with pytest.raises(LogGone):
        await script.say("x")


async def test_claim_renewed_in_time_lets_an_answer_outlive_what_the_stream_keeps(
    bus: Bus, run_id: str
) -> None:
    log = BusTokenLog(bus, SystemClock(), renew_ms=0)
    name = token_stream(token_partition(run_id))
    spec = next(spec for spec in stream_specs() if spec.name == name)
    script = await claim(log, run_id, 1, 0)
    first_epoch = script.writer.epoch
    try:
        await script.write(STARTED)
        await script.say("one ", "two ", "three ")
        await script.writer.snapshot(
            LogSnapshot(
                seq=4,
                stream_seq=script.last_seq,
                text="one two three ",
                tokens=(0, 1, 2),
                started=STARTED,
                started_seq=1,
            )
        )
        await bus.declare(replace(spec, max_msgs=5))
        await script.say("four")
        assert len(await stored(bus, run_id)) < 5
        state = await log.read(run_id)
        assert (state.text, state.tokens) == ("one two three four", (0, 1, 2, 3))
        assert (state.next_seq, state.started, state.started_seq) == (6, STARTED, 1)
        found = await log.read_claim(run_id)
        assert found is not None
        assert found[0] == script.writer.epoch > first_epoch
        assert found[1].attempt == 1
    finally:
        await bus.declare(spec)


async def test_read_without_a_snapshot_of_what_aged_out_is_gone(bus: Bus, run_id: str) -> None:
    log = BusTokenLog(bus, SystemClock(), renew_ms=0)
    name = token_stream(token_partition(run_id))
    spec = next(spec for spec in stream_specs() if spec.name == name)
    script = await claim(log, run_id, 1, 0)
    try:
        await script.write(tokens=1)
        await bus.declare(replace(spec, max_msgs=2))
        await script.write(tokens=1)
        with pytest.raises(LogGone):
            await log.read(run_id)
    finally:
        await bus.declare(spec)


async def test_renewal_after_a_takeover_is_fenced(log: BusTokenLog, bus: Bus, run_id: str) -> None:
    old = await claim(BusTokenLog(bus, SystemClock(), renew_ms=0), run_id, 1, 0)
    await old.say("kept ")
    await claim(log, run_id, 2, None)
    with pytest.raises(Fenced):
        await old.say("zombie")
    assert (await log.read(run_id)).text == "kept "


async def test_young_run_begins_at_one_whoever_claims_it(log: BusTokenLog, run_id: str) -> None:
    writer = await log.claim(run_id, writer="w", attempt=2, expect_epoch=None)
    assert writer.first_seq == 1
    assert (await log.read(run_id)).next_seq == 1

"""Readers that join at any age."""

import asyncio
import random

import pytest

from actors.runtime.clock import SystemClock
from actors.runtime.token_log import BusTokenLog
from contracts.errors import Fenced, LogGone
from contracts.events import MessageDelta, MessageSnapshot, RunStarted
from contracts.log import LogSnapshot
from contracts.ports.bus import Bus
from contracts.ports.token_log import LogBatch
from tests.integration.token_log.conftest import Connect
from tests.support.log_writing import (
    COMPLETED,
    STARTED,
    STOPPED,
    Script,
    collect,
    numbers,
    text,
)

WORDS = [f"w{number} " for number in range(40)]


async def begin(log: BusTokenLog, run_id: str) -> Script:
    return Script(await log.claim(run_id, writer="w", attempt=1, expect_epoch=0))


async def tell(script: Script, pause_s: float = 0.0) -> None:
    await script.write(STARTED)
    for word in WORDS:
        await script.say(word)
        await asyncio.sleep(pause_s)
    await script.write(end=STOPPED)
    await script.write(COMPLETED)


async def read_all(log: BusTokenLog, run_id: str, after: int | None) -> list[LogBatch]:
    async with log.follow(run_id, after=after) as reader:
        return await collect(reader)


async def test_reader_there_before_the_run_sees_all_of_it(
    connect: Connect, log: BusTokenLog, run_id: str
) -> None:
    reading = BusTokenLog(await connect(), SystemClock())
    async with reading.follow(run_id, after=0) as reader:
        story = asyncio.create_task(collect(reader))
        await tell(await begin(log, run_id))
        batches = await story
    assert numbers(batches) == list(range(1, 43))
    assert text(batches) == "".join(WORDS)
    assert [b.end for b in batches if b.end is not None] == [STOPPED]
    assert sum(b.tokens for b in batches) == 40


async def test_reader_of_a_finished_run_sees_exactly_the_suffix_of_every_cursor(
    log: BusTokenLog, run_id: str
) -> None:
    await tell(await begin(log, run_id))
    for after in range(42):
        batches = await read_all(log, run_id, after)
        assert numbers(batches) == list(range(after + 1, 43))
        assert text(batches) == "".join(WORDS[max(0, after - 1) :])


async def test_readers_that_join_at_random_see_the_same(
    connect: Connect, log: BusTokenLog, run_id: str
) -> None:
    dice = random.Random(7)
    others = [BusTokenLog(await connect(), SystemClock()) for _ in range(3)]
    script = await begin(log, run_id)

    async def join(which: int) -> tuple[int, list[LogBatch]]:
        await asyncio.sleep(dice.random() * 0.15)
        after = dice.choice([0, 0, script.next_seq - 1, max(0, script.next_seq - 5)])
        return after, await read_all(others[which % 3], run_id, after)

    joins = [asyncio.create_task(join(which)) for which in range(20)]
    await tell(script, pause_s=0.003)
    for after, batches in await asyncio.gather(*joins):
        assert numbers(batches) == list(range(after + 1, 43))
        assert text(batches) == "".join(WORDS[max(0, after - 1) :])


async def test_late_reader_without_cursor_gets_a_snapshot_then_deltas(
    log: BusTokenLog, run_id: str
) -> None:
    script = await begin(log, run_id)
    await script.write(STARTED)
    await script.say("a", "b", "c")
    await script.writer.snapshot(
        LogSnapshot(
            seq=4,
            stream_seq=script.last_seq,
            text="abc",
            tokens=(0, 1, 2),
            started=STARTED,
            started_seq=1,
        )
    )
    await script.say("d")
    async with log.follow(run_id, after=None) as reader:
        story = asyncio.create_task(collect(reader))
        await asyncio.sleep(0.05)
        await script.say("e")
        await script.write(COMPLETED)
        batches = await story
    events = [event for batch in batches for event in batch.events]
    assert [event.seq for event in events] == [1, 4, 5, 6, 7]
    assert isinstance(events[0].event, RunStarted)
    assert events[1].event == MessageSnapshot(text="abc")
    assert text(batches) == "de"


async def test_late_reader_without_cursor_or_snapshot_gets_all_deltas(
    log: BusTokenLog, run_id: str
) -> None:
    await tell(await begin(log, run_id))
    assert numbers(await read_all(log, run_id, None)) == list(range(1, 43))


async def test_cursor_reader_starts_from_the_nearest_mark(log: BusTokenLog, run_id: str) -> None:
    script = await begin(log, run_id)
    marks = []
    for word in WORDS:
        await script.say(word)
        marks.append((script.next_seq - 1, script.last_seq))
    await script.writer.snapshot(
        LogSnapshot(
            seq=40, stream_seq=script.last_seq, text="".join(WORDS), marks=tuple(marks[::8])
        )
    )
    await script.write(COMPLETED)
    for after in (3, 8, 9, 39, 40):
        assert numbers(await read_all(log, run_id, after)) == list(range(after + 1, 42))


async def test_end_is_told_again_to_a_reader_whose_cursor_is_at_it(
    log: BusTokenLog, run_id: str
) -> None:
    script = await begin(log, run_id)
    await script.say("a")
    await script.write(MessageDelta(delta="b"), tokens=1, end=STOPPED)
    async with log.follow(run_id, after=2) as reader:
        batches = await collect(reader, until_end=True)
    assert numbers(batches) == []
    assert batches[-1].end == STOPPED


async def test_reader_sees_nothing_of_a_fenced_writer(log: BusTokenLog, run_id: str) -> None:
    old = await begin(log, run_id)
    async with log.follow(run_id, after=0) as reader:
        story = asyncio.create_task(collect(reader))
        await old.say("a", "b")
        writer = await log.claim(run_id, writer="n", attempt=2, expect_epoch=None)
        with pytest.raises(Fenced):
            await old.say("zombie")
        new = Script(writer, next_seq=3, offset=2)
        await new.say("c")
        await new.write(COMPLETED)
        batches = await story
    assert text(batches) == "abc"
    assert numbers(batches) == [1, 2, 3, 4]


async def test_reader_behind_the_first_kept_entry_raises_log_gone(
    log: BusTokenLog, run_id: str
) -> None:
    writer = await log.claim(run_id, writer="w", attempt=1, expect_epoch=0)
    await Script(writer, next_seq=10).say("j", "k")
    with pytest.raises(LogGone):
        await read_all(log, run_id, 3)
    with pytest.raises(LogGone):
        await log.read(run_id)


async def test_reader_overtaken_by_many_entries_catches_up(
    log: BusTokenLog, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.runtime.log_reader.BUFFER_ENTRIES", 5)
    script = await begin(log, run_id)
    async with log.follow(run_id, after=0) as reader:
        await tell(script)
        batches = await collect(reader)
    assert numbers(batches) == list(range(1, 43))


async def test_reader_closed_early_leaves_nothing_behind(
    bus: Bus, log: BusTokenLog, run_id: str
) -> None:
    before = len(asyncio.all_tasks())
    async with log.follow(run_id, after=0) as reader:
        script = await begin(log, run_id)
        await script.say("a")
        async for _batch in reader.batches():
            break
    assert len(asyncio.all_tasks()) == before
    await bus.flush()

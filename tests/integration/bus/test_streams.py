"""Appends, fences, reads and republishing."""

import asyncio

import pytest

from contracts.errors import BusUnavailable, StreamFull, WrongSequence
from contracts.ports.bus import Bus, Fence, Inbound, StreamSpec
from tests.integration.bus.conftest import Connect
from tests.support.waiting import until


async def test_append_returns_growing_sequences(bus: Bus, stream: str) -> None:
    assert [await bus.append(f"{stream}.a", b"%d" % n) for n in range(3)] == [1, 2, 3]
    last = await bus.last(stream, f"{stream}.a")
    assert last is not None
    assert (last.subject, last.data, last.seq) == (f"{stream}.a", b"2", 3)


async def test_append_where_no_stream_stores_is_unavailable(bus: Bus, word: str) -> None:
    with pytest.raises(BusUnavailable):
        await bus.append(f"{word}none.a", b"", timeout_s=1)


async def test_fence_on_the_same_subject_holds(bus: Bus, stream: str) -> None:
    subject = f"{stream}.a"
    first = await bus.append(subject, b"1", fence=Fence(0))
    with pytest.raises(WrongSequence):
        await bus.append(subject, b"2", fence=Fence(0))
    second = await bus.append(subject, b"2", fence=Fence(first))
    assert second == first + 1
    assert [s.data for s in await bus.range(stream, subject, from_seq=0, limit=9)] == [b"1", b"2"]


async def test_fence_on_another_subject_refuses_the_old_writer(bus: Bus, stream: str) -> None:
    claim, entries = f"{stream}.r.claim", f"{stream}.r.d"
    old = await bus.append(claim, b"old", fence=Fence(0))
    await bus.append(entries, b"1", fence=Fence(old, claim))
    new = await bus.append(claim, b"new", fence=Fence(old))
    with pytest.raises(WrongSequence):
        await bus.append(entries, b"zombie", fence=Fence(old, claim))
    await bus.append(entries, b"2", fence=Fence(new, claim))
    found = await bus.range(stream, entries, from_seq=0, limit=10)
    assert [s.data for s in found] == [b"1", b"2"]


async def test_message_id_is_stored_once(bus: Bus, stream: str) -> None:
    first = await bus.append(f"{stream}.a", b"x", msg_id="one")
    assert await bus.append(f"{stream}.a", b"x", msg_id="one") == first
    assert await bus.append(f"{stream}.a", b"y", msg_id="two") == first + 1


async def test_last_of_a_silent_subject_is_none(bus: Bus, stream: str) -> None:
    assert await bus.last(stream, f"{stream}.none") is None
    assert await bus.last(stream, f"{stream}.none", leader=True) is None


async def test_last_from_the_leader_carries_data_and_headers(bus: Bus, stream: str) -> None:
    seq = await bus.append(f"{stream}.a", b"v", headers={"Kind": "k"})
    for leader in (True, False):
        last = await bus.last(stream, f"{stream}.a", leader=leader)
        assert last is not None
        assert last.headers is not None
        assert (last.seq, last.data, last.headers["Kind"]) == (seq, b"v", "k")


async def test_range_skips_other_subjects_and_stops_at_its_limit(bus: Bus, stream: str) -> None:
    for number in range(30):
        await bus.append(f"{stream}.{'ab'[number % 2]}", b"%d" % number)
    found = await bus.range(stream, f"{stream}.a", from_seq=4, limit=5)
    assert [int(s.data) for s in found] == [4, 6, 8, 10, 12]
    assert [s.seq for s in found] == [5, 7, 9, 11, 13]
    assert list(await bus.range(stream, f"{stream}.a", from_seq=100, limit=5)) == []


async def test_republish_shows_only_what_was_committed_in_order(
    connect: Connect, bus: Bus, stream: str
) -> None:
    reader = await connect()
    live: list[Inbound] = []
    await reader.subscribe(f"{stream}-live.r", live.append)
    claim, entries = f"{stream}.r.claim", f"{stream}.r.d"
    epoch = await bus.append(claim, b"", fence=Fence(0))
    for number in range(100):
        await bus.append(entries, b"%d" % number, fence=Fence(epoch, claim))
        with pytest.raises(WrongSequence):
            await bus.append(entries, b"refused", fence=Fence(epoch + 1, claim))
    await until(lambda: len(live) >= 100)
    await reader.flush()
    assert [int(m.data) for m in live] == list(range(100))


@pytest.mark.parametrize("limit", ["messages", "bytes"])
async def test_stream_that_discards_new_refuses_when_full(bus: Bus, word: str, limit: str) -> None:
    await bus.declare(
        StreamSpec(
            name=word,
            subjects=(f"{word}.*",),
            description="small",
            storage="memory",
            discard_new=True,
            max_msgs=3 if limit == "messages" else -1,
            max_bytes=4096 if limit == "bytes" else -1,
        )
    )
    for _ in range(3):
        await bus.append(f"{word}.a", b"x" * 1000)
    with pytest.raises(StreamFull):
        await bus.append(f"{word}.a", b"x" * 1000)


@pytest.mark.parametrize("limit", ["messages", "bytes"])
async def test_stream_that_discards_old_drops_the_oldest_when_full(
    bus: Bus, word: str, limit: str
) -> None:
    await bus.declare(
        StreamSpec(
            name=word,
            subjects=(f"{word}.*",),
            description="small",
            storage="memory",
            max_msgs=3 if limit == "messages" else -1,
            max_bytes=4096 if limit == "bytes" else -1,
        )
    )
    seqs = [await bus.append(f"{word}.a", b"x" * 1000) for _ in range(5)]
    left = await bus.range(word, f"{word}.a", from_seq=1, limit=10)
    assert [stored.seq for stored in left] == seqs[2:]


async def test_stream_forgets_what_is_too_old_and_with_it_the_fence(bus: Bus, word: str) -> None:
    await bus.declare(
        StreamSpec(
            name=word,
            subjects=(f"{word}.*",),
            description="short-lived",
            storage="memory",
            max_age_s=0.3,
            duplicate_window_s=0.2,
        )
    )
    claim = await bus.append(f"{word}.claim", b"mine")
    for _ in range(100):
        if await bus.last(word, f"{word}.claim", leader=True) is None:
            break
        await asyncio.sleep(0.05)
    with pytest.raises(WrongSequence):
        await bus.append(f"{word}.d", b"1", fence=Fence(claim, f"{word}.claim"))
    assert await bus.range(word, f"{word}.claim", from_seq=1, limit=10) == []


async def test_declare_twice_changes_the_limits(bus: Bus, word: str) -> None:
    for most in (1, 2):
        await bus.declare(
            StreamSpec(
                name=word,
                subjects=(f"{word}.*",),
                description="grows",
                storage="memory",
                discard_new=True,
                max_msgs=most,
            )
        )
    await bus.append(f"{word}.a", b"1")
    await bus.append(f"{word}.a", b"2")
    with pytest.raises(StreamFull):
        await bus.append(f"{word}.a", b"3")

"""The journal on the bus: who may write it, and what its next reader gets."""

import uuid
from typing import Any

import pytest

from actors.runtime.clock import SystemClock
from actors.scheduler.accounts import UserState
from actors.scheduler.journal import JournalEntry
from actors.scheduler.journal_log import JournalLog
from contracts.errors import BusTimeout, Fenced
from contracts.ports.bus import Bus
from contracts.subjects import scheduler_journal
from tests.integration.scheduler.conftest import Connect


@pytest.fixture
def pool() -> str:
    return f"p{uuid.uuid4().hex}"[:12]


class Forgetful:
    """Stores what it is given, and once loses the answer."""

    def __init__(self, inner: Bus) -> None:
        self._inner = inner
        self.lose = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def append(self, *words: Any, **options: Any) -> int:
        seq = await self._inner.append(*words, **options)
        if self.lose:
            self.lose = False
            raise BusTimeout("the answer is lost")
        return seq


def said(number: int, *, lap: int = 0, whole: bool = False) -> JournalEntry:
    users = (UserState("free", f"user_{number}", number, waiting=True),)
    return JournalEntry(term=1, number=number, lap=lap, whole=whole, users=users)


async def test_opening_a_new_journal_finds_nothing(connect: Connect, pool: str) -> None:
    known = await JournalLog(await connect(), SystemClock(), pool).open(1)
    assert not known.users and not known.settled


async def test_next_scheduler_reads_what_was_stored(connect: Connect, pool: str) -> None:
    first = JournalLog(await connect(), SystemClock(), pool)
    await first.open(1)
    for number in range(1, 200):
        await first.store(said(number))
    known = await JournalLog(await connect(), SystemClock(), pool).open(2)
    assert {user.tag for user in known.users.values()} == set(range(1, 200))


async def test_replaced_scheduler_writes_nothing_more(connect: Connect, pool: str) -> None:
    first = JournalLog(await connect(), SystemClock(), pool)
    await first.open(1)
    second = JournalLog(await connect(), SystemClock(), pool)
    await second.open(2)
    with pytest.raises(Fenced):
        await first.store(said(7))
    await second.store(said(8))
    known = await JournalLog(await connect(), SystemClock(), pool).open(3)
    assert {user.tag for user in known.users.values()} == {8}


async def test_entry_whose_answer_was_lost_is_stored_once(connect: Connect, pool: str) -> None:
    bus = await connect()
    forgetful: Any = Forgetful(bus)
    journal = JournalLog(forgetful, SystemClock(), pool)
    await journal.open(1)
    forgetful.lose = True
    with pytest.raises(BusTimeout):
        await journal.store(said(1))
    await journal.store(said(1))
    await journal.store(said(2))
    stored = await bus.range("SCHED", scheduler_journal(pool), from_seq=1, limit=100)
    assert len(stored) == 3


async def test_reader_begins_at_the_last_whole_lap(connect: Connect, pool: str) -> None:
    first = JournalLog(await connect(), SystemClock(), pool)
    await first.open(1)
    await first.store(said(1))
    await first.store(said(2, lap=1))
    await first.store(said(3, lap=1, whole=True))
    await first.store(said(4, lap=2))
    await first.store(said(5, lap=2))
    second = JournalLog(await connect(), SystemClock(), pool)
    known = await second.open(2)
    assert {user.tag for user in known.users.values()} == {2, 3, 4, 5}
    await second.store(said(6, lap=1))
    known = await JournalLog(await connect(), SystemClock(), pool).open(3)
    assert {user.tag for user in known.users.values()} == {2, 3, 4, 5, 6}


async def test_journal_that_does_not_decode_is_begun_anew(connect: Connect, pool: str) -> None:
    bus = await connect()
    await bus.append(scheduler_journal(pool), b"not a journal")
    journal = JournalLog(bus, SystemClock(), pool)
    assert not (await journal.open(1)).users
    await journal.store(said(1, lap=1, whole=True))
    await journal.store(said(2, lap=1))
    known = await JournalLog(bus, SystemClock(), pool).open(2)
    assert {user.tag for user in known.users.values()} == {1, 2}

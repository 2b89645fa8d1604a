"""A disk that is really full: a small file system of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import HistoryRefused
from contracts.records import Chat
from ops.history.sqlite import SqliteHistory
from tests.integration.history.records import Turn, new_chat
from tests.support.disk import disk_of

MANY = 5_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with disk_of(tmp_path / "small", 2) as place:
        yield place


async def test_full_disk_refuses_with_certainty_and_takes_writes_again_once_there_is_room(
    disk: Path,
) -> None:
    path, filler = disk / "history.db", disk / "filler"
    history = SqliteHistory(path)
    await history.open()
    running = await new_turn(history)
    filler.write_bytes(bytes(1_000_000))
    stored: list[Chat] = []
    chats = (new_chat() for _ in range(MANY))
    with pytest.raises(HistoryRefused, match="full"):
        await store(history, chats, stored)
    refused = new_chat()
    with pytest.raises(HistoryRefused, match="full"):
        await history.create_chat(refused)
    with pytest.raises(HistoryRefused, match="full"):
        await running.finish(history)
    assert await history.chat(stored[-1].chat_id) == stored[-1]
    filler.unlink()
    await running.finish(history)
    await history.create_chat(after := new_chat())
    await history.close()
    again = SqliteHistory(path)
    await again.open()
    assert [await again.chat(chat.chat_id) for chat in (*stored, after)] == [*stored, after]
    assert await again.chat(refused.chat_id) is None
    await again.close()


async def store(history: SqliteHistory, chats: Iterator[Chat], stored: list[Chat]) -> None:
    for chat in chats:
        await history.create_chat(chat)
        stored.append(chat)


async def new_turn(history: SqliteHistory) -> Turn:
    chat = new_chat()
    await history.create_chat(chat)
    turn = Turn(chat, 0)
    await turn.accept(history)
    return turn

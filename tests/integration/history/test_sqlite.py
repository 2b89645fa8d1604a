"""What only the SQLite adapter promises: group commit, other processes, crashes, bad files."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import uvloop

from contracts.errors import HistoryConflict, HistoryRefused, HistoryUnavailable
from ops.history import sqlite_file
from ops.history.migrations import migrations
from ops.history.sqlite import SqliteHistory
from tests.integration.history.records import Turn, converse, new_chat, new_user

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture
async def history(path: Path) -> AsyncIterator[SqliteHistory]:
    opened = SqliteHistory(path)
    await opened.open()
    yield opened
    await opened.close()


def value(path: Path, query: str) -> int:
    """What a query for one number answers in a process of its own."""
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute(query).fetchone()[0])


async def test_writes_at_once_keep_their_own_results(history: SqliteHistory) -> None:
    chats = [new_chat() for _ in range(50)]
    await asyncio.gather(*(history.create_chat(chat) for chat in chats))
    good = [Turn(chat, 0) for chat in chats]
    bad = [Turn(chat, 9) for chat in chats]
    turns = [turn for pair in zip(bad, good, strict=True) for turn in pair]
    outcomes = await asyncio.gather(*(t.accept(history) for t in turns), return_exceptions=True)
    assert all(isinstance(outcome, HistoryConflict) for outcome in outcomes[::2])
    assert not any(isinstance(outcome, BaseException) for outcome in outcomes[1::2])
    for turn in good:
        found = await history.messages(turn.chat_id, start=None, limit=9, ascending=True)
        assert found == [turn.prompt, turn.answer]


async def test_writes_waiting_together_share_a_commit(path: Path) -> None:
    history = SqliteHistory(path)
    await history.open()
    commits = 0

    def count() -> None:
        nonlocal commits
        commits += 1

    await history._writer.call(
        lambda db: db.set_trace_callback(
            lambda statement: count() if statement == "COMMIT" else None
        )
    )
    await asyncio.gather(*(history.create_user(new_user()) for _ in range(100)))
    await history.close()
    assert 0 < commits < 20


async def test_file_locked_by_another_process_is_unavailable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_MS", 50)
    history = SqliteHistory(path)
    await history.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(HistoryRefused, match="locked"):
            await history.ping()
        assert await history.user_by_id("user_none") is None
        other.execute("ROLLBACK")
    await history.ping()
    await history.close()


async def test_full_disk_is_unavailable_and_loses_nothing(history: SqliteHistory) -> None:
    chat = new_chat()
    await history.create_chat(chat)
    (held,) = await converse(history, chat, 1)

    def fill(db: sqlite3.Connection) -> None:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")

    await history._writer.call(fill)
    big = Turn(chat, 2)
    big.prompt = type(big.prompt)(
        message_id=big.prompt.message_id,
        chat_id=chat.chat_id,
        position=2,
        role="user",
        content="x" * 500_000,
        created_at_ms=1,
    )
    with pytest.raises(HistoryRefused, match="full"):
        await big.accept(history)
    found = await history.messages(chat.chat_id, start=None, limit=9, ascending=True)
    assert found == [held.prompt, held.final_answer]
    await history._writer.call(lambda db: db.execute("PRAGMA max_page_count = 1000000"))
    await big.accept(history)


async def test_commit_that_fails_is_of_unknown_effect(history: SqliteHistory) -> None:
    def forbid_commits(db: sqlite3.Connection) -> None:
        db.execute("CREATE TEMP TABLE owners (id INTEGER PRIMARY KEY)")
        db.execute(
            "CREATE TEMP TABLE owned (id INTEGER REFERENCES owners (id) "
            "DEFERRABLE INITIALLY DEFERRED)"
        )
        db.execute("INSERT INTO owned VALUES (1)")

    user = new_user()
    outcomes = await asyncio.gather(
        history.create_user(user),
        history._writer.call(forbid_commits),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes[1:]] == [HistoryUnavailable]
    await history.create_user(user)
    assert await history.user_by_id(user.user_id) == user


async def test_lane_that_is_full_refuses_at_once(history: SqliteHistory) -> None:
    busy, go_on = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        busy.set()
        go_on.wait(10)

    holding = asyncio.ensure_future(history._writer.call(hold))
    await asyncio.to_thread(busy.wait, 10)
    history._writer.limit = 3
    waiting = [asyncio.ensure_future(history.create_user(new_user())) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(HistoryRefused, match="3 calls"):
        await history.create_user(new_user())
    go_on.set()
    await asyncio.gather(holding, *waiting)
    await history.create_user(new_user())


async def test_file_deleted_fails_the_ping(path: Path, history: SqliteHistory) -> None:
    await history.ping()
    await asyncio.to_thread(path.unlink)
    with pytest.raises(HistoryUnavailable):
        await history.ping()


async def test_file_that_is_no_database_is_unavailable(path: Path) -> None:
    await asyncio.to_thread(path.write_bytes, b"not a database, " * 100)
    with pytest.raises(HistoryUnavailable):
        await SqliteHistory(path).open()


async def test_folder_that_can_not_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryUnavailable, match="can't be opened"):
        await SqliteHistory(tmp_path / "file" / "history.db").open()


async def test_file_of_a_newer_schema_is_unavailable(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 1000")
    with pytest.raises(HistoryUnavailable, match="newer"):
        await SqliteHistory(path).open()


async def test_file_is_private_to_its_user(path: Path, history: SqliteHistory) -> None:
    await history.ping()
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0


async def test_calls_before_open_and_after_close_are_unavailable(path: Path) -> None:
    history = SqliteHistory(path)
    with pytest.raises(HistoryUnavailable):
        await history.user_by_id("user_none")
    await history.open()
    await history.open()
    await history.create_user(new_user())
    await history.close()
    await history.close()
    for call in (history.ping(), history.create_user(new_user())):
        with pytest.raises(HistoryUnavailable):
            await call
    await history.open()
    await history.ping()
    await history.close()


async def test_close_finishes_the_writes_that_wait(path: Path) -> None:
    history = SqliteHistory(path)
    await history.open()
    users = [new_user() for _ in range(50)]
    async with asyncio.TaskGroup() as group:
        for user in users:
            group.create_task(history.create_user(user))
        await asyncio.sleep(0)
        await history.close()
    await history.open()
    for user in users:
        assert await history.user_by_id(user.user_id) == user
    await history.close()


async def test_caller_cancelled_disturbs_no_other(history: SqliteHistory) -> None:
    users = [new_user() for _ in range(20)]
    calls = [asyncio.ensure_future(history.create_user(user)) for user in users]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert outcomes[1::2] == [None] * 10


def test_adapter_serves_several_loops_and_uvloop(path: Path) -> None:
    history = SqliteHistory(path)
    user = new_user()
    uvloop.run(history.open())
    uvloop.run(history.create_user(user))
    assert asyncio.run(history.user_by_id(user.user_id)) == user
    uvloop.run(history.close())


def test_schema_applied_by_many_processes_at_once_is_applied_once(path: Path) -> None:
    program = (
        "import asyncio, sys, pathlib; from ops.history.sqlite import SqliteHistory; "
        "h = SqliteHistory(pathlib.Path(sys.argv[1])); asyncio.run(h.open()); "
        "asyncio.run(h.ping()); asyncio.run(h.close())"
    )
    many = [
        subprocess.Popen([sys.executable, "-c", program, str(path)], cwd=ROOT) for _ in range(6)
    ]
    assert [process.wait(60) for process in many] == [0] * 6
    assert value(path, "PRAGMA user_version") == len(migrations("sqlite"))
    assert value(path, "SELECT count FROM pings") == 6


WRITER = """
import asyncio, pathlib, sys
from ops.history.sqlite import SqliteHistory
from tests.integration.history.records import Turn, new_chat

async def write():
    history = SqliteHistory(pathlib.Path(sys.argv[1]))
    await history.open()
    chat = new_chat()
    await history.create_chat(chat)
    for position in range(0, 100_000, 2):
        turn = Turn(chat, position)
        await turn.accept(history)
        print("accepted", chat.chat_id, position, flush=True)
        await turn.finish(history)
        print("finished", chat.chat_id, position, flush=True)

asyncio.run(write())
"""


def kill_writers(path: Path) -> list[str]:
    """Let two processes write, kill both, and return the lines that they printed."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    lines: list[str] = []
    for number, writer in enumerate(writers):
        assert writer.stdout is not None
        lines += [writer.stdout.readline() for _ in range(101 + number)]
        writer.kill()
    for writer in writers:
        assert writer.stdout is not None
        lines += [line for line in writer.stdout if line.endswith("\n")]
        writer.stdout.close()
        assert writer.wait(10) == -signal.SIGKILL
    return lines


async def test_processes_killed_while_writing_lose_nothing_acknowledged(path: Path) -> None:
    lines = await asyncio.to_thread(kill_writers, path)
    history = SqliteHistory(path)
    await history.open()
    for line in lines:
        event, chat_id, position = line.split()
        prompt, answer = await history.messages(
            chat_id, start=int(position), limit=2, ascending=True
        )
        assert prompt.content == f"prompt {position}"
        assert answer.status == "complete" or event == "accepted"
    for chat_id in {line.split()[1] for line in lines}:
        chat = await history.chat(chat_id)
        assert chat is not None
        held = await history.messages(chat_id, start=None, limit=100_000, ascending=True)
        assert [message.position for message in held] == list(range(chat.next_position))
        pending = [message.run_id for message in held if message.status == "pending"]
        assert pending == ([chat.active_run_id] if chat.active_run_id else [])
    await history.close()

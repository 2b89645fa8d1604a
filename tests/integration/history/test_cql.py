"""What only the CQL adapter promises: no statement that fails or is lost leaves a half."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from itertools import count
from operator import methodcaller
from typing import Any

import pytest

from contracts.errors import HistoryConflict, HistoryRefused, HistoryUnavailable
from contracts.ports.history import ChatCursor
from contracts.records import ApiKey, Chat, Message
from ops.history import cql_list, open_history, parse_cql_address
from ops.history.cql import CqlHistory
from ops.history.cql_link import CqlLink, Row
from ops.history.cql_list import ListPlace
from ops.history.cql_queries import Query
from ops.history.cql_schema import qualified
from ops.history.migrations import migrations
from tests.integration.history.conftest import patient
from tests.integration.history.records import Turn, converse, new_chat, new_id, new_user
from tests.support.cql import CqlServer

pytestmark = [pytest.mark.cql, patient]
both_ways = pytest.mark.parametrize("lost", [False, True], ids=["not sent", "answer lost"])


def open_cql(url: str) -> CqlHistory:
    history = open_history(url)
    assert isinstance(history, CqlHistory)
    return history


@pytest.fixture
async def history(cql_server: CqlServer) -> AsyncIterator[CqlHistory]:
    opened = open_cql(cql_server.url)
    await opened.open()
    yield opened
    await opened.close()


class CutLink:
    """A link that breaks for good at statement number `at`: before it is sent, or (`lost`)
    after it took effect. Statements go one at a time, so that a number is one of them."""

    def __init__(self, link: CqlLink, at: int, *, lost: bool) -> None:
        self._send = link.rows
        self._left = at
        self._lost = lost
        self._one_at_a_time = asyncio.Lock()
        self.broken = False

    async def rows(self, query: Query, *values: Any) -> list[Row]:
        async with self._one_at_a_time:
            if not self.broken and self._left > 0:
                self._left -= 1
                return await self._send(query, *values)
            if not self.broken and self._lost:
                await self._send(query, *values)
            self.broken = True
            raise HistoryUnavailable("cut by the test")


async def is_cut(
    history: CqlHistory,
    call: Callable[[CqlHistory], Awaitable[Any]],
    at: int,
    *,
    lost: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> bool:
    """Make a call over a link that breaks at statement `at`; return whether it came so far."""
    cut = CutLink(history._link, at, lost=lost)
    with monkeypatch.context() as patch:
        patch.setattr(history._link, "rows", cut.rows)
        try:
            await call(history)
        except HistoryUnavailable:
            assert cut.broken
    return cut.broken


async def all_messages(history: CqlHistory, chat: Chat) -> list[Message]:
    return list(await history.messages(chat.chat_id, start=None, limit=99, ascending=True))


async def listed(history: CqlHistory, user_id: str, *, limit: int) -> list[Chat]:
    """All of a user's chats, read in pages."""
    found: list[Chat] = []
    before = None
    while page := await history.list_chats(user_id, before=before, limit=limit):
        found += page
        before = ChatCursor(page[-1].active_at_ms, page[-1].chat_id)
    return found


async def execute(history: CqlHistory, query: str, *values: object) -> list[Row]:
    """Run a statement of the test's own in the history's keyspace."""
    link = history._link
    assert link._session is not None
    answer = await asyncio.to_thread(
        link._session.execute, qualified(query, link._keyspace), values or None, timeout=30
    )
    return list(answer)


async def rows_left(history: CqlHistory, chat: Chat) -> dict[str, int]:
    """How many rows of a chat each table holds."""
    tables = ("chats", "messages", "message_places", "runs", "run_keys", "chat_list")
    left = {}
    for table in tables:
        query = f"SELECT count(*) FROM {table} WHERE chat_id = %s ALLOW FILTERING"
        ((left[table],),) = await execute(history, query, chat.chat_id)
    return {table: number for table, number in left.items() if number}


@both_ways
async def test_accept_cut_anywhere_is_done_wholly_or_not_at_all(
    history: CqlHistory, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    for at in count():
        chat = new_chat()
        await history.create_chat(chat)
        others = [new_chat(chat.user_id, active_at_ms=10_001) for _ in range(7)]
        for other in others:
            await history.create_chat(other)
        others.sort(key=lambda other: other.chat_id, reverse=True)
        (held,) = await converse(history, chat, 1)
        before = await history.chat(chat.chat_id)
        turn = Turn(chat, 2, key="k")
        cut = await is_cut(history, turn.accept, at, lost=lost, monkeypatch=monkeypatch)

        chat_now = await history.chat(chat.chat_id)
        accepted = chat_now != before
        found = [held.prompt, held.final_answer]
        assert await all_messages(history, chat) == (
            [*found, turn.prompt, turn.answer] if accepted else found
        )
        assert await history.run_by_key(chat.chat_id, "k") == (turn.run if accepted else None)
        assert await listed(history, chat.user_id, limit=1) == (
            [chat_now, *others] if accepted else [*others, chat_now]
        )
        after = await turn.accept(history)
        assert after.active_run_id == turn.run.run_id
        assert await turn.finish(history)
        (last,) = await converse(history, chat, 1, start=4)
        assert await all_messages(history, chat) == [
            *found,
            turn.prompt,
            turn.final_answer,
            last.prompt,
            last.final_answer,
        ]
        assert await history.run(chat.chat_id, turn.run.run_id) == turn.final_run
        if not cut:
            break
    assert at > 8


@both_ways
async def test_finish_cut_anywhere_is_done_wholly_or_not_at_all(
    history: CqlHistory, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    for at in count():
        chat = new_chat()
        await history.create_chat(chat)
        turn = Turn(chat, 0)
        await turn.accept(history)
        cut = await is_cut(history, turn.finish, at, lost=lost, monkeypatch=monkeypatch)
        loaded = await history.load_session(chat.chat_id, messages=9, runs=9)
        assert loaded is not None
        if loaded.active_run is not None:
            assert loaded.messages == (turn.prompt, turn.answer)
            assert loaded.recent_runs == ()
            assert await turn.finish(history)
        assert await all_messages(history, chat) == [turn.prompt, turn.final_answer]
        assert await history.run(chat.chat_id, turn.run.run_id) == turn.final_run
        if not cut:
            break
    assert at > 1


@both_ways
async def test_delete_cut_anywhere_hides_all_or_nothing_and_is_finished_by_a_repeat(
    history: CqlHistory, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    for at in count():
        chat = new_chat()
        await history.create_chat(chat)
        keyed = Turn(chat, 0, key="k")
        await keyed.accept(history)
        await keyed.finish(history)
        (second,) = await converse(history, chat, 1, start=2)
        cut = await is_cut(
            history,
            methodcaller("delete_chat", chat.chat_id),
            at,
            lost=lost,
            monkeypatch=monkeypatch,
        )
        if await history.chat(chat.chat_id) is not None:
            assert await all_messages(history, chat) == [
                keyed.prompt,
                keyed.final_answer,
                second.prompt,
                second.final_answer,
            ]
        else:
            assert await all_messages(history, chat) == []
            assert await history.run_by_key(chat.chat_id, "k") is None
            assert await history.list_chats(chat.user_id, before=None, limit=9) == []
            with pytest.raises(HistoryConflict):
                await Turn(chat, 4).accept(history)
        await history.delete_chat(chat.chat_id)
        assert await rows_left(history, chat) == {}
        if not cut:
            break
    assert at > 8


@both_ways
async def test_chat_creation_cut_anywhere_is_finished_by_a_repeat(
    history: CqlHistory, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    for at in count():
        chat = new_chat()
        cut = await is_cut(
            history,
            methodcaller("create_chat", chat),
            at,
            lost=lost,
            monkeypatch=monkeypatch,
        )
        there = await history.chat(chat.chat_id)
        assert await listed(history, chat.user_id, limit=1) == ([] if there is None else [chat])
        await history.create_chat(chat)
        assert await history.list_chats(chat.user_id, before=None, limit=9) == [chat]
        if not cut:
            break
    assert at > 1


@both_ways
async def test_sign_up_cut_anywhere_leaves_the_address_free_or_the_user_whole(
    history: CqlHistory, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    for at in count():
        user = new_user(f"{new_id('user')}@example.org")
        cut = await is_cut(
            history,
            methodcaller("create_user", user),
            at,
            lost=lost,
            monkeypatch=monkeypatch,
        )
        another = new_user(user.email)
        try:
            await history.create_user(another)
        except HistoryConflict:
            assert await history.user_by_email(user.email or "") == user
            assert await history.user_by_id(user.user_id) == user
            assert await history.user_by_id(another.user_id) is None
            await history.create_user(user)
        else:
            with pytest.raises(HistoryConflict):
                await history.create_user(user)
        if not cut:
            break
    assert at > 1


@both_ways
async def test_api_key_cut_anywhere_never_works_unlisted(
    history: CqlHistory, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    for at in count():
        key = ApiKey(
            key_id=new_id("key"),
            user_id=new_id("user"),
            name="laptop",
            secret_hash=new_id("key"),
            created_at_ms=5,
        )

        async def create_and_delete(link: CqlHistory, key: ApiKey = key) -> None:
            await link.create_api_key(key)
            await link.delete_api_key(key.user_id, key.key_id)

        cut = await is_cut(history, create_and_delete, at, lost=lost, monkeypatch=monkeypatch)
        keys = await history.list_api_keys(key.user_id)
        if await history.api_key_by_hash(key.secret_hash) is not None:
            assert keys == [key]
        if keys:
            assert await history.delete_api_key(key.user_id, key.key_id)
        assert await history.api_key_by_hash(key.secret_hash) is None
        assert await history.list_api_keys(key.user_id) == []
        if not cut:
            break
    assert at > 3


async def test_list_with_misleading_hints_is_right_at_every_page_size(
    history: CqlHistory,
) -> None:
    user_id = new_id("user")
    month = cql_list.MONTH_MS
    chats = [new_chat(user_id, at) for at in (5, 50, month + 5, month + 50, 3 * month)]
    for chat in chats:
        await history.create_chat(chat)
    strangers = new_chat()
    await history.create_chat(strangers)
    gone = [new_id("chat"), strangers.chat_id]
    for at_ms in (1, 20, month + 20, 2 * month, 4 * month):
        for chat_id in [*gone, *(chat.chat_id for chat in chats)]:
            place = ListPlace(user_id, at_ms, chat_id, new_id("run"))
            await cql_list.note(history._link, place)
    for limit in (1, 2, 3, 4, 5, 9):
        assert await listed(history, user_id, limit=limit) == chats[::-1]


async def test_schema_applied_by_many_at_once_is_applied_once(cql_server: CqlServer) -> None:
    keyspace = f"parley_test_{os.urandom(6).hex()}"
    url = f"{cql_server.url.rpartition('/')[0]}/{keyspace}"
    many = [open_cql(url) for _ in range(4)]
    try:
        await asyncio.gather(*(each.open() for each in many))
        await asyncio.gather(*(each.ping() for each in many))
        applied = await execute(many[0], "SELECT number FROM schema_migrations")
        assert applied == [(migration.number,) for migration in migrations("cql")]
        assert await execute(many[0], "SELECT name FROM schema_lock") == []
        await execute(
            many[0], "INSERT INTO schema_migrations (name, number) VALUES ('history', 1000)"
        )
        with pytest.raises(HistoryUnavailable, match="newer"):
            await open_cql(url).open()
        await execute(many[0], f"DROP KEYSPACE {keyspace}")
    finally:
        for each in many:
            await each.close()


async def test_server_that_is_not_there_is_unavailable() -> None:
    history = open_cql("cql://127.0.0.1:1/parley_test")
    with pytest.raises(HistoryUnavailable, match="no CQL server"):
        await history.open()
    with pytest.raises(HistoryUnavailable, match="not open"):
        await history.ping()
    await history.close()


class Gate:
    """A proxy before a server, which can be shut: connections break, new ones are refused."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        self._writers.clear()
        await self._server.wait_closed()

    async def _serve(self, near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        far, far_out = await asyncio.open_connection(*self._target)
        self._writers += [near_out, far_out]
        async with asyncio.TaskGroup() as group:
            group.create_task(_pass_on(near, far_out))
            group.create_task(_pass_on(far, near_out))


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


async def test_server_gone_is_unavailable_until_it_is_back(cql_server: CqlServer) -> None:
    (host,), port, keyspace, *_ = parse_cql_address(cql_server.url)
    gate = Gate(host, port)
    await gate.open()
    history = open_cql(f"cql://127.0.0.1:{gate.port}/{keyspace}")
    await history.open()
    chat = new_chat()
    await history.create_chat(chat)
    turn = Turn(chat, 0)
    await gate.shut()
    with pytest.raises(HistoryRefused):
        await turn.accept(history)
    with pytest.raises(HistoryUnavailable):
        await history.ping()
    await gate.open()
    while await chat_or_none(history, chat) is None:  # noqa: ASYNC110 - the driver tells nobody
        await asyncio.sleep(0.1)
    assert await all_messages(history, chat) == []
    await turn.accept(history)
    await history.close()
    await gate.shut()


async def chat_or_none(history: CqlHistory, chat: Chat) -> Chat | None:
    with suppress(HistoryUnavailable):
        return await history.chat(chat.chat_id)
    return None


async def test_link_closed_is_unavailable_and_opens_again(cql_server: CqlServer) -> None:
    history = open_cql(cql_server.url)
    await history.open()
    await history.open()
    await history.close()
    await history.close()
    with pytest.raises(HistoryUnavailable):
        await history.ping()
    await history.open()
    await history.ping()
    await history.close()

"""A deleted account leaves nothing: every table and every byte of the file is looked at."""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cassandra.cluster import Cluster

from contracts.errors import HistoryConflict
from contracts.records import ApiKey, Share, SharedMessage, Summary, Upload, User, UserSettings
from ops.history import parse_cql_address
from ops.history.migrations import migrations
from ops.history.sqlite import SqliteHistory
from tests.integration.history.conftest import Store
from tests.integration.history.records import Turn, new_chat, new_id

MARK = "zyzzyva"


async def lived(store: Store) -> tuple[User, list[str]]:
    """Let a user do everything once; return it, and what must not be found afterwards."""
    user = User(
        user_id=new_id("user"),
        created_at_ms=5,
        email=f"{MARK}-{new_id('user')}@example.org",
        password_hash=f"{MARK} hash",
        settings=UserSettings(system_prompt=MARK),
    )
    history = store.one
    await history.create_user(user)
    key = ApiKey(
        key_id=new_id("key"),
        user_id=user.user_id,
        name=MARK,
        secret_hash=new_id("key"),
        created_at_ms=5,
    )
    await history.create_api_key(key)
    marks = [user.user_id, MARK, key.key_id, key.secret_hash]
    for number in range(3):
        chat = msgspec.structs.replace(
            new_chat(user.user_id, 1_000 + number * 10**10), title=f"{MARK} title"
        )
        await history.create_chat(chat)
        marks.append(chat.chat_id)
        for turn_number in range(3):
            turn = Turn(chat, 2 * turn_number, key=new_id("req")).saying(f"{MARK} ask", MARK)
            await turn.accept(history)
            marks += [turn.run.run_id, turn.prompt.message_id, turn.answer.message_id]
            if (number, turn_number) != (2, 2):
                await turn.finish(history)
        await history.put_summary(
            Summary(chat_id=chat.chat_id, position=1, text=MARK, created_at_ms=1), replaces=None
        )
        await history.update_chat(chat.chat_id, pinned=True)
        message = SharedMessage(role="user", content=MARK, created_at_ms=5)
        share = Share(
            share_id=new_id("share"),
            chat_id=chat.chat_id,
            user_id=user.user_id,
            created_at_ms=5,
            messages=(message,),
        )
        await history.put_share(share)
        marks.append(share.share_id)
    upload = Upload(
        file_id=new_id("file"),
        user_id=user.user_id,
        created_at_ms=5,
        name=MARK,
        media_type="text/plain",
        kind="text",
        size_bytes=5,
    )
    await history.create_upload(upload)
    return user, [*marks, upload.file_id]


async def everything(store: Store, request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    """Return all that the store holds, as bytes."""
    if store.name == "memory":
        return repr(vars(store.one)).encode()
    if store.name == "sqlite":
        return b"".join(path.read_bytes() for path in (tmp_path / "home").iterdir())
    return _all_rows(request.getfixturevalue("cql_server").url)


def _all_rows(url: str) -> bytes:
    hosts, port, keyspace, *_ = parse_cql_address(url)
    with Cluster(hosts, port=port) as cluster:
        session: Any = cluster.connect(keyspace)
        tables = list(cluster.metadata.keyspaces[keyspace].tables)
        rows = [list(session.execute(f"SELECT * FROM {table}")) for table in tables]
    assert len(tables) > 15
    return repr(rows).encode()


async def test_deleted_user_leaves_nothing_in_any_table_or_file(
    store: Store, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    user, marks = await lived(store)
    kept = new_chat()
    await store.one.create_chat(kept)
    await Turn(kept, 0).saying("kept words", "").accept(store.one)
    before = await everything(store, request, tmp_path)
    assert all(mark.encode() in before for mark in marks)
    assert await store.two.begin_deletion(user.user_id)
    assert await store.one.user_by_id(user.user_id) is None
    assert await store.one.user_by_email(user.email or "") is None
    assert user.user_id in await store.two.deletions()
    assert not await store.one.begin_deletion(user.user_id)
    await store.one.delete_user_data(user.user_id)
    await store.two.delete_user_data(user.user_id)
    assert user.user_id not in await store.one.deletions()
    after = await everything(store, request, tmp_path)
    assert [mark for mark in marks if mark.encode() in after] == []
    assert await store.two.chat(kept.chat_id) is not None
    found = await store.two.search(kept.user_id, ["kept"], before=None, limit=5)
    assert [message.content for message in found] == ["kept words"]


async def test_address_of_a_deleted_user_is_free_again(store: Store) -> None:
    user, _ = await lived(store)
    newcomer = User(user_id=new_id("user"), created_at_ms=6, email=user.email)
    with pytest.raises(HistoryConflict):
        await store.one.create_user(newcomer)
    await store.one.begin_deletion(user.user_id)
    await store.two.create_user(newcomer)
    assert await store.one.user_by_email(user.email or "") == newcomer


async def test_file_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    db = sqlite3.connect(path)
    for statement in migrations("sqlite")[0].statements:
        db.execute(statement)
    db.execute("PRAGMA user_version = 1")
    db.execute("INSERT INTO users VALUES ('user_1', 1, 'free', NULL, NULL)")
    db.execute("INSERT INTO chats VALUES ('chat_1', 'user_1', 1, 1, '', NULL, 0, NULL, 1)")
    db.execute(
        "INSERT INTO messages VALUES (7, 'msg_1', 'chat_1', 0, 'user', 'Old Pots', 1, 'complete', "
        "NULL, NULL, NULL, NULL, NULL)"
    )
    db.commit()
    db.close()
    history = SqliteHistory(path)
    await history.open()
    found = await history.search("user_1", ["pots"], before=None, limit=5)
    assert [message.message_id for message in found] == ["msg_1"]
    chat = await history.chat("chat_1")
    assert chat is not None and (chat.leaf_id, chat.branched) == (None, False)
    await history.close()

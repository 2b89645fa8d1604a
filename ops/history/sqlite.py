"""`SqliteHistory`: history in one file, for everything on one machine.

Several processes may use the file at once. WAL lets readers go on while one writes;
`synchronous=FULL` makes each commit durable (https://www.sqlite.org/wal.html, "Durability").
"""

# ruff: noqa: D102 - the port says what each call promises

import asyncio
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from contracts.errors import HistoryUnavailable
from contracts.ports.history import ChatCursor, FoundCursor
from contracts.records import (
    ApiKey,
    Chat,
    Message,
    MessageNode,
    RunRecord,
    SessionRecord,
    Share,
    Summary,
    Upload,
    User,
    UserSettings,
)
from contracts.runs import Tier
from ops.history import sqlite_accounts as accounts
from ops.history import sqlite_calls as calls
from ops.history import sqlite_found as found
from ops.history.lanes import Lane
from ops.history.sqlite_calls import Order
from ops.history.sqlite_file import commit_batch, connect, migrate, read_batch, shed
from ops.history.sqlite_responses import SqliteResponses
from ops.history.sqlite_rows import insert, one, some

READERS = 2
GROUP_MAX = 256
"""Most writes that share one commit: bounds how long the file stays locked for others."""


class SqliteHistory(SqliteResponses):
    """History in the SQLite file `path`, which is created, with its folder, when missing.

    Its futures belong to the loop that calls; any number of loops may call. A file that is
    locked for 5 s, full, unreadable or damaged raises HistoryUnavailable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opening = asyncio.Lock()
        self._file: tuple[int, int] | None = None
        self._writer = Lane(
            "history-write", self._connect_writer, _disconnect, commit_batch, batch_max=GROUP_MAX
        )
        self._readers = Lane(
            "history-read", self._connect_reader, _disconnect, read_batch, threads=READERS
        )

    async def open(self) -> None:
        async with self._opening:
            if self._file is None:
                await asyncio.to_thread(self._open)

    async def close(self) -> None:
        async with self._opening:
            self._file = None
            await asyncio.to_thread(self._readers.stop)
            await asyncio.to_thread(self._writer.stop)

    async def ping(self) -> None:
        if self._file is None or self._file != await asyncio.to_thread(_identity, self._path):
            raise HistoryUnavailable(f"{self._path} is not open, or no longer there")
        await self._writer.call(calls.ping)

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # It holds password hashes and chats; its companions take over its permissions.
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._writer.start()
        except (OSError, sqlite3.Error) as error:
            raise HistoryUnavailable(f"{self._path} can't be opened: {error}") from error
        try:
            self._readers.start()
        except sqlite3.Error as error:
            self._writer.stop()
            raise HistoryUnavailable(f"{self._path} can't be opened: {error}") from error
        self._file = _identity(self._path)

    def _connect_writer(self) -> sqlite3.Connection:
        connection = connect(self._path)
        try:
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        connection = connect(self._path)
        connection.execute("PRAGMA query_only = 1")
        return connection

    # accounts

    async def create_user(self, user: User) -> None:
        await self._writer.call(lambda db: accounts.create_user(db, user))

    async def user_by_id(self, user_id: str) -> User | None:
        return await self._readers.call(lambda db: one(db, User, "user_id = ?", user_id))

    async def user_by_email(self, email: str) -> User | None:
        return await self._readers.call(lambda db: one(db, User, "email = ?", email))

    async def list_users(self, *, after: str, limit: int) -> Sequence[User]:
        return await self._readers.call(
            lambda db: some(db, User, "user_id > ? ORDER BY user_id LIMIT ?", after, limit)
        )

    async def set_tier(self, user_id: str, tier: Tier) -> bool:
        return await self._writer.call(lambda db: accounts.set_tier(db, user_id, tier))

    async def update_user(
        self,
        user_id: str,
        *,
        password_hash: str | None = None,
        sessions_from_ms: int | None = None,
        settings: UserSettings | None = None,
    ) -> User | None:
        return await self._writer.call(
            lambda db: accounts.update_user(db, user_id, password_hash, sessions_from_ms, settings)
        )

    async def give_email(self, user_id: str, *, email: str, password_hash: str) -> User | None:
        return await self._writer.call(
            lambda db: accounts.give_email(db, user_id, email, password_hash)
        )

    async def end_session(self, session_id: str, *, until_ms: int) -> None:
        now_ms = time.time_ns() // 1_000_000
        await self._writer.call(lambda db: accounts.end_session(db, session_id, until_ms, now_ms))

    async def session_ended(self, session_id: str) -> bool:
        return await self._readers.call(lambda db: accounts.session_ended(db, session_id))

    async def begin_deletion(self, user_id: str) -> bool:
        return await self._writer.call(lambda db: accounts.begin_deletion(db, user_id))

    async def deletions(self) -> Sequence[str]:
        return await self._readers.call(accounts.deletions)

    async def delete_user_data(self, user_id: str) -> None:
        await self._writer.call(lambda db: accounts.delete_user_data(db, user_id))
        await asyncio.to_thread(shed, self._path)

    async def create_api_key(self, key: ApiKey) -> None:
        await self._writer.call(lambda db: insert(db, key, unless_there="key_id"))

    async def api_key_by_hash(self, secret_hash: str) -> ApiKey | None:
        return await self._readers.call(lambda db: one(db, ApiKey, "secret_hash = ?", secret_hash))

    async def list_api_keys(self, user_id: str) -> Sequence[ApiKey]:
        return await self._readers.call(
            lambda db: some(db, ApiKey, "user_id = ? ORDER BY key_id", user_id)
        )

    async def delete_api_key(self, user_id: str, key_id: str) -> bool:
        return await self._writer.call(lambda db: accounts.delete_api_key(db, user_id, key_id))

    async def use_api_key(self, key: ApiKey, at_ms: int) -> None:
        await self._writer.call(lambda db: accounts.use_api_key(db, key.key_id, at_ms))

    # uploads

    async def create_upload(self, upload: Upload) -> None:
        await self._writer.call(lambda db: insert(db, upload, unless_there="file_id"))

    async def upload(self, file_id: str) -> Upload | None:
        return await self._readers.call(lambda db: one(db, Upload, "file_id = ?", file_id))

    async def list_uploads(self, user_id: str) -> Sequence[Upload]:
        return await self._readers.call(lambda db: accounts.uploads(db, user_id))

    async def delete_upload(self, file_id: str) -> bool:
        return await self._writer.call(lambda db: accounts.delete_upload(db, file_id))

    # chats and messages

    async def create_chat(self, chat: Chat) -> None:
        await self._writer.call(lambda db: insert(db, chat, unless_there="chat_id"))

    async def chat(self, chat_id: str) -> Chat | None:
        return await self._readers.call(lambda db: one(db, Chat, "chat_id = ?", chat_id))

    async def list_chats(
        self, user_id: str, *, before: ChatCursor | None, limit: int, pinned: bool | None = None
    ) -> Sequence[Chat]:
        return await self._readers.call(
            lambda db: calls.list_chats(db, user_id, before, limit, pinned)
        )

    async def update_chat(
        self,
        chat_id: str,
        *,
        title: str | None = None,
        model: str | None = None,
        pinned: bool | None = None,
        leaf_id: str | None = None,
        title_was: str | None = None,
    ) -> Chat | None:
        return await self._writer.call(
            lambda db: calls.update_chat(db, chat_id, title, model, pinned, leaf_id, title_was)
        )

    async def delete_chat(self, chat_id: str) -> bool:
        return await self._writer.call(lambda db: calls.delete_chat(db, chat_id))

    async def messages(
        self, chat_id: str, *, start: int | None, limit: int, ascending: bool
    ) -> Sequence[Message]:
        order = _order(ascending)
        return await self._readers.call(lambda db: calls.messages(db, chat_id, start, limit, order))

    async def message(self, chat_id: str, message_id: str) -> Message | None:
        return await self._readers.call(
            lambda db: one(db, Message, "chat_id = ? AND message_id = ?", chat_id, message_id)
        )

    async def nodes(self, chat_id: str) -> Sequence[MessageNode]:
        return await self._readers.call(lambda db: calls.nodes(db, chat_id))

    async def path(
        self,
        chat_id: str,
        *,
        leaf_id: str | None = None,
        start: int | None,
        limit: int,
        ascending: bool,
    ) -> Sequence[Message]:
        order = _order(ascending)
        return await self._readers.call(
            lambda db: calls.path(db, chat_id, leaf_id, start, limit, order)
        )

    async def search(
        self, user_id: str, words: Sequence[str], *, before: FoundCursor | None, limit: int
    ) -> Sequence[Message]:
        return await self._readers.call(lambda db: found.search(db, user_id, words, before, limit))

    async def put_share(self, share: Share) -> None:
        await self._writer.call(lambda db: found.put_share(db, share))

    async def share(self, share_id: str) -> Share | None:
        return await self._readers.call(lambda db: found.share(db, "share_id", share_id))

    async def share_of(self, chat_id: str) -> Share | None:
        return await self._readers.call(lambda db: found.share(db, "chat_id", chat_id))

    async def delete_share(self, chat_id: str) -> bool:
        return await self._writer.call(lambda db: found.delete_share(db, chat_id))

    # runs

    async def accept_prompt(
        self,
        chat_id: str,
        *,
        prompt: Message | None,
        answer: Message,
        run: RunRecord,
        title: str = "",
        branch: bool = False,
    ) -> Chat:
        return await self._writer.call(
            lambda db: calls.accept_prompt(db, chat_id, prompt, answer, run, title, branch)
        )

    async def finish_run(self, chat_id: str, *, answer: Message, run: RunRecord) -> bool:
        return await self._writer.call(lambda db: calls.finish_run(db, chat_id, answer, run))

    async def run(self, chat_id: str, run_id: str) -> RunRecord | None:
        return await self._readers.call(
            lambda db: one(db, RunRecord, "chat_id = ? AND run_id = ?", chat_id, run_id)
        )

    async def run_by_key(self, chat_id: str, idempotency_key: str) -> RunRecord | None:
        return await self._readers.call(
            lambda db: one(
                db, RunRecord, "chat_id = ? AND idempotency_key = ?", chat_id, idempotency_key
            )
        )

    async def load_session(self, chat_id: str, *, messages: int, runs: int) -> SessionRecord | None:
        return await self._readers.call(lambda db: calls.load_session(db, chat_id, messages, runs))

    async def put_summary(self, summary: Summary, *, replaces: int | None) -> None:
        await self._writer.call(lambda db: calls.put_summary(db, summary, replaces))


def _order(ascending: bool) -> Order:
    return "ASC" if ascending else "DESC"


def _disconnect(connection: sqlite3.Connection) -> None:
    connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file stands at `path`: one deleted or replaced is not ours any more."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino

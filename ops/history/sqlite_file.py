"""The SQLite file: connections, migrations, and how a batch of calls becomes a commit."""

import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from contracts.errors import HistoryRefused, HistoryUnavailable
from ops.history.lanes import Job
from ops.history.migrations import migrations
from ops.history.sqlite_found import owner_word, words_of

BUSY_MS = 2_000
"""How long a connection waits for another process's lock before it gives up: so short that a
prompt behind another call's wait is refused for certain before its client gives up (10 s)."""

_BUGS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
"""What SQLite raises when the caller is wrong; everything else is the store's trouble."""


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection in autocommit mode, which one thread at a time may use.

    Raises sqlite3.Error when the file can't be opened or stays locked.
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False
    )
    try:
        _enter_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        # What is deleted is overwritten: a deleted account leaves nothing in the file.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL, which lasts. The switch itself ignores the busy timeout: try again."""
    give_up = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that the file lacks, each in one transaction.

    `user_version` is read under the write lock, so of two processes one applies a migration
    and the other finds it done. Raises HistoryUnavailable if the file is newer than this code.
    """
    known = migrations("sqlite")
    version = 0
    connection.create_function("parley_words", 1, words_of, deterministic=True)
    connection.create_function("parley_owner", 1, owner_word, deterministic=True)
    for migration in known:
        connection.execute("BEGIN IMMEDIATE")
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version < migration.number:
                for statement in migration.statements:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {migration.number:d}")
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
    if version > len(known):
        raise HistoryUnavailable(
            f"the history file has schema {version}, this Parley knows {len(known)}: "
            "start the newer one"
        )


def shed(path: Path) -> None:
    """Move all commits from the log into the file and empty the log, so that what was deleted
    stands in neither; blocks. A reader may be in the way: then the next checkpoint does it."""
    connection = connect(path)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def commit_batch(connection: sqlite3.Connection, batch: Sequence[Job[sqlite3.Connection]]) -> None:
    """Run the calls of `batch` in one transaction, each in its savepoint.

    A call that raises is undone alone. When the transaction fails as a whole, every call gets
    HistoryRefused, or HistoryUnavailable if it was the commit that failed: what of that
    reached the disk is unknown. It is known where the disk was full: the log's last frame, which
    makes it a commit, is what did not fit, or what came before it.
    """
    failure: type[HistoryUnavailable] = HistoryRefused
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in batch:
            _run_in_savepoint(connection, job)
        failure = HistoryUnavailable
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
            failure = HistoryRefused
        for job in batch:
            job.error = failure(f"the history file took no write: {error}")


def _run_in_savepoint(connection: sqlite3.Connection, job: Job[sqlite3.Connection]) -> None:
    connection.execute("SAVEPOINT one_call")
    try:
        job.result = job.work(connection)
    except BaseException as error:
        if not connection.in_transaction:
            raise  # A full disk or an I/O error has undone the whole transaction.
        connection.execute("ROLLBACK TO one_call")
        job.error = _as_caller_sees_it(error)
    connection.execute("RELEASE one_call")


def read_batch(connection: sqlite3.Connection, batch: Sequence[Job[sqlite3.Connection]]) -> None:
    """Run each call on one consistent state of the file."""
    for job in batch:
        try:
            connection.execute("BEGIN")
            job.result = job.work(connection)
        except BaseException as error:  # noqa: BLE001 - raised where the call is awaited
            job.error = _as_caller_sees_it(error)
        finally:
            _roll_back(connection)


def _as_caller_sees_it(error: BaseException) -> BaseException:
    if isinstance(error, sqlite3.Error) and not isinstance(error, _BUGS):
        return HistoryRefused(f"the history file can't be used: {error}")
    return error


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")

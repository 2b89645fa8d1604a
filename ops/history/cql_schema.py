"""The keyspace and its migrations, which any number of processes may apply at once.

Apache Cassandra before 6 may end with two versions of a table when two nodes create it at
the same moment, so the migrations run under a lock: a row with a time to live.
"""

import re
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from cassandra.cluster import Session

from contracts.errors import HistoryUnavailable
from ops.history.migrations import Migration, migrations

LOCK_TTL_S = 60
WAIT_S = 90.0
DDL_TIMEOUT_S = 30.0

_ADDED = re.compile(r"ALTER TABLE (\w+) ADD (\w+) \w+$")

Run = Callable[..., list[tuple[Any, ...]]]

_BOOKKEEPING = (
    "CREATE TABLE IF NOT EXISTS schema_migrations (name text, number int, "
    "PRIMARY KEY (name, number))",
    "CREATE TABLE IF NOT EXISTS schema_lock (name text PRIMARY KEY, holder text)",
)


def qualified(text: str, keyspace: str) -> str:
    """Return a statement with its table named in full: Cassandra warns of prepared statements
    that depend on the connection's keyspace."""
    place = r"\b(FROM|INTO|^UPDATE|TABLE IF NOT EXISTS|^ALTER TABLE) (\w+)"
    return re.sub(place, rf"\1 {keyspace}.\2", text)


def prepare_schema(session: Session, keyspace: str) -> None:
    """Make the keyspace if it is missing, and apply the migrations that it lacks; blocks.

    Raises HistoryUnavailable if the keyspace is newer than this code, or the lock stays
    taken for `WAIT_S`; what the driver raises comes out as it is.
    """
    _make_keyspace(session, keyspace)
    run = partial(_run, session, keyspace)
    for statement in _BOOKKEEPING:
        run(statement)
    known = migrations("cql")
    if not _missing(run, known):
        return
    holder = uuid.uuid4().hex
    _lock(run, holder)
    try:
        for migration in _missing(run, known):
            for statement in migration.statements:
                if not _column_is_there(session, keyspace, statement):
                    run(statement)
            run(
                "INSERT INTO schema_migrations (name, number) VALUES ('history', %s)",
                migration.number,
            )
    finally:
        run("DELETE FROM schema_lock WHERE name = 'history' IF holder = %s", holder)


def _run(session: Session, keyspace: str, text: str, *values: object) -> list[tuple[Any, ...]]:
    rows = session.execute(qualified(text, keyspace), values or None, timeout=DDL_TIMEOUT_S)
    return list(rows)


def _column_is_there(session: Session, keyspace: str, statement: str) -> bool:
    """Say whether a statement adds a column that an earlier, cut-off run has added: not every
    server knows `ADD IF NOT EXISTS`."""
    added = _ADDED.match(statement)
    if added is None:
        return False
    rows = session.execute(
        "SELECT column_name FROM system_schema.columns "
        "WHERE keyspace_name = %s AND table_name = %s AND column_name = %s",
        (keyspace, *added.groups()),
        timeout=DDL_TIMEOUT_S,
    )
    return bool(list(rows))


def _make_keyspace(session: Session, keyspace: str) -> None:
    metadata = session.cluster.metadata
    if keyspace not in metadata.keyspaces:
        replicas = min(3, len(metadata.all_hosts()))
        session.execute(
            f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = "
            f"{{'class': 'NetworkTopologyStrategy', 'replication_factor': {replicas}}}",
            timeout=DDL_TIMEOUT_S,
        )


def _missing(run: Run, known: tuple[Migration, ...]) -> list[Migration]:
    rows = run("SELECT number FROM schema_migrations WHERE name = 'history'")
    applied = {number for (number,) in rows}
    newest = max(applied, default=0)
    if newest > len(known):
        raise HistoryUnavailable(
            f"the history has schema {newest}, this Parley knows {len(known)}: start the newer one"
        )
    return [migration for migration in known if migration.number not in applied]


def _lock(run: Run, holder: str) -> None:
    give_up = time.monotonic() + WAIT_S
    while time.monotonic() < give_up:
        ((applied, *_),) = run(
            "INSERT INTO schema_lock (name, holder) VALUES ('history', %s) "
            "IF NOT EXISTS USING TTL %s",
            holder,
            LOCK_TTL_S,
        )
        if applied:
            return
        time.sleep(0.2)
    raise HistoryUnavailable("another process has been changing the history's schema for too long")

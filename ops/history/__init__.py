"""History: accounts, chats, messages and runs, behind the port `contracts.ports.history`.

Owns: the SQLite adapter (embedded), the CQL adapter (ScyllaDB, Apache Cassandra), the
in-memory fake, and their schemas. One suite, `tests/integration/history`, runs on all three.
Accepts: the calls of the port. Emits: nothing.

Promises of every adapter:
- A write that returned is durable (in memory: until the process ends), and seen by every
  read that begins afterwards, in any process.
- `accept_prompt` and `finish_run` happen wholly or not at all, also when the process dies
  between any two of their steps, and no reader ever sees the prompt of a refused run.
- Any write may be repeated. A store that can't be reached, is locked, full or overloaded
  raises `HistoryUnavailable`; the caller retries, or refuses in turn. Where it is certain
  that nothing was written it is `HistoryRefused`: SQLite knows but for a failed commit, CQL
  knows for `accept_prompt` up to its one transaction.
- `SessionRecord.recent_runs` has the newest run first.
- Bounds: a queue of waiting calls that is full refuses at once.

SQLite: a writer thread commits whatever queued up while it wrote as one transaction, one
fsync for all (`lanes.py`); each call keeps its own savepoint and its own result.
CQL: the row of a chat is its one point of decision (`cql_chats.py`).
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from contracts.errors import ParleyError
from contracts.ports.history import History


class BadHistoryAddress(ParleyError):
    """An address that is none of `sqlite:PATH`, `cql://host[:port],…/keyspace`, `memory:`."""


def open_history(url: str) -> History:
    """Return the adapter that `url` names; the caller awaits its `open()`.

    Args:
        url: `sqlite:PATH`; `cql://[user:password@]host[:port][,host…]/keyspace` (port 9042
            unless given, the same for all hosts); or `memory:`.
    Raises:
        BadHistoryAddress: it is none of these; the message says what is wrong.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite" and rest:
        from ops.history.sqlite import SqliteHistory  # noqa: PLC0415 - only what is used loads

        return SqliteHistory(Path(rest))
    if scheme == "memory":
        from ops.history.memory import MemoryHistory  # noqa: PLC0415

        return MemoryHistory()
    if scheme == "cql":
        from ops.history.cql import CqlHistory  # noqa: PLC0415

        hosts, port, keyspace, user, password = parse_cql_address(url)
        return CqlHistory(hosts, port, keyspace, username=user, password=password)
    raise BadHistoryAddress(
        f"{scheme}:… is no history address: "
        "use sqlite:PATH, cql://host[:port],…/keyspace or memory:"
    )


def parse_cql_address(url: str) -> tuple[tuple[str, ...], int, str, str | None, str | None]:
    """Return hosts, port, keyspace, user name and password of a `cql://` address.

    Raises:
        BadHistoryAddress: the message says what is wrong, and never tells the password.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadHistoryAddress(f"the history address can't be read: {error}") from error
    credentials, at, places = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    hosts: list[str] = []
    ports: set[int] = set()
    for place in places.split(","):
        host, colon, port = place.partition(":")
        if not host or (colon and not port.isdecimal()):
            raise BadHistoryAddress(f"{place!r} in the history address is not host or host:port")
        hosts.append(host)
        ports.add(int(port) if colon else 9042)
    keyspace = parts.path.strip("/")
    if len(ports) != 1:
        raise BadHistoryAddress("all hosts of a cql:// address must use the same port")
    if not keyspace.isidentifier() or keyspace != keyspace.lower() or len(keyspace) > 48:
        raise BadHistoryAddress(
            "a cql:// address ends in the keyspace: lower-case letters, digits and _, at most 48"
        )
    return (
        tuple(hosts),
        ports.pop(),
        keyspace,
        unquote(user) if at else None,
        unquote(password) if at else None,
    )

"""History: accounts, chats, messages and runs, behind the port `contracts.ports.history`.

Owns: the SQLite adapter (embedded), the in-memory fake, and the schema. One suite,
`tests/integration/history`, runs on both.
Accepts: the calls of the port. Emits: nothing.

Promises of every adapter:
- A write that returned is durable (in memory: until the process ends), and seen by every
  read that begins afterwards, in any process.
- `accept_prompt` and `finish_run` happen wholly or not at all, also when the process dies
  between any two of their steps, and no reader ever sees the prompt of a refused run.
- Any write may be repeated. A store that can't be reached, is locked, full or overloaded
  raises `HistoryUnavailable`; the caller retries, or refuses in turn.
- `SessionRecord.recent_runs` has the newest run first.
- Bounds: a queue of waiting calls that is full refuses with `HistoryUnavailable` at once.

SQLite: a writer thread commits whatever queued up while it wrote as one transaction, one
fsync for all (`lanes.py`); each call keeps its own savepoint and its own result.
"""

from pathlib import Path

from contracts.errors import ParleyError
from contracts.ports.history import History


class BadHistoryAddress(ParleyError):
    """An address that is none of `sqlite:PATH`, `memory:`."""


def open_history(url: str) -> History:
    """Return the adapter that `url` names; the caller awaits its `open()`.

    Args:
        url: `sqlite:PATH`; or `memory:`.
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
    raise BadHistoryAddress(f"{url!r} names no history: use sqlite:PATH or memory:")

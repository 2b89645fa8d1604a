"""`SqliteRetrieval`: BM25 by SQLite's FTS5, in memory, an index a chat (ADR 0017).

https://www.sqlite.org/fts5.html, "The bm25() function". An empty index takes about 100 KB, one
of 2,000 exchanges some MB.
"""

import sqlite3
from collections.abc import Sequence

from actors.session.retrieval import Passage

_WHOLE_CHARS = 600
"""Longer texts come as the part around what matches."""

_SNIPPET_TOKENS = 48

_SEARCH = f"""
SELECT rowid, number, -bm25(turns, 0.0, 1.0, 1.0) AS score, length(user), length(assistant),
       iif(length(user) <= {_WHOLE_CHARS}, user, snippet(turns, 1, '', '', '…', {_SNIPPET_TOKENS})),
       iif(length(assistant) <= {_WHOLE_CHARS}, assistant,
           snippet(turns, 2, '', '', '…', {_SNIPPET_TOKENS}))
FROM turns WHERE turns MATCH ? ORDER BY score DESC, rowid DESC LIMIT ?
"""  # noqa: S608 - own numbers


class SqliteRetrieval:
    """See `actors.session.retrieval.Retrieval`. Words match by their English stems, and without
    regard to accents. The index is made with the first exchange."""

    def __init__(self) -> None:
        self._db: sqlite3.Connection | None = None

    def add(self, passages: Sequence[Passage]) -> None:
        """Index whole exchanges; one of the same position is replaced."""
        if not passages:
            return
        db = self._opened()
        db.execute("BEGIN")
        db.executemany("DELETE FROM turns WHERE rowid = ?", [(p.position,) for p in passages])
        db.executemany(
            "INSERT INTO turns (rowid, number, user, assistant) VALUES (?, ?, ?, ?)",
            [(p.position, p.number, p.user, p.assistant) for p in passages],
        )
        db.execute("COMMIT")

    def search(self, terms: Sequence[str], limit: int) -> Sequence[Passage]:
        """Return the passages that hold any of the terms, best first."""
        if self._db is None or not terms:
            return []
        match = " OR ".join(_phrase(term) for term in terms)
        rows = self._db.execute(_SEARCH, (match, limit)).fetchall()
        return [
            Passage(position, number, user, assistant, score)
            for position, number, score, _, _, user, assistant in rows
        ]

    def clear(self) -> None:
        """Forget all."""
        self.close()

    def close(self) -> None:
        """Give the memory back."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = sqlite3.connect(":memory:", isolation_level=None)
            self._db.execute(
                "CREATE VIRTUAL TABLE turns USING fts5"
                "(number UNINDEXED, user, assistant, tokenize = 'porter unicode61')"
            )
        return self._db


def _phrase(term: str) -> str:
    """Return the term as a string of FTS5's query language, which a NUL would end."""
    return '"' + term.replace('"', '""').replace("\0", " ") + '"'

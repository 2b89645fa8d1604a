"""`SqliteRetrieval`: BM25 by SQLite's FTS5, in memory, an index a chat (ADR 0017).

https://www.sqlite.org/fts5.html, "The bm25() function". An empty index takes about 100 KB, one
of 2,000 exchanges some MB.
"""

import sqlite3
from collections.abc import Sequence

from actors.session.retrieval import Meaning, Passage

_WHOLE_CHARS = 600
"""Longer texts come as the part around what matches."""

_SNIPPET_TOKENS = 48

_SEARCH = f"""
SELECT rowid, number, -rank,
       iif(length(user) <= {_WHOLE_CHARS}, user, snippet(turns, 1, '', '', '…', {_SNIPPET_TOKENS})),
       iif(length(assistant) <= {_WHOLE_CHARS}, assistant,
           snippet(turns, 2, '', '', '…', {_SNIPPET_TOKENS}))
FROM turns WHERE turns MATCH ? ORDER BY rank LIMIT ?
"""  # noqa: S608 - own numbers
"""FTS5 sorts by `rank` itself, and makes the texts of what it returns alone."""

_COUNT = "SELECT count(*) FROM (SELECT 1 FROM turns WHERE turns MATCH ? LIMIT ?)"

_SOUGHT_MAX = 10
"""Terms of one search: the rarest."""

_COMMON_SHARE = 0.2
_FEW = 50
"""Beyond that many exchanges, a word that stands in more than the share of them is not looked
for: it would cost most of the search and say least."""


class SqliteRetrieval:
    """See `actors.session.retrieval.Retrieval`. Words match by their English stems, and without
    regard to accents. The index is made with the first exchange."""

    def __init__(self) -> None:
        self._db: sqlite3.Connection | None = None
        self._count = 0

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
        self._count += len(passages)

    def search(
        self,
        terms: Sequence[str],
        limit: int,
        meaning: Meaning | None = None,  # noqa: ARG002 - it goes by words
    ) -> Sequence[Passage]:
        """Return the passages that hold any of the terms, best first."""
        if self._db is None:
            return []
        sought = self._telling(self._db, terms)
        if not sought:
            return []
        match = " OR ".join(map(_phrase, sought))
        rows = self._db.execute(_SEARCH, (match, limit)).fetchall()
        return [
            Passage(position, number, user, assistant, score)
            for position, number, score, user, assistant in rows
        ]

    @property
    def embeds(self) -> bool:
        """No: it goes by words."""
        return False

    def unlearned(self, limit: int) -> Sequence[Passage]:  # noqa: ARG002 - there are none
        """Return none."""
        return ()

    def learn(self, meanings: Sequence[tuple[Passage, Meaning]]) -> None:
        """Take none."""

    def clear(self) -> None:
        """Forget all."""
        self.close()

    def close(self) -> None:
        """Give the memory back."""
        if self._db is not None:
            self._db.close()
            self._db = None
        self._count = 0

    def _telling(self, db: sqlite3.Connection, terms: Sequence[str]) -> list[str]:
        """Return the rarest of `terms`: a search costs what its commonest term has of turns."""
        most = self._count if self._count <= _FEW else int(self._count * _COMMON_SHARE)
        found: dict[str, int] = {}
        for term in terms:
            (count,) = db.execute(_COUNT, (_phrase(term), most + 1)).fetchone()
            if 0 < count <= most:
                found[term] = count
        return sorted(found, key=lambda term: found[term])[:_SOUGHT_MAX]

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

"""`EmbeddedRetrieval`: what a lexical index finds, and what is near in meaning (ADR 0026).

Both lists are joined by reciprocal rank (Cormack, Clarke and Büttcher, SIGIR 2009).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from actors.session.retrieval import Meaning, Passage, Retrieval, worthwhile

_RANK_OFFSET = 60
"""Of reciprocal rank fusion, as its authors advise."""

_HELD_CHARS = 1_000
"""Of each side of an exchange: what its vector is made of, and what is quoted of it."""

_STANDS_OUT = 1.5
"""A passage is near in meaning if its cosine is that many standard deviations above the chat's
mean: what cosine is near differs from model to model."""

_LEAST_PASSAGES = 5
"""Among fewer none can stand out so."""

_FIRST_ROWS = 16


class VectorRoom:
    """The memory, in bytes, that the vectors of all chats of a host may take together."""

    def __init__(self, bytes_max: int) -> None:
        self._left = bytes_max

    def take(self, size: int) -> bool:
        """Return whether there was room for `size` bytes; they are taken then."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give(self, size: int) -> None:
        """Give back what was taken."""
        self._left += size


class EmbeddedRetrieval:
    """See `actors.session.retrieval.Retrieval`. Passages without a vector, for want of `room` or
    because none came yet, are found by `lexical` alone."""

    def __init__(self, lexical: Retrieval, room: VectorRoom) -> None:
        self._lexical = lexical
        self._room = room
        self._held: dict[int, Passage] = {}
        self._unlearned: dict[int, None] = {}
        self._model = ""
        self._rows: dict[int, int] = {}
        self._positions: list[int] = []
        self._matrix: Any = np.empty((0, 0), dtype="<f4")
        self._full = False

    def add(self, passages: Sequence[Passage]) -> None:
        """Index whole exchanges; one of the same position is replaced."""
        self._lexical.add(passages)
        for passage in passages:
            self._drop_row(passage.position)
            self._held[passage.position] = replace(
                passage, user=_cut(passage.user), assistant=_cut(passage.assistant)
            )
            self._unlearned[passage.position] = None

    def search(
        self, terms: Sequence[str], limit: int, meaning: Meaning | None = None
    ) -> Sequence[Passage]:
        """Return what is found by words and by meaning, what is found by both first."""
        by_words = self._lexical.search(terms, limit)
        near = self._near(meaning, limit) if meaning is not None else []
        if not near:
            return by_words
        scores: dict[int, float] = {}
        found: dict[int, Passage] = {}
        for ranked in (worthwhile(by_words), near):
            for rank, passage in enumerate(ranked, 1):
                found.setdefault(passage.position, passage)
                more = 1.0 / (_RANK_OFFSET + rank)
                scores[passage.position] = scores.get(passage.position, 0.0) + more
        best = sorted(scores, key=lambda position: (-scores[position], position))
        return [replace(found[position], score=scores[position]) for position in best[:limit]]

    @property
    def embeds(self) -> bool:
        """Whether there are enough vectors for one to stand out."""
        return len(self._positions) >= _LEAST_PASSAGES

    def unlearned(self, limit: int) -> Sequence[Passage]:
        """Return passages without a vector; those asked for before come last."""
        if self._full:
            return ()
        asked = list(self._unlearned)[:limit]
        for position in asked:
            del self._unlearned[position]
            self._unlearned[position] = None
        return [self._held[position] for position in asked]

    def learn(self, meanings: Sequence[tuple[Passage, Meaning]]) -> None:
        """Take vectors. Those of another model than before take the place of all."""
        for passage, meaning in meanings:
            if self._held.get(passage.position) != passage:
                continue
            if meaning.model != self._model or len(meaning.vector) != self._row_bytes:
                self._forget_vectors()
                self._model = meaning.model
                self._matrix = np.empty((0, len(meaning.vector) // 4), dtype="<f4")
            self._put_row(passage.position, meaning.vector)

    def clear(self) -> None:
        """Forget all."""
        self._lexical.clear()
        self._held.clear()
        self._forget_vectors()

    def close(self) -> None:
        """Give the memory back."""
        self._lexical.close()
        self._held.clear()
        self._forget_vectors()

    # vectors: the first rows of the matrix, in no order

    @property
    def _row_bytes(self) -> int:
        return int(self._matrix.shape[1]) * 4

    def _near(self, meaning: Meaning, limit: int) -> list[Passage]:
        """Return the passages that stand out by their cosine, nearest first."""
        count = len(self._positions)
        if meaning.model != self._model or len(meaning.vector) != self._row_bytes:
            self._forget_vectors()
            return []
        if count < _LEAST_PASSAGES:
            return []
        vector = np.frombuffer(meaning.vector, dtype="<f4")
        # Not `@`: that waits for threads of BLAS, 20 ms where other processes have the cores.
        cosines = np.einsum("ij,j->i", self._matrix[:count], vector)
        least = max(0.0, float(cosines.mean() + _STANDS_OUT * cosines.std()))
        best = np.argsort(-cosines, kind="stable")[:limit]
        return [
            replace(self._held[self._positions[row]], score=float(cosines[row]))
            for row in best.tolist()
            if cosines[row] > least
        ]

    def _put_row(self, position: int, vector: bytes) -> None:
        row = self._rows.get(position, len(self._positions))
        if row == len(self._matrix) and not self._grow():
            return
        if position not in self._rows:
            self._rows[position] = row
            self._positions.append(position)
        self._matrix[row] = np.frombuffer(vector, dtype="<f4")
        self._unlearned.pop(position, None)

    def _grow(self) -> bool:
        rows, width = self._matrix.shape
        more = max(_FIRST_ROWS, rows)
        if not self._room.take(more * self._row_bytes):
            self._full = True
            return False
        grown = np.empty((rows + more, width), dtype="<f4")
        grown[:rows] = self._matrix
        self._matrix = grown
        return True

    def _drop_row(self, position: int) -> None:
        row = self._rows.pop(position, None)
        if row is None:
            return
        last = self._positions.pop()
        if last != position:
            self._matrix[row] = self._matrix[len(self._positions)]
            self._positions[row] = last
            self._rows[last] = row

    def _forget_vectors(self) -> None:
        """Whatever is held is unlearned again."""
        self._room.give(self._matrix.nbytes)
        self._matrix = np.empty((0, 0), dtype="<f4")
        self._model = ""
        self._rows.clear()
        self._positions.clear()
        self._full = False
        self._unlearned = dict.fromkeys(self._held)


def _cut(text: str) -> str:
    return text if len(text) <= _HELD_CHARS else text[: _HELD_CHARS - 1] + "…"

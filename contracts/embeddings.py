"""What is asked of embedding workers, and what they answer: by request and reply, nothing kept.

An answer that is lost costs a search some of what it would have found, never a turn.
"""

from contracts.base import Tagged, Wire
from contracts.errors import Problem

EMBEDDING_POOL = "embeddings"
"""The pool of the embedding workers. It has no scheduler: whoever is free answers."""

BATCH_MAX = 16
"""Inputs of one request: the answer is one message, below 1 MB up to 10,000 dimensions."""


class EmbedInputs(Wire):
    """Make a vector of each input, a text or its tokens: at most `BATCH_MAX`, at least one.

    `truncate`: an input that is longer than the model's window is cut instead of refused.
    `within_ms` after its arrival an answer is of no use, and the worker need not begin.
    """

    inputs: tuple[str | tuple[int, ...], ...]
    within_ms: int
    truncate: bool = False


class Embedded(Tagged, tag="embedded"):
    """A vector for each input, in their order: `float32`, little-endian, of length 1.

    Only vectors of the same `model` can be compared. `tokens` were read in all.
    """

    model: str
    vectors: tuple[bytes, ...]
    tokens: int = 0


class EmbedRefused(Tagged, tag="refused"):
    """No vectors: the inputs don't fit the model, or the worker has too much to do."""

    problem: Problem


EmbedReply = Embedded | EmbedRefused

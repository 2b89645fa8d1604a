"""The embedder: tokens in, vectors out. Real: vLLM. Simulated: hashed pieces of words, which
find the same words and no meaning, and labelled so. One suite runs on both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class EmbedderInfo:
    """What an embedder is. `context_length` in tokens, of one input."""

    kind: Literal["vllm", "sim"]
    model: str
    context_length: int
    dimensions: int


class Embedder(Protocol):
    """An engine that makes vectors. Every method belongs to one event loop."""

    @property
    def info(self) -> EmbedderInfo:
        """What it is; known after `start`."""
        ...

    async def start(self, progress: Callable[[str], None]) -> None:
        """Load and warm up; call `progress` with a sentence for each step. Raises EngineDead
        with the reason."""
        ...

    async def embed(self, inputs: Sequence[tuple[int, ...]]) -> tuple[bytes, ...]:
        """Return a vector for each input, in their order: `float32`, little-endian, of length
        1; the same input has the same vector up to rounding, whatever it is batched with.

        Raises EngineRefused (these inputs only: an empty one, one longer than the window, a
        token that the model does not have), EngineDead (all).
        """
        ...

    async def died(self) -> str:
        """Return the reason, when the embedder has died by itself; waits until then."""
        ...

    async def close(self) -> None:
        """End it and all its processes."""
        ...

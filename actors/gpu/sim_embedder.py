"""A simulated embedder: pieces of words, hashed. Texts that share words are near each other, and
so are a word's forms; what texts mean it does not know. For tests and `--engine sim`."""

import asyncio
import zlib
from collections.abc import Callable, Sequence

from actors.gpu.vectors import unit_vector
from contracts.base import Wire
from contracts.errors import EngineDead, EngineRefused
from contracts.ports.clock import Clock
from contracts.ports.embedder import EmbedderInfo

_GRAM = 4


class SimEmbedderConfig(Wire):
    """How it behaves. `batch_ms` is what each call takes. Faults, each 0 for never, counted in
    inputs over its life: after `stall_after` it answers no more, after `crash_after` it dies."""

    model: str = "sim"
    context_length: int = 512
    dimensions: int = 256
    batch_ms: int = 1
    stall_after: int = 0
    crash_after: int = 0


class SimEmbedder:
    """See `contracts.ports.embedder.Embedder`; `info.kind` says that it is simulated. `decode`
    gives the text of tokens: '' of those that the model does not have."""

    def __init__(
        self,
        config: SimEmbedderConfig,
        clock: Clock,
        decode: Callable[[tuple[int, ...]], str],
        vocabulary: int,
    ) -> None:
        self._config = config
        self._clock = clock
        self._decode = decode
        self._vocabulary = vocabulary
        self._seen = 0
        self._dead = asyncio.Event()
        self._reason = ""

    @property
    def info(self) -> EmbedderInfo:
        """What it is."""
        config = self._config
        return EmbedderInfo("sim", config.model, config.context_length, config.dimensions)

    async def start(self, progress: Callable[[str], None]) -> None:
        """It needs no start."""
        progress("The simulated embedder is ready.")

    async def embed(self, inputs: Sequence[tuple[int, ...]]) -> tuple[bytes, ...]:
        """Return the hashed pieces of each input's text."""
        if self._dead.is_set():
            raise EngineDead(self._reason)
        config = self._config
        for tokens in inputs:
            if not 0 < len(tokens) <= config.context_length:
                raise EngineRefused(
                    f"an input has {len(tokens)} tokens, and the model takes 1 to "
                    f"{config.context_length}"
                )
            if min(tokens) < 0 or max(tokens) >= self._vocabulary:
                raise EngineRefused("an input has a token that the model does not have")
        self._seen += len(inputs)
        if 0 < config.crash_after <= self._seen:
            self._end("it was told to crash")
            raise EngineDead(self._reason)
        if 0 < config.stall_after <= self._seen:
            await self._dead.wait()
            raise EngineDead(self._reason)
        await self._clock.sleep(config.batch_ms / 1000)
        return tuple(self._vector(self._decode(tokens)) for tokens in inputs)

    def _vector(self, text: str) -> bytes:
        values = [0.0] * self._config.dimensions
        for word in text.casefold().split():
            marked = f" {word.strip('.,:;?!')} ".encode()
            for start in range(max(1, len(marked) - _GRAM + 1)):
                hashed = zlib.crc32(marked[start : start + _GRAM])
                values[(hashed >> 1) % len(values)] += 1.0 if hashed & 1 else -1.0
        return unit_vector(values if any(values) else [1.0, *values[1:]])

    async def died(self) -> str:
        """Return when it has crashed or was closed."""
        await self._dead.wait()
        return self._reason

    async def close(self) -> None:
        """End it."""
        self._end("it was closed")

    def _end(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._dead.set()

"""The engine: prompts in, tokens out. Real: vLLM. Simulated: seeded tokens, for scale and
chaos, and labelled so wherever it shows. One suite runs on both."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from contracts.runs import Sampling, Sight, TokenLogprob

PICTURE_PIXELS_MAX = 4096 * 4096
"""The most pixels of a picture: 48 MiB when it is unpacked."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is. `context_length` in tokens, prompt and output together; `slots` the
    most sequences that it decodes at once; `kv_tokens` what its cache holds; `sight` what its
    model sees (None: no pictures)."""

    kind: Literal["vllm", "sim"]
    model: str
    context_length: int
    slots: int
    block_size: int
    kv_tokens: int
    sight: Sight | None = None


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """`running` and `waiting` sequences, `kv_used` a share from 0 to 1."""

    running: int = 0
    waiting: int = 0
    kv_used: float = 0.0


@dataclass(frozen=True, slots=True)
class EngineOutput:
    """What one step added: `tokens` (may be empty with a finish), `finish` when it is the
    last. `cached_tokens` of the prompt, with the first output, as is `prompt_tokens`, what the
    engine made of the prompt, if it has pictures. A final end-of-sequence token
    is among the tokens; stop strings are not the engine's business. `start` is the number of
    the first of `tokens` within this request, from 0: an output that comes twice is known by
    it. `logprobs`, if asked for, has one for each of `tokens`."""

    tokens: tuple[int, ...]
    finish: Literal["stop", "length"] | None = None
    cached_tokens: int | None = None
    prompt_tokens: int | None = None
    start: int | None = None
    logprobs: tuple[TokenLogprob, ...] = ()


BlockId = int | bytes
"""An engine's own name of a block of its prefix cache; it means nothing elsewhere."""


@dataclass(frozen=True, slots=True)
class BlocksStored:
    """Blocks in a row are in the prefix cache: `tokens` has `block_size` for each of `blocks`,
    the first follows the block `parent` (None: it begins a prompt). A block that is stored
    twice is removed twice."""

    blocks: tuple[BlockId, ...]
    parent: BlockId | None
    tokens: tuple[int, ...]
    block_size: int


@dataclass(frozen=True, slots=True)
class BlocksRemoved:
    """Blocks are no longer in the prefix cache. What follows them is of no use until they are
    again, and may be removed later or never."""

    blocks: tuple[BlockId, ...]


@dataclass(frozen=True, slots=True)
class BlocksCleared:
    """The prefix cache is empty, or nothing is known of it any more."""


BlockChange = BlocksStored | BlocksRemoved | BlocksCleared


class Engine(Protocol):
    """An engine that batches continuously. Every method belongs to one event loop."""

    @property
    def info(self) -> EngineInfo:
        """What it is; known after `start`."""
        ...

    def on_blocks(self, handler: Callable[[Sequence[BlockChange]], None]) -> None:
        """Call `handler` with all that the prefix cache stores and removes, in order, from the
        start on; to be said before it. An engine without such news never calls."""
        ...

    async def start(self, progress: Callable[[str], None]) -> None:
        """Load and warm up until the first token would come quickly; call `progress` with a
        sentence for each step. Raises EngineDead with the reason."""
        ...

    def generate(
        self,
        request_id: str,
        prompt: tuple[int, ...],
        sampling: Sampling,
        pictures: Sequence[bytes] = (),
    ) -> AsyncIterator[EngineOutput]:
        """Yield what is produced, as it is produced, until a finish or `abort`. `pictures` are
        files (PNG, JPEG, GIF, WebP) in the order of their marks in the prompt; the model's mark
        is no token that an answer to them has.

        Raises EngineRefused (this request only), EngineDead (all).
        """
        ...

    async def abort(self, request_id: str) -> None:
        """Return when the sequence holds no room any more; unknown ids are no error."""
        ...

    def load(self) -> EngineLoad:
        """Return the load as last known."""
        ...

    async def died(self) -> str:
        """Return the reason, when the engine has died by itself; waits until then."""
        ...

    async def close(self) -> None:
        """End the engine and all its processes."""
        ...

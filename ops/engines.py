"""The engine of a gpu actor, or the embedder of an embedding worker, as the settings choose it."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from actors.gpu.sim_embedder import SimEmbedder, SimEmbedderConfig
from actors.gpu.sim_engine import SimConfig, SimEngine
from actors.gpu.vllm_embedder import VllmEmbedder
from actors.gpu.vllm_engine import VllmEngine
from actors.runtime.tokenizer import HfTextCodec, printable_tokens
from contracts.ports.clock import Clock
from contracts.ports.embedder import Embedder, EmbedderInfo
from contracts.ports.engine import BlockChange, Engine, EngineInfo, EngineLoad, EngineOutput
from contracts.runs import Sampling
from ops.model_files import ModelFiles
from ops.notify import Notifier
from ops.setting_values import BadSetting
from ops.settings import Settings

Config = TypeVar("Config", SimConfig, SimEmbedderConfig)
_SIM_VOCABULARY = 512


class TellingEngine:
    """An engine that tells the supervisor how its start goes, and that it is ready."""

    def __init__(self, engine: Engine, notifier: Notifier) -> None:
        self._engine = engine
        self._notifier = notifier

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        return self._engine.info

    def on_blocks(self, handler: Callable[[Sequence[BlockChange]], None]) -> None:
        """Hand on who wants to hear of the prefix cache."""
        self._engine.on_blocks(handler)

    async def start(self, progress: Callable[[str], None]) -> None:
        """Start it; `progress` and the supervisor hear of each step."""

        def both(sentence: str) -> None:
            progress(sentence)
            self._notifier.progress(sentence)

        await self._engine.start(both)
        info = self._engine.info
        self._notifier.ready(f"{info.kind}, {info.model}, {info.slots} at once")

    def generate(
        self,
        request_id: str,
        prompt: tuple[int, ...],
        sampling: Sampling,
        pictures: Sequence[bytes] = (),
    ) -> AsyncIterator[EngineOutput]:
        """Hand the request on."""
        return self._engine.generate(request_id, prompt, sampling, pictures)

    async def abort(self, request_id: str) -> None:
        """Hand the request on."""
        await self._engine.abort(request_id)

    def load(self) -> EngineLoad:
        """Return the load as last known."""
        return self._engine.load()

    async def died(self) -> str:
        """Wait for its death."""
        return await self._engine.died()

    async def close(self) -> None:
        """End it."""
        await self._engine.close()


class TellingEmbedder:
    """An embedder that tells the supervisor how its start goes, and that it is ready."""

    def __init__(self, embedder: Embedder, notifier: Notifier) -> None:
        self._embedder = embedder
        self._notifier = notifier

    @property
    def info(self) -> EmbedderInfo:
        """What it is."""
        return self._embedder.info

    async def start(self, progress: Callable[[str], None]) -> None:
        """Start it; `progress` and the supervisor hear of each step."""

        def both(sentence: str) -> None:
            progress(sentence)
            self._notifier.progress(sentence)

        await self._embedder.start(both)
        info = self._embedder.info
        self._notifier.ready(f"{info.kind}, {info.model}, {info.dimensions} dimensions")

    async def embed(self, inputs: Sequence[tuple[int, ...]]) -> tuple[bytes, ...]:
        """Hand the inputs on."""
        return await self._embedder.embed(inputs)

    async def died(self) -> str:
        """Wait for its death."""
        return await self._embedder.died()

    async def close(self) -> None:
        """End it."""
        await self._embedder.close()


def make_engine(settings: Settings, files: ModelFiles, codec: HfTextCodec, clock: Clock) -> Engine:
    """Return the engine, not started.

    Raises:
        BadSetting: an engine argument that the simulated engine does not have.
    """
    arguments = dict(settings.engine_args)
    window = settings.context_tokens
    if settings.engine == "vllm":
        if window:
            arguments.setdefault("max_model_len", window)
        return VllmEngine(files.path, arguments, pictures_max=settings.pictures)
    base = {
        "vocabulary": printable_tokens(codec, _SIM_VOCABULARY),
        "model": files.model_id,
        "eos_token": min(codec.eos_tokens, default=-1),
        "eos_every": 200,
        "context_length": window or files.context_length,
    }
    if codec.picture_mark is not None:
        base |= {"pictures_max": settings.pictures, "picture_mark": codec.picture_mark}
    return SimEngine(_simulated("engine_arg", base | arguments, SimConfig), clock)


def make_embedder(
    settings: Settings, files: ModelFiles, codec: HfTextCodec, clock: Clock
) -> Embedder:
    """Return the embedder, not started.

    Raises:
        BadSetting: an argument that the simulated embedder does not have.
    """
    arguments = dict(settings.embedding_args)
    if settings.engine == "vllm":
        return VllmEmbedder(files.path, arguments)
    base = {"model": files.model_id, "context_length": files.context_length}
    config = _simulated("embedding_arg", base | arguments, SimEmbedderConfig)
    return SimEmbedder(config, clock, codec.decode, codec.vocabulary)


def _simulated(key: str, arguments: Mapping[str, object], kind: type[Config]) -> Config:
    names = {field.name: field.encode_name for field in msgspec.structs.fields(kind)}
    unknown = [name for name in arguments if name not in names]
    if unknown:
        raise BadSetting(
            f"{key} {unknown[0]} is none of the simulated engine's, which are {', '.join(names)}."
        )
    try:
        return msgspec.convert({names[name]: arguments[name] for name in arguments}, kind)
    except msgspec.ValidationError as error:
        raise BadSetting(f"An {key} does not fit the simulated engine: {error}.") from error

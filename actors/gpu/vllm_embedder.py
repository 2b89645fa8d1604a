"""vLLM's pooling runner as the embedder: any model that vLLM can make vectors with."""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from actors.gpu.vectors import unit_vector
from actors.gpu.vllm_host import VllmHost
from contracts.errors import EngineDead, EngineRefused
from contracts.ports.embedder import EmbedderInfo

_WARM_UP = (1, 2, 3, 4)


class VllmEmbedder:
    """See `contracts.ports.embedder.Embedder`.

    `engine_args` are fields of vLLM's `AsyncEngineArgs` and win over the defaults;
    `environment` wins over `vllm_host.ENVIRONMENT` and over the process's own. How token
    vectors become one (mean, first, last) is what the model's files say, as vLLM reads them.
    """

    def __init__(
        self,
        model_path: Path,
        engine_args: Mapping[str, object] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._model_path = model_path
        self._engine_args = dict(engine_args or {})
        self._host = VllmHost(environment or {})
        self._numbers = itertools.count(1)
        self._info: EmbedderInfo | None = None
        self._params: Any = None
        self._refusals: tuple[type[Exception], ...] = ()
        self._vocabulary = 0

    @property
    def info(self) -> EmbedderInfo:
        """What it is; known after `start`."""
        if self._info is None:
            raise EngineDead("the embedder has not started")
        return self._info

    async def start(self, progress: Callable[[str], None]) -> None:
        """Import vLLM, load the model, and make a vector.

        Raises:
            EngineDead: vLLM could not start, or the model makes no vectors.
        """
        progress("Importing vLLM.")
        await self._host.imported(self._import)
        progress(f"Loading {self._model_path.name} into vLLM.")
        llm = await self._host.load(self._args)
        tasks = await llm.get_supported_tasks()
        if "embed" not in tasks:
            raise EngineDead(
                f"vLLM makes no embeddings with {self._model_path.name}; it can be used for "
                f"{', '.join(sorted(tasks))}"
            )
        config = llm.vllm_config.model_config
        self._vocabulary = config.get_vocab_size()
        progress("Warming up.")
        dimensions = len(await self._vector(_WARM_UP)) // 4
        self._info = EmbedderInfo(
            kind="vllm",
            model=self._model_path.name,
            context_length=config.max_model_len,
            dimensions=dimensions,
        )
        progress("The embedder is ready.")

    async def embed(self, inputs: Sequence[tuple[int, ...]]) -> tuple[bytes, ...]:
        """Return what vLLM makes of each, all of them at once in its batches."""
        for tokens in inputs:
            if not tokens or len(tokens) > self.info.context_length:
                raise EngineRefused(
                    f"an input has {len(tokens)} tokens, and the model takes 1 to "
                    f"{self.info.context_length}"
                )
            if min(tokens) < 0 or max(tokens) >= self._vocabulary:
                raise EngineRefused("an input has a token that the model does not have")
        return tuple(await asyncio.gather(*map(self._vector, inputs)))

    async def _vector(self, tokens: tuple[int, ...]) -> bytes:
        llm = self._host.llm
        if self._host.failed:
            raise EngineDead("the embedder has failed")
        name = f"embed-{next(self._numbers)}"
        request = {"type": "token", "prompt_token_ids": list(tokens)}
        try:
            outputs = llm.encode(request, self._params(task="embed"), name)
            found = [output async for output in outputs][-1]
        except self._refusals as error:
            raise EngineRefused(str(error)) from error
        except Exception as error:
            # vLLM wraps what went wrong in several classes; the engine itself knows.
            if llm.errored:
                raise EngineDead(f"the embedder has failed: {error}") from error
            raise
        return unit_vector(found.outputs.data.float().tolist())

    async def died(self) -> str:
        """Return when a process of the engine has exited, or it has given itself up."""
        return await self._host.died()

    async def close(self) -> None:
        """End the engine and all its processes, also one that is still starting."""
        await self._host.close()

    def _import(self) -> None:
        from vllm import PoolingParams  # noqa: PLC0415 - after the environment is set
        from vllm.exceptions import GracefulHTTPError, VLLMClientError  # noqa: PLC0415

        self._params = PoolingParams
        self._refusals = (VLLMClientError, GracefulHTTPError, ValueError)

    def _args(self, on_cpu: bool) -> Mapping[str, object]:
        args: dict[str, object] = {"model": str(self._model_path), "runner": "pooling"}
        if on_cpu:
            args["block_size"] = 32
        return args | self._engine_args

"""A real vLLM engine or embedder for tests, whose own warnings are not ours."""

import gc
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.gpu.vllm_embedder import VllmEmbedder
from actors.gpu.vllm_engine import VllmEngine


@asynccontextmanager
async def started(engine: VllmEngine | VllmEmbedder) -> AsyncIterator[None]:
    """Start it, and close it at the end."""
    with warnings.catch_warnings():
        # torch and vLLM warn of their own affairs while they are imported.
        warnings.simplefilter("ignore")
        await engine.start(lambda _: None)
    yield
    with warnings.catch_warnings():
        # vLLM leaves contexts of ZeroMQ to the garbage collector.
        warnings.simplefilter("ignore")
        await engine.close()
        gc.collect()

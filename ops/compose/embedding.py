"""An embedding worker and its embedder."""

from functools import partial

from actors.gpu.embedding_actor import EmbeddingActor, EmbeddingConfig
from actors.runtime.tokenizer import HfTextCodec
from contracts.embeddings import EMBEDDING_POOL
from ops.compose.gpu import NO_RESTART
from ops.compose.process import Part, joined_bus, serve
from ops.embedding_model import embedding_files
from ops.engines import TellingEmbedder, make_embedder
from ops.notify import Notifier
from ops.settings import Settings


async def run(settings: Settings, actor_id: str, notifier: Notifier) -> None:
    """Run an embedding worker until SIGTERM or SIGINT, or until its engine dies."""
    files = embedding_files(settings, weights=settings.engine == "vllm")
    assert files is not None, "the command asks for an embedding model first"
    codec = HfTextCodec.load(files.path)
    config = EmbeddingConfig(worker=actor_id, pool=EMBEDDING_POOL, drain_ms=settings.drain_s * 1000)
    async with joined_bus(settings, "gpu", actor_id) as (bus, clock):
        embedder = TellingEmbedder(make_embedder(settings, files, codec, clock), notifier)
        make = partial(EmbeddingActor, config, bus=bus, embedder=embedder, codec=codec, clock=clock)
        await serve([Part(actor_id, make)], bus, clock, None, NO_RESTART)

"""An edge."""

from functools import partial

from litestar import Litestar

from actors.runtime.clock import SystemClock
from actors.runtime.token_log import BusTokenLog
from actors.runtime.tokenizer import HfTextCodec
from contracts.embeddings import EMBEDDING_POOL
from contracts.scheduling import ActorInfo
from edge.app import create_app
from edge.config import EdgeConfig, EmbeddingPool, ModelPool
from edge.listening import inherited
from edge.server import EdgeServer
from ops.compose.process import Part, joined_bus, models_of, opened_history, serve
from ops.embedding_model import embedding_files
from ops.files import open_files
from ops.model_files import ModelFiles
from ops.notify import Notifier
from ops.settings import Settings, files_url
from ops.tables import PoolSettings
from ops.token_keys import load_token_keys

_FIRST_STATUS_S = 1.5
"""Schedulers broadcast twice a second."""


class ListedEdge(EdgeServer):
    """An edge that `parley ps` lists. It has taken its port when it is made, the one that its
    supervisor holds for it, if it has one.

    Raises:
        CannotListen: the port is taken or may not be used.
    """

    def __init__(self, app: Litestar, config: EdgeConfig, actor_id: str, epoch: int) -> None:
        super().__init__(app, config, inherited())
        self._actor_id = actor_id
        self._epoch = epoch
        self.bind()

    def info(self, pid: int, host: str) -> ActorInfo:
        """Return its row."""
        state = "serving" if self.serving else "starting"
        return ActorInfo(
            role="edge",
            id=self._actor_id,
            pid=pid,
            host=host,
            state=state,
            epoch=self._epoch,
        )


def _demonstrates(said: PoolSettings, files: ModelFiles) -> bool:
    return files.shipped if said.demonstration is None else said.demonstration


async def run(settings: Settings, actor_id: str, notifier: Notifier) -> None:
    """Run an edge until SIGTERM or SIGINT."""
    models = models_of(settings, weights=False)
    embeds = embedding_files(settings, weights=False)
    epoch = SystemClock().now_ms()
    config = EdgeConfig(
        reader=f"{actor_id}@{epoch}",
        models=tuple(
            ModelPool(
                model=files.model_id,
                pool=pool,
                context_length=settings.context_tokens,
                demonstration=_demonstrates(settings.served[pool], files),
                sampling=files.sampling,
                fallback=settings.served[pool].fallback,
                description=settings.served[pool].description,
                abilities=settings.served[pool].abilities,
            )
            for pool, files in models.items()
        ),
        embeddings=EmbeddingPool(embeds.model_id, EMBEDDING_POOL, embeds.context_length)
        if embeds is not None
        else None,
        token_keys=load_token_keys(settings.token_keys or settings.home / "token-keys"),
        host=settings.host,
        port=settings.port,
        allow_guests=settings.allow_guests,
        first_status_s=_FIRST_STATUS_S,
    )
    codecs = {files.model_id: HfTextCodec.load(files.path) for files in models.values()}
    async with (
        joined_bus(settings, "edge", actor_id) as (bus, clock),
        opened_history(settings, notifier) as history,
    ):
        app = create_app(
            config,
            bus=bus,
            log=BusTokenLog(bus, clock, siblings=settings.nats_replicas > 1),
            history=history,
            files=open_files(files_url(settings)),
            codecs=codecs,
            clock=clock,
        )
        await serve(
            [Part(actor_id, partial(ListedEdge, app, config, actor_id, epoch))],
            bus,
            clock,
            notifier,
        )

"""A gpu actor and its engine."""

import os
import socket
from functools import partial

from actors.gpu.actor import GpuActor
from actors.gpu.config import GpuConfig
from actors.runtime.host import Intensity
from actors.runtime.token_log import BusTokenLog
from actors.runtime.tokenizer import HfTextCodec
from ops.compose.process import Part, joined_bus, serve
from ops.engines import TellingEngine, make_engine
from ops.files import open_files
from ops.model_files import find_model
from ops.notify import Notifier
from ops.settings import Settings, files_url, model_of

NO_RESTART = Intensity(max_restarts=0)
"""An engine can't be started again in the process in which it died."""


async def run(settings: Settings, actor_id: str, notifier: Notifier, *, pool: str) -> None:
    """Run a gpu actor and its engine until SIGTERM or SIGINT, or until the engine dies."""
    files = find_model(model_of(settings, pool), weights=settings.engine == "vllm")
    codec = HfTextCodec.load(files.path)
    config = GpuConfig(
        worker=actor_id,
        pool=pool,
        model=files.model_id,
        drain_ms=settings.drain_s * 1000,
        host=socket.gethostname(),
        pid=os.getpid(),
    )
    sees = codec.picture_mark is not None and settings.pictures > 0
    async with joined_bus(settings, "gpu", actor_id) as (bus, clock):
        engine = TellingEngine(make_engine(settings, files, codec, clock), notifier)
        make = partial(
            GpuActor,
            config,
            bus=bus,
            log=BusTokenLog(bus, clock, siblings=settings.nats_replicas > 1),
            engine=engine,
            codec=codec,
            clock=clock,
            files=open_files(files_url(settings)) if sees else None,
        )
        await serve([Part(actor_id, make)], bus, clock, None, NO_RESTART)

"""A host of session actors."""

from collections.abc import Mapping

from actors.runtime.token_log import BusTokenLog
from actors.runtime.tokenizer import HfTextCodec
from actors.session import ModelContext, SessionConfig, SessionHost, Shares
from actors.session.sqlite_retrieval import SqliteRetrieval
from ops.compose.process import Part, joined_bus, models_of, opened_history, serve
from ops.notify import Notifier
from ops.settings import MemoryKind, Settings

_OUTPUT_SHARE = 4
"""A prompt leaves at least a quarter of the window to its answer."""

_SHARES: Mapping[MemoryKind, Shares] = {
    "both": Shares(),
    "summary": Shares(retrieved=0),
    "retrieval": Shares(summary=0),
    "verbatim": Shares(summary=0, retrieved=0),
}


async def run(settings: Settings, actor_id: str, notifier: Notifier) -> None:
    """Run a host of session actors until SIGTERM or SIGINT."""
    models = models_of(settings, weights=False)
    contexts = {}
    for pool, files in models.items():
        window = settings.context_tokens or files.context_length
        contexts[files.model_id] = ModelContext(
            model=files.model_id,
            pool=pool,
            codec=HfTextCodec.load(files.path),
            context_length=window,
            output_reserve=window // _OUTPUT_SHARE,
            max_output=settings.max_output_tokens,
            system_prompt=settings.system_prompt,
            shares=_SHARES[settings.memory],
            quotes_known=files.shipped,
        )
    config = SessionConfig(
        models=contexts,
        default_model=next(iter(contexts)),
        titles=settings.memory in ("both", "summary"),
    )
    async with (
        joined_bus(settings, "session", actor_id) as (bus, clock),
        opened_history(settings, notifier) as history,
    ):
        log = BusTokenLog(bus, clock)

        def make() -> SessionHost:
            return SessionHost(
                config,
                bus=bus,
                log=log,
                history=history,
                clock=clock,
                host_id=actor_id,
                new_index=SqliteRetrieval,
            )

        await serve([Part(actor_id, make)], bus, clock, notifier)

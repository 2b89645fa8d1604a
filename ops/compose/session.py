"""A host of session actors."""

from collections.abc import Callable, Mapping

from actors.runtime.token_log import BusTokenLog
from actors.runtime.tokenizer import HfTextCodec
from actors.session import ModelContext, SessionConfig, SessionHost, Shares
from actors.session.embedding import TurnEmbedder
from actors.session.retrieval import Retrieval
from actors.session.sqlite_retrieval import SqliteRetrieval
from ops.compose.process import Part, joined_bus, models_of, opened_history, serve
from ops.notify import Notifier
from ops.settings import MemoryKind, Settings

_OUTPUT_SHARE = 4
"""A prompt leaves at least a quarter of the window to its answer."""

_VECTOR_BYTES = 512 << 20
"""For the vectors of older turns of all chats of a host: half a million turns of 256 dimensions."""

_SHARES: Mapping[MemoryKind, Shares] = {
    "both": Shares(),
    "summary": Shares(retrieved=0),
    "retrieval": Shares(summary=0),
    "verbatim": Shares(summary=0, retrieved=0),
}


def _embedded_index() -> Callable[[], Retrieval]:
    """Return what makes the index of a chat, in the room that all chats of this host share."""
    from actors.session.embedded_retrieval import (  # noqa: PLC0415 - NumPy only where it is used
        EmbeddedRetrieval,
        VectorRoom,
    )

    room = VectorRoom(_VECTOR_BYTES)
    return lambda: EmbeddedRetrieval(SqliteRetrieval(), room)


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
        log = BusTokenLog(bus, clock, siblings=settings.nats_replicas > 1)
        embeds = bool(settings.embedding_model and _SHARES[settings.memory].retrieved)
        new_index = _embedded_index() if embeds else SqliteRetrieval

        def make() -> SessionHost:
            return SessionHost(
                config,
                bus=bus,
                log=log,
                history=history,
                clock=clock,
                host_id=actor_id,
                new_index=new_index,
                embedder=TurnEmbedder(bus, clock) if embeds else None,
            )

        await serve([Part(actor_id, make)], bus, clock, notifier)

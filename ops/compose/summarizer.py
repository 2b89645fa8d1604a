"""A host of summarizers."""

from actors.runtime.token_log import BusTokenLog
from actors.runtime.tokenizer import HfTextCodec
from actors.summarizer import SummarizerConfig, SummarizerHost
from actors.summarizer.config import EXCHANGES_MAX, FORM, INSTRUCTION, TITLE_FORM, TITLE_INSTRUCTION
from ops.compose.process import Part, joined_bus, opened_history, serve
from ops.model_files import find_model
from ops.notify import Notifier
from ops.settings import Settings, model_of

CHEAP_POOL = "fast"
"""The pool that writes summaries, where there is one of this name; else the first."""


async def run(settings: Settings, actor_id: str, notifier: Notifier) -> None:
    """Run a host of summarizers until SIGTERM or SIGINT."""
    pool = CHEAP_POOL if CHEAP_POOL in settings.pools else settings.pools[0]
    files = find_model(model_of(settings, pool), weights=False)
    config = SummarizerConfig(
        pool=pool,
        model=files.model_id,
        codec=HfTextCodec.load(files.path),
        context_length=settings.context_tokens or files.context_length,
        instruction=INSTRUCTION if files.shipped else INSTRUCTION + FORM,
        rewrites=not files.shipped,
        exchanges_max=1 if files.shipped else EXCHANGES_MAX,
        title_instruction=TITLE_INSTRUCTION if files.shipped else TITLE_INSTRUCTION + TITLE_FORM,
    )
    async with (
        joined_bus(settings, "summarizer", actor_id) as (bus, clock),
        opened_history(settings, notifier) as history,
    ):
        log = BusTokenLog(bus, clock, siblings=settings.nats_replicas > 1)

        def make() -> SummarizerHost:
            return SummarizerHost(
                config, bus=bus, log=log, history=history, clock=clock, host_id=actor_id
            )

        await serve([Part(actor_id, make)], bus, clock, notifier)

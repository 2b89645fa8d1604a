"""The schedulers of the pools."""

from functools import partial

from actors.runtime.token_log import BusTokenLog
from actors.scheduler import SchedulerActor, SchedulerConfig, TierConfig
from ops.compose.process import Part, joined_bus, models_of, serve
from ops.notify import Notifier
from ops.settings import Settings


async def run(settings: Settings, actor_id: str, notifier: Notifier) -> None:
    """Run the scheduler of every pool until SIGTERM or SIGINT."""
    tiers: dict[str, TierConfig] = {
        tier: TierConfig(weight=weight, wait_limit_ms=settings.tier_waits_s[tier] * 1000)
        for tier, weight in settings.tier_weights.items()
    }
    async with joined_bus(settings, "scheduler", actor_id) as (bus, clock):
        log = BusTokenLog(bus, clock)
        parts: list[Part] = []
        for pool, files in models_of(settings, weights=False).items():
            config = SchedulerConfig(
                pool=pool,
                model=files.model_id,
                context_length=settings.context_tokens or files.context_length,
                tiers=tiers,
                queue_max=settings.queue_limit,
                affinity=settings.affinity,
            )
            name = actor_id if len(settings.models) == 1 else f"{actor_id}-{pool}"
            make = partial(SchedulerActor, config, bus=bus, log=log, clock=clock, actor_id=name)
            parts.append(Part(name, make))
        await serve(parts, bus, clock, notifier)

"""The schedulers of the pools."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import structlog

from actors.runtime.host import Actor, Child
from actors.runtime.token_log import BusTokenLog
from actors.scheduler import SchedulerActor, SchedulerConfig
from contracts.ports.bus import Bus
from contracts.ports.clock import Clock
from ops.compose.process import Part, joined_bus, models_of, serve
from ops.file_watch import FileWatch
from ops.leaders import LeadersApart
from ops.model_files import ModelFiles
from ops.notify import Notifier
from ops.old_objects import OldObjects
from ops.placement import scheduler_ids
from ops.setting_values import BadSetting
from ops.settings import Settings, reloaded

_log = structlog.get_logger()


def config_of(settings: Settings, pool: str, files: ModelFiles) -> SchedulerConfig:
    """Return the settings of a pool's scheduler."""
    served = settings.served[pool]
    return SchedulerConfig(
        pool=pool,
        model=files.model_id,
        context_length=settings.context_tokens or files.context_length,
        tiers=settings.tiers,
        costs=served.costs,
        fallback=served.fallback,
        queue_max=settings.queue_limit,
        affinity=settings.affinity,
        order=settings.order,
    )


class Reloading:
    """The present settings of the schedulers of one process, and the actors that go by them. A
    file that does not fit is refused with the sentence in the log, and the old one stays."""

    def __init__(self, settings: Settings, files: Mapping[str, ModelFiles]) -> None:
        self._settings = settings
        self._files = files
        self._actors: dict[str, SchedulerActor] = {}

    def maker(
        self, pool: str, bus: Bus, side_bus: Bus, clock: Clock, actor_id: str
    ) -> Callable[[], SchedulerActor]:
        """Return what makes the actor of a pool, with the settings that hold then."""

        def make() -> SchedulerActor:
            self._actors[pool] = SchedulerActor(
                config_of(self._settings, pool, self._files[pool]),
                bus=bus,
                log=BusTokenLog(bus, clock, siblings=self._settings.nats_replicas > 1),
                clock=clock,
                actor_id=actor_id,
                side_bus=side_bus,
            )
            return self._actors[pool]

        return make

    def reload(self) -> None:
        """Take tiers and costs as the file has them now, from the next decision on."""
        try:
            settings = reloaded(self._settings)
        except BadSetting as error:
            _log.warning("settings refused, the old ones stay", error=str(error))
            return
        if settings.pools != self._settings.pools:
            _log.warning("other models take a restart, the old settings stay")
            return
        self._settings = settings
        for pool, actor in self._actors.items():
            actor.reconfigure(config_of(settings, pool, self._files[pool]))
        _log.info("settings reloaded", file=settings.sources.path)


async def run(settings: Settings, actor_id: str, notifier: Notifier) -> None:
    """Run the scheduler of every pool until SIGTERM or SIGINT. Leases, journals and
    requests have a connection of their own: a deep queue, which a new scheduler is sent as a
    whole, would stand before their answers for longer than a lease lasts."""
    async with (
        joined_bus(settings, "scheduler", actor_id) as (bus, clock),
        joined_bus(settings, "scheduler", actor_id) as (side_bus, _),
    ):
        reloading = Reloading(settings, models_of(settings, weights=False))
        parts: list[Part] = []
        for pool, name in scheduler_ids(actor_id, settings.pools).items():
            parts.append(Part(name, reloading.maker(pool, bus, side_bus, clock, name)))
        more = [*_watches(settings, reloading), Child("old objects", _old_objects)]
        if settings.nats_replicas > 1:
            more.append(Child("leaders", _leaders_apart(side_bus)))
        await serve(parts, bus, clock, notifier, more=more)


async def _old_objects() -> Actor:
    return OldObjects()


def _leaders_apart(bus: Bus) -> Callable[[], Awaitable[Actor]]:
    async def start() -> Actor:
        return LeadersApart(bus)

    return start


def _watches(settings: Settings, reloading: Reloading) -> Sequence[Child]:
    path = Path(settings.sources.path)
    if not path.is_file():
        return ()

    async def start() -> Actor:
        return FileWatch(path, reloading.reload)

    return (Child("settings", start),)

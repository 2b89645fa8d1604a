"""How an actor says that it is there: NATS's service protocol, and a row a second."""

import asyncio
from collections.abc import Callable

from actors.runtime.racing import first_of
from contracts.codec import encode
from contracts.errors import BusUnavailable
from contracts.ports.bus import Bus, Subscription
from contracts.ports.clock import Clock
from contracts.scheduling import ActorInfo
from contracts.subjects import actor_announcement

ANNOUNCE_S = 1.0
VERSION = "0.1.0"


class Presence:
    """Announces one actor until it is stopped; an `Actor` in a host's terms.

    Args:
        info: returns the actor's row as it is now; role and id do not change.
    """

    def __init__(self, bus: Bus, clock: Clock, info: Callable[[], ActorInfo]) -> None:
        self._bus = bus
        self._clock = clock
        self._info = info
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Answer `$SRV` as `parley-<role>` and publish `actor.<role>.<id>` every second."""
        service: Subscription | None = None
        try:
            while not self._stopping.is_set():
                info = self._info()
                try:
                    if service is None:
                        service = await self._serve(info)
                    self._bus.publish(actor_announcement(info.role, info.id), encode(info))
                except BusUnavailable:
                    pass  # seen again when the bus is
                await first_of(self._stopping.wait(), self._clock.sleep(ANNOUNCE_S))
        finally:
            if service is not None:
                await service.stop()

    async def _serve(self, info: ActorInfo) -> Subscription:
        metadata = {"role": info.role, "id": info.id, "pid": str(info.pid), "host": info.host}
        return await self._bus.serve(
            f"parley-{info.role}", VERSION, f"Parley's {info.role} actor", metadata
        )

    async def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()

"""What the process of every role has: a bus, perhaps history, a host of actors, and an end."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal, Protocol

import structlog

from actors.runtime.clock import SystemClock
from actors.runtime.host import Actor, Child, Host, Intensity
from actors.runtime.nats_bus import NatsBus
from actors.runtime.presence import Presence
from contracts.errors import BusUnavailable, HistoryUnavailable
from contracts.ports.bus import Bus
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.scheduling import ActorInfo
from ops.history import open_history
from ops.live import NoStack
from ops.model_files import ModelFiles, find_model
from ops.nats_server import facts_of, inbox_prefix
from ops.notify import Notifier
from ops.settings import Settings, history_url
from ops.streams import declare_streams

_log = structlog.get_logger()
_HISTORY_PATIENCE_S = 60
ActorRole = Literal["edge", "session", "scheduler", "gpu", "summarizer"]


@asynccontextmanager
async def joined_bus(
    settings: Settings, role: ActorRole, actor_id: str
) -> AsyncIterator[tuple[NatsBus, SystemClock]]:
    """Connect as `role`. Streams of an external server are declared, where its account may and
    the server can: one that starts again while a cluster chooses a leader finds them there. The
    embedded one has been prepared by who started it."""
    facts = facts_of(settings.home)
    if not settings.nats and facts is None:
        raise NoStack(
            f"There is no NATS server at {settings.home}: give its address with --nats, or run "
            "parley up there first."
        )
    url = settings.nats or (facts.url(role) if facts else "")
    prefix = "_INBOX" if settings.nats else inbox_prefix(role)
    clock = SystemClock()
    bus = await NatsBus.connect(url.split(","), name=actor_id, clock=clock, inbox_prefix=prefix)
    try:
        if settings.nats:
            try:
                await declare_streams(bus, settings.nats_replicas)
            except BusUnavailable as error:
                _log.warning("the streams can't be declared", error=str(error))
        yield bus, clock
    finally:
        await bus.close()


@asynccontextmanager
async def opened_history(settings: Settings, notifier: Notifier) -> AsyncIterator[History]:
    """Open the history that the settings name, and close it at the end.

    Raises HistoryUnavailable after a minute: a process that starts again during an outage
    waits for its end.
    """
    history = open_history(history_url(settings))
    await open_patiently(history, SystemClock(), notifier.progress)
    try:
        yield history
    finally:
        await history.close()


async def open_patiently(history: History, clock: Clock, say: Callable[[str], None]) -> None:
    """Open `history`, again and again for `_HISTORY_PATIENCE_S`; `say` hears once why.

    Raises HistoryUnavailable, the last one.
    """
    give_up_ms = clock.monotonic_ms() + _HISTORY_PATIENCE_S * 1000
    said = False
    while True:
        try:
            return await history.open()
        except HistoryUnavailable as error:
            if clock.monotonic_ms() >= give_up_ms:
                raise
            if not said:
                say(f"waiting for history: {error}")
                said = True
            await clock.sleep(1.0)


def models_of(settings: Settings, *, weights: bool) -> Mapping[str, ModelFiles]:
    """Return the files of every pool's model."""
    return {pool: find_model(model, weights=weights) for pool, model in settings.models}


class ListedActor(Actor, Protocol):
    """An actor that `parley ps` lists."""

    def info(self, pid: int, host: str) -> ActorInfo:
        """Return its row."""
        ...


class Part:
    """A place for an actor: makes it anew after a crash, and knows the present one."""

    def __init__(self, name: str, make: Callable[[], ListedActor]) -> None:
        self.name = name
        self._make = make
        self._next: ListedActor | None = make()
        self._actor = self._next

    async def start(self) -> Actor:
        """Return the actor to run: the first was made with the place, so that its row can be
        shown from the beginning."""
        self._actor = self._next or self._make()
        self._next = None
        return self._actor

    def row(self) -> ActorInfo:
        """Return the present actor's row."""
        return self._actor.info(os.getpid(), socket.gethostname())


async def serve(
    parts: Sequence[Part],
    bus: Bus,
    clock: Clock,
    notifier: Notifier | None,
    intensity: Intensity | None = None,
    more: Sequence[Child] = (),
) -> None:
    """Run the actors of one process, and `more` that nobody lists, until SIGTERM or SIGINT, then
    end them in order. The supervisor is told that they work through `notifier`, where they don't
    do it themselves."""
    children = [*more]
    children += [Child(f"presence of {part.name}", _presence(part, bus, clock)) for part in parts]
    children += [Child(part.name, part.start) for part in parts]
    host = Host(children, intensity)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, host.stop)
    if notifier is not None:
        notifier.ready()
    await host.run()


def _presence(part: Part, bus: Bus, clock: Clock) -> Callable[[], Awaitable[Actor]]:
    async def start() -> Actor:
        return Presence(bus, clock, part.row)

    return start

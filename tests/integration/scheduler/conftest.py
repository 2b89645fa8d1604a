"""The scheduler's streams on both buses."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryServer
from actors.runtime.nats_bus import NatsBus
from contracts.ports.bus import Bus
from ops.streams import declare_streams

Connect = Callable[[], Awaitable[Bus]]


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.nats)])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    clock = SystemClock()
    memory = MemoryServer(clock)
    opened: list[Bus] = []

    async def make() -> Bus:
        bus: Bus
        if request.param == "memory":
            bus = await memory.connect("test")
        else:
            node = request.getfixturevalue("nats_server")
            bus = await NatsBus.connect([node.url], name="test", clock=clock)
        opened.append(bus)
        return bus

    await declare_streams(await make())
    yield make
    for bus in opened:
        await bus.close()

"""A token log on both buses; runs have names of their own."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryServer
from actors.runtime.nats_bus import NatsBus
from actors.runtime.token_log import BusTokenLog
from contracts.ids import ENTROPY_BYTES, make_id
from contracts.ports.bus import Bus
from contracts.subjects import token_partition, token_sibling, token_stream
from ops.streams import stream_specs

Connect = Callable[[], Awaitable[Bus]]


@pytest.fixture
def run_id() -> str:
    return make_id("run", SystemClock().now_ms(), os.urandom(ENTROPY_BYTES))


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.nats)])
async def connect(request: pytest.FixtureRequest, run_id: str) -> AsyncIterator[Connect]:
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

    home = token_partition(run_id)
    names = [token_stream(partition) for partition in (home, token_sibling(home))]
    for spec in stream_specs():
        if spec.name in names:
            await (await make()).declare(spec)
    yield make
    for bus in opened:
        await bus.close()


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    return await connect()


@pytest.fixture(params=[False, True], ids=["one place", "two places"])
def log(bus: Bus, request: pytest.FixtureRequest) -> BusTokenLog:
    return BusTokenLog(bus, SystemClock(), siblings=request.param)

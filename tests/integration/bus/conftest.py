"""Both buses behind one fixture: `connect()` makes one more client of the same server."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryServer
from actors.runtime.nats_bus import NatsBus
from contracts.ports.bus import Bus, StreamSpec
from ops.streams import stream_specs

Connect = Callable[[], Awaitable[Bus]]


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.nats)])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    clock = SystemClock()
    opened: list[Bus] = []
    memory = MemoryServer(clock)

    async def make() -> Bus:
        bus: Bus
        if request.param == "memory":
            bus = await memory.connect(f"test-{len(opened)}")
        else:
            node = request.getfixturevalue("nats_server")
            bus = await NatsBus.connect([node.url], name=f"test-{len(opened)}", clock=clock)
        opened.append(bus)
        return bus

    yield make
    for bus in opened:
        await bus.close()


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    return await connect()


@pytest.fixture
def word() -> str:
    """A token that makes this test's names its own."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
async def stream(bus: Bus, word: str) -> str:
    """A stream that stores `<word>.>` and republishes `<word>.*.d` as `<word>-live.*`."""
    await bus.declare(
        StreamSpec(
            name=word,
            subjects=(f"{word}.>",),
            description="a test's",
            storage="memory",
            republish=(f"{word}.*.d", f"{word}-live.{{{{wildcard(1)}}}}"),
            duplicate_window_s=10.0,
        )
    )
    return word


@pytest.fixture
async def queue(bus: Bus, word: str) -> str:
    """A work queue that stores `<word>q.*`."""
    await bus.declare(
        StreamSpec(
            name=f"{word}q",
            subjects=(f"{word}q.*",),
            description="a test's queue",
            storage="memory",
            retention="work",
        )
    )
    return f"{word}q"


@pytest.fixture
async def leases(bus: Bus) -> Bus:
    """The bus, with the lease bucket declared."""
    await bus.declare(next(spec for spec in stream_specs() if spec.name.startswith("KV_")))
    return bus

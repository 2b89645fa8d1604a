"""Fixtures that every kind of test may use."""

import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest

from actors.runtime.clock import ManualClock, SystemClock
from actors.runtime.nats_bus import NatsBus
from ops.chaos.nats_cluster import NatsNode
from tests.support.nats import nats_node

pytest.register_assert_rewrite("tests.chaos.scene")


@pytest.fixture
def manual_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def home() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="parley-test-") as path:
        yield path


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsNode]:
    """One server for all tests of a session: they use names of their own."""
    with nats_node() as node:
        yield node


@pytest.fixture
async def nats_bus(nats_server: NatsNode) -> AsyncIterator[NatsBus]:
    bus = await NatsBus.connect([nats_server.url], name="test", clock=SystemClock())
    yield bus
    await bus.close()

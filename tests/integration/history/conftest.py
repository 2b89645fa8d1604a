"""The one suite's stores: memory, SQLite and CQL, each reached by two independent adapters."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.ports.history import History
from ops.history import open_history
from tests.support.cql import CqlServer, find_cql_server


@dataclass(frozen=True)
class Store:
    """`one` and `two` are adapters on the same store, as in two processes; on memory, which
    no one shares, they are the same."""

    name: str
    one: History
    two: History


@pytest.fixture(scope="session")
def cql_server() -> Iterator[CqlServer]:
    with find_cql_server() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", pytest.param("cql", marks=pytest.mark.cql)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    name: str = request.param
    if name == "memory":
        fake = open_history("memory:")
        yield Store(name, fake, fake)
        return
    if name == "sqlite":
        url = f"sqlite:{tmp_path / 'home' / 'history.db'}"
    else:
        url = request.getfixturevalue("cql_server").url
    one, two = open_history(url), open_history(url)
    await one.open()
    await two.open()
    yield Store(name, one, two)
    await one.close()
    await two.close()


@pytest.fixture
def history(store: Store) -> History:
    return store.one

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


USED = pytest.StashKey[CqlServer]()


@pytest.fixture(scope="session")
def cql_server(pytestconfig: pytest.Config) -> Iterator[CqlServer]:
    with find_cql_server() as server:
        pytestconfig.stash[USED] = server
        yield server


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    server = config.stash.get(USED, None)
    if server is not None:
        terminalreporter.write_line(f"history on CQL was tested with {server.what}")


# The first test with a CQL server may have to fetch and start one.
patient = pytest.mark.timeout(600)


@pytest.fixture(params=["memory", "sqlite", pytest.param("cql", marks=[pytest.mark.cql, patient])])
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

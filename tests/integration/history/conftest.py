"""The one suite's stores: memory and SQLite, each reached by two independent adapters."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.ports.history import History
from ops.history import open_history


@dataclass(frozen=True)
class Store:
    """`one` and `two` are adapters on the same store, as in two processes; on memory, which
    no one shares, they are the same."""

    name: str
    one: History
    two: History


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    name: str = request.param
    if name == "memory":
        fake = open_history("memory:")
        yield Store(name, fake, fake)
        return
    url = f"sqlite:{tmp_path / 'home' / 'history.db'}"
    one, two = open_history(url), open_history(url)
    await one.open()
    await two.open()
    yield Store(name, one, two)
    await one.close()
    await two.close()


@pytest.fixture
def history(store: Store) -> History:
    return store.one

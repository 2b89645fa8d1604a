"""The event loop of production; and which tests must run in one process, where the suite is spread
over several."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_COSTLY = ("tests/integration/engine/", "tests/integration/history/")
"""The tests of one share a vLLM engine, those of the other a CQL server."""


class _Together(LoadScopeScheduling):
    """Keeps a file's tests together, and those of a folder whose fixtures are costly."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return next((folder for folder in _COSTLY if file.startswith(folder)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Together:
    """Spread the tests so wherever they are spread."""
    return _Together(config, log)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test on the loop that the actors run on."""
    return {"uvloop": uvloop.new_event_loop}

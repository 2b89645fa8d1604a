"""Stacks to be broken: a simulated one, cheap, and one with two real vLLM engines."""

import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from ops.chaos.figures import Report
from ops.chaos.stack import RunningStack
from tests.chaos.scene import ROUNDS, SEED, SIMULATED
from tests.support.random_model import random_llama

_FOLDER = Path(__file__).parent


def pytest_report_header() -> str:
    return f"chaos: PARLEY_CHAOS_ROUNDS={ROUNDS} PARLEY_CHAOS_SEED={SEED}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what needs no vLLM first, while it starts; let others pass the time in which a
    killed engine comes back; kill the stack with the engines last."""
    places = [place for place, item in enumerate(items) if _FOLDER in item.path.parents]
    ordered = sorted((items[place] for place in places), key=_turn)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("vllm") is None:
        return 0
    first = "[1]" in item.name
    turns = {
        "test_killed_writer.py": 2 if first else 4,
        "test_engine_orphans.py": 3,
        "test_whole_stack.py": 5,
    }
    return turns.get(item.path.name, 1)


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    figures = Report(ROUNDS, SEED)
    yield figures
    figures.write()


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture(scope="session")
def sim_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Survives what its tests do to it."""
    stack = RunningStack(tmp_path_factory.mktemp("sim"), *SIMULATED)
    try:
        yield stack.start()
    finally:
        assert stack.end() == 0, stack.said


@pytest.fixture(scope="session")
def starting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[RunningStack]]:
    """Two vLLM engines on their way, which takes most of a minute."""
    home = tmp_path_factory.mktemp("vllm")
    stack = RunningStack(home, "--gpus", "2", "--model", str(random_llama()))
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(stack.start, 300)
        try:
            yield future
        finally:
            future.exception()
            stack.end()


@pytest.fixture(scope="session", autouse=True)
def _start_early(request: pytest.FixtureRequest) -> None:
    wanted = any(
        "vllm_stack" in getattr(item, "fixturenames", ()) for item in request.session.items
    )
    if wanted and find_spec("vllm") is not None:
        request.getfixturevalue("starting")


@pytest.fixture(scope="session")
def vllm_stack(request: pytest.FixtureRequest) -> RunningStack:
    if find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    future: Future[RunningStack] = request.getfixturevalue("starting")
    return future.result()

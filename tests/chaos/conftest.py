"""Stacks to be broken: simulated ones, cheap, and one with two real vLLM engines."""

import random
from collections.abc import Iterator

import pytest

from tests.chaos.report import Report
from tests.chaos.scene import ROUNDS, SEED, SIMULATED
from tests.support.random_model import random_llama
from tests.support.running_stack import RunningStack


def pytest_report_header() -> str:
    return f"chaos: PARLEY_CHAOS_ROUNDS={ROUNDS} PARLEY_CHAOS_SEED={SEED}"


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    figures = Report(ROUNDS)
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
def vllm_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    pytest.importorskip("vllm", reason="vLLM is not installed", exc_type=ImportError)
    model = random_llama()
    stack = RunningStack(tmp_path_factory.mktemp("vllm"), "--gpus", "2", "--model", str(model))
    try:
        yield stack.start(patience_s=300)
    finally:
        stack.end()

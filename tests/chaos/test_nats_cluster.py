"""One NATS server of three is killed, or restarted as planned, while answers are written."""

import random
from collections.abc import Iterator

import pytest

from ops.chaos.faults import OF_A_CLUSTER, Fault, inflict
from ops.chaos.figures import Report
from ops.chaos.nats_cluster import NatsCluster, nats_cluster
from ops.chaos.stack import RunningStack
from tests.chaos.scene import PROMPT, SIMULATED, exactly_told, scene

pytestmark = [pytest.mark.chaos, pytest.mark.nats, pytest.mark.timeout(480)]
TOKENS = 200
CHATS = 6


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    with nats_cluster(tmp_path_factory.mktemp("nats")) as servers:
        yield servers


@pytest.fixture(scope="module")
def clustered(
    cluster: NatsCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStack]:
    stack = RunningStack(tmp_path_factory.mktemp("home"), *SIMULATED, nats=cluster)
    try:
        yield stack.start()
    finally:
        assert stack.end() == 0, stack.said


@pytest.mark.parametrize("fault", OF_A_CLUSTER, ids=str)
async def test_answers_are_exact_when_one_node_of_three_goes(
    clustered: RunningStack, report: Report, chance: random.Random, fault: Fault
) -> None:
    async with scene(clustered, clustered.nats_url) as at:
        expected = await at.undisturbed(TOKENS)
        stories = [await at.guest.ask(PROMPT, TOKENS) for _ in range(CHATS)]
        await stories[-1].reached(chance.randrange(1, 20))
        await inflict(fault, clustered, at.operator, {}, chance)
        report.add(f"{fault} (R3)", "gap", await exactly_told(at, stories, expected))

"""Every actor restarted under load, one after another: nobody sees an error."""

import pytest

from ops.chaos import rolling
from ops.chaos.figures import Report
from ops.chaos.stack import RunningStack
from tests.chaos.scene import scene

pytestmark = [pytest.mark.chaos, pytest.mark.nats, pytest.mark.timeout(480)]


async def test_nobody_sees_an_error_while_every_actor_is_restarted(
    sim_stack: RunningStack, report: Report
) -> None:
    async with scene(sim_stack) as at:
        await at.operator.workers_ready(2)
        rolled = await rolling.restart_all(sim_stack, at.operator)
        twice = {f"{role}-{n}" for role in ("session", "scheduler", "gpu") for n in (1, 2)}
        assert {"summarizer", "edge", *twice} == set(rolled.away_s)
        assert len(rolled.stories) > 3
        report.add("rolling restart (simulated engine)", "gap", rolled.gap_ms)
        for actor, away_s in rolled.away_s.items():
            report.add("rolling restart (simulated engine)", f"{actor} away", round(1000 * away_s))

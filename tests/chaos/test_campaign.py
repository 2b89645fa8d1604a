"""The command `parley chaos` itself, shortly: its storm of cancels, and that it can be ended."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.chaos.findings import stopped
from ops.chaos.reckoning import BUDGET
from ops.chaos.stack import RunningStack
from ops.chaos.storms import cancel_storm
from ops.supervision import leftovers
from tests.chaos.scene import ROUNDS, SIMULATED

pytestmark = [pytest.mark.chaos, pytest.mark.nats, pytest.mark.timeout(480)]
CANCELS = 30 * ROUNDS
STRIKES = 0.3


@pytest.fixture
def budgeted(tmp_path: Path) -> Iterator[RunningStack]:
    stack = RunningStack(tmp_path / "home", *SIMULATED, *BUDGET)
    try:
        yield stack.start()
    finally:
        assert stack.end() == 0, stack.said


async def test_a_storm_of_cancels_leaves_nothing_running_and_the_budget_balanced(
    budgeted: RunningStack, chance: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    storm = await cancel_storm(budgeted, chance, CANCELS, print, strikes=STRIKES)
    assert stopped(storm), (storm, capsys.readouterr().out)
    assert storm.reckoning is not None and storm.reckoning.delivered > 0


@pytest.mark.parametrize(
    ("how", "moment"), [(signal.SIGINT, "1/1000"), (signal.SIGTERM, "starting a stack")]
)
def test_a_campaign_that_a_shell_runs_in_the_background_ends_when_told(
    tmp_path: Path, how: signal.Signals, moment: str
) -> None:
    words = ["chaos", "--faults", "1000", "--only", "kill -9 of gpu", "--gpus", "1"]
    command = [sys.executable, "-m", "ops.cli", *words, "--out", str(tmp_path / "out")]
    with subprocess.Popen(
        # A shell without job control has its background jobs ignore it.
        ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = [next(line for line in process.stderr if moment in line)]
        homes = [folder / "home" for folder in tmp_path.glob("parley-chaos-*")]
        process.send_signal(how)
        said += process.stderr
        assert process.wait() == 1, said
    assert not any(map(leftovers.find, homes))
    assert not list(tmp_path.glob("parley-chaos-*"))

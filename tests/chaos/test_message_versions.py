"""An earlier version of Parley works beside today's: its messages lack what came since, and it
does not know what it is sent."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from ops.chaos.figures import Report
from ops.chaos.people import Person, person
from ops.chaos.stack import RunningStack
from ops.ports import free_port
from tests.chaos.scene import PROMPT, Scene, exactly_told, scene
from tests.chaos.test_resume import ready

pytestmark = [pytest.mark.chaos, pytest.mark.nats, pytest.mark.timeout(300)]
EARLIER_WORKER = "8549eee6b5ff"
"""Before block keys, ranks of arrival, journals, summaries and budgets: since then the messages
to and from workers have gained fields and kinds."""

EARLIER_EDGE = "061fd8aee205"
"""As far back as history's tables are today's: a program refuses tables newer than itself."""

TOKENS = 200
SIMULATED = ("--engine", "sim", "--engine-arg", "step_ms=20", "--engine-arg", "eos_every=0")
_ROOT = Path(__file__).parents[2]


def unpacked(commit: str, folder: Path) -> Path:
    """Return the whole project as it was."""
    archive = subprocess.run(
        ["git", "archive", commit], capture_output=True, cwd=_ROOT, check=False
    )
    if archive.returncode:
        pytest.skip(f"the history of this clone does not reach back to {commit}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Today's stack."""
    words = (*SIMULATED, "--gpus", "1", "--affinity", "no")
    stack = RunningStack(tmp_path_factory.mktemp("today"), *words)
    try:
        yield stack.start()
    finally:
        assert stack.end() == 0, stack.said


@contextmanager
def running(earlier: Path, stack: RunningStack, role: str, *words: str) -> Iterator[int]:
    """Run an actor of the earlier version beside the stack; yield its process id."""
    log = (stack.home / f"earlier-{role}.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", role, "--home", str(stack.home), *words],
        stdout=log,
        stderr=log,
        cwd=earlier,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        process_group=0,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)
        log.close()


async def both_ready(at: Scene) -> None:
    workers = await at.operator.workers_ready(2)
    assert {worker.worker for worker in workers} == {"gpu-1", "gpu-earlier"}


async def test_workers_of_two_versions_take_over_from_each_other(
    tmp_path: Path, one_worker: RunningStack, report: Report
) -> None:
    earlier = unpacked(EARLIER_WORKER, tmp_path)
    words = (*SIMULATED, "--id", "gpu-earlier")
    async with scene(one_worker) as at:
        expected = await at.undisturbed(TOKENS)
        with running(earlier, one_worker, "gpu", *words):
            await both_ready(at)
            stories = [await at.guest.ask(PROMPT, TOKENS) for _ in range(4)]
            writers = {story.run_id: await at.operator.writer_of(story) for story in stories}
            assert len({writer.worker for writer in writers.values()}) == 2
            await stories[0].reached(20)
            todays = next(w.pid for w in writers.values() if w.worker == "gpu-1")
            os.kill(todays, signal.SIGKILL)
            gap_ms = await exactly_told(at, stories, expected)
            recovered = [story for story in stories if "run.recovered" in story.kinds]
            assert {writers[story.run_id].worker for story in recovered} == {"gpu-1"}
            report.add("today's worker killed, an earlier one goes on", "gap", gap_ms)
        with running(earlier, one_worker, "gpu", *words) as pid:
            await both_ready(at)
            stories = [await at.guest.ask(PROMPT, TOKENS) for _ in range(4)]
            await stories[0].reached(20)
            os.kill(pid, signal.SIGKILL)
            gap_ms = await exactly_told(at, stories, expected)
            assert any("run.recovered" in story.kinds for story in stories)
            report.add("an earlier worker killed, today's goes on", "gap", gap_ms)


@asynccontextmanager
async def earlier_edge(earlier: Path, stack: RunningStack, token: str) -> AsyncIterator[Person]:
    port = free_port()
    with running(earlier, stack, "edge", "--port", str(port), "--id", "edge-earlier"):
        url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(60):
            while not await ready(url):  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(0.1)
        async with person(url, token=token) as guest:
            yield guest


async def test_edges_of_two_versions_serve_the_same_runs(
    tmp_path: Path, one_worker: RunningStack
) -> None:
    earlier = unpacked(EARLIER_EDGE, tmp_path)
    async with (
        scene(one_worker) as at,
        earlier_edge(earlier, one_worker, at.guest.token) as elsewhere,
    ):
        expected = await at.undisturbed(TOKENS)
        here, there = await at.guest.ask(PROMPT, TOKENS), await elsewhere.ask(PROMPT, TOKENS)
        await here.reached(20)
        joined = [elsewhere.join(here, after=10), at.guest.join(there, after=10)]
        for story in (here, there, *joined):
            await story.ended()
        assert (here.text, there.text) == (expected, expected)
        assert [viewer.events for viewer in joined] == [here.events[10:], there.events[10:]]
        assert (await elsewhere.stored(here))["content"] == expected
        assert (await at.guest.stored(there))["content"] == expected
        cancelled = await elsewhere.ask(PROMPT, TOKENS)
        await cancelled.reached(5)
        assert (await at.guest.cancel(cancelled)).status_code in (200, 202)
        await cancelled.ended()
        assert cancelled.end == "run.cancelled"

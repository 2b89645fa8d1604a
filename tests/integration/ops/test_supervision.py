"""The supervisor with real processes: small ones, killed in every way."""

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ops.supervision.output import Screen
from ops.supervision.processes import Command
from ops.supervision.shell import Plan, Shell
from ops.supervision.state import ChildSpec, Policy
from tests.support.families import is_alive, start_python, wait_file, wait_gone

READY = "import os, sys; os.write(int(os.environ['PARLEY_NOTIFY_FD']), b'ready\\n');"
SLEEPER = READY + "import time; time.sleep(1000)"
PARENT = (
    "import subprocess, sys, pathlib;"
    "c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)']);"
    "p = pathlib.Path(sys.argv[1]); t = p.with_suffix('.new');"
    "t.write_text(str(c.pid)); t.replace(p);" + SLEEPER
)
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER


def plan(
    name: str, script: str, *words: str, rank: int = 1, stage: int = 0, stop_ms: int = 5_000
) -> Plan:
    command = Command((sys.executable, "-c", script, *words), dict(os.environ))
    return Plan(ChildSpec(name, stage, rank, stop_ms, gone=name == "gpu"), lambda: command)


class Stage:
    """A shell in a task, and what it said."""

    def __init__(self, folder: Path, *plans: Plan, policy: Policy | None = None) -> None:
        self.out = io.StringIO()
        self.gone: list[tuple[str, int, int]] = []
        self.ready = asyncio.Event()
        self.shell = Shell(
            plans,
            logs=folder / "logs",
            screen=Screen(self.out),
            on_gone=self.hear_gone,
            on_all_ready=self._all_ready,
            policy=policy,
        )
        self.task = asyncio.get_running_loop().create_task(self.shell.run())

    async def hear_gone(self, name: str, pid: int, code: int) -> None:
        self.gone.append((name, pid, code))

    async def _all_ready(self) -> None:
        self.ready.set()

    def stop(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - it looks at other processes
                await asyncio.sleep(0.005)

    async def end(self) -> int:
        async with asyncio.timeout(20):
            return await self.task


Start = Callable[..., Awaitable[Stage]]


def pid_in(path: Path) -> int:
    return int(wait_file(path))


async def test_a_stack_starts_by_stages_and_stops_by_ranks(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        plan("nats", SLEEPER, rank=0),
        plan("gpu", SLEEPER, stage=1, rank=1),
        plan("edge", SLEEPER, stage=1, rank=2),
    )
    await stage.ready.wait()
    stage.stop()
    assert await stage.end() == 0
    said = stage.out.getvalue().splitlines()
    order = [line.split()[0] for line in said if line.endswith("ended")]
    assert order == ["edge", "gpu", "nats"]
    assert said[0].split() == ["nats", "starting"]


async def test_a_killed_child_is_announced_and_comes_back_with_its_group_gone(
    tmp_path: Path,
) -> None:
    grandchild = tmp_path / "grandchild"
    stage = Stage(tmp_path, plan("gpu", PARENT, str(grandchild)))
    await stage.ready.wait()
    first = pid_in(grandchild)
    grandchild.unlink()
    parent = psutil_parent(first)
    os.kill(parent, signal.SIGKILL)
    await stage.until(lambda: bool(stage.gone) and grandchild.exists())
    second = pid_in(grandchild)
    assert stage.gone == [("gpu", parent, -signal.SIGKILL)]
    wait_gone(first)
    assert is_alive(second)
    stage.stop()
    assert await stage.end() == 0
    wait_gone(second)


async def test_a_child_that_ignores_its_end_is_killed_when_it_is_overdue(tmp_path: Path) -> None:
    stage = Stage(tmp_path, plan("edge", STUBBORN, stop_ms=100))
    await stage.ready.wait()
    stage.stop()
    assert await stage.end() == 0


async def test_a_second_stop_ends_at_once_by_force(tmp_path: Path) -> None:
    stage = Stage(tmp_path, plan("edge", STUBBORN, stop_ms=60_000))
    await stage.ready.wait()
    stage.stop()
    await stage.until(lambda: "stopping in order" in stage.out.getvalue())
    stage.stop()
    assert await stage.end() == 1


async def test_a_child_that_keeps_failing_ends_the_stack_and_says_why(tmp_path: Path) -> None:
    notice = "os.write(int(os.environ['PARLEY_NOTIFY_FD']), b'fault the disk is full\\n');"
    stage = Stage(
        tmp_path,
        plan("session", "import os, sys;" + notice + "sys.exit(1)"),
        plan("edge", SLEEPER),
        policy=Policy(delays_ms=(0,)),
    )
    assert await stage.end() == 1
    said = stage.out.getvalue()
    assert said.count("session    ended with status 1: the disk is full") == 3
    assert "giving up" in said
    assert "session.log" in said


async def test_a_child_with_a_wrong_setting_is_not_tried_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, plan("gpu", "import sys; print('no model'); sys.exit(2)"))
    assert await stage.end() == 1
    assert stage.out.getvalue().count("ended with status 2: no model; giving up") == 1


async def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    missing = Command((str(tmp_path / "nothing-here"),), dict(os.environ))
    stage = Stage(
        tmp_path,
        Plan(ChildSpec("nats", 0, 0), lambda: missing),
        policy=Policy(
            failures_max=1,
        ),
    )
    assert await stage.end() == 1
    assert "nothing-here does not start (No such file or directory)" in stage.out.getvalue()


async def test_output_goes_to_the_log_and_its_warnings_to_the_screen(tmp_path: Path) -> None:
    lines = (
        'print(\'{"event": "quiet", "level": "info"}\');'
        'print(\'{"event": "loud", "level": "warning", "reason": "rain"}\');'
        "print('plain', flush=True);"
    )
    stage = Stage(tmp_path, plan("edge", "import os;" + lines + SLEEPER))
    await stage.ready.wait()
    await stage.until(lambda: "loud" in stage.out.getvalue())
    stage.stop()
    await stage.end()
    said, log = stage.out.getvalue(), (tmp_path / "logs" / "edge.log").read_text()
    assert "edge       warning: loud: rain" in said
    assert "quiet" not in said
    assert "plain" not in said
    assert [word in log for word in ("quiet", "loud", "plain")] == [True] * 3


SUPERVISOR = """
import asyncio, os, sys
from pathlib import Path
from ops.supervision.output import Screen
from ops.supervision.processes import Command
from ops.supervision.shell import Plan, Shell
from ops.supervision.state import ChildSpec

folder, child = Path(sys.argv[1]), sys.argv[2]

async def ready():
    (folder / "ready").write_text("yes")

async def gone(*told):
    print(*told)

def plan(name):
    command = Command((sys.executable, "-c", child, str(folder / name)), dict(os.environ))
    return Plan(ChildSpec(name, 0, 0), lambda: command)

shell = Shell(
    [plan("one"), plan("two")],
    logs=folder, screen=Screen(open(os.devnull, "w")), on_gone=gone, on_all_ready=ready,
)
asyncio.run(shell.run())
"""

PID_WRITER = (
    "import os, pathlib, sys; p = pathlib.Path(sys.argv[1]); t = p.with_suffix('.new');"
    "t.write_text(str(os.getpid())); t.replace(p);" + SLEEPER
)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_no_child_outlives_its_supervisor_however_it_ends(
    tmp_path: Path, how: signal.Signals
) -> None:
    supervisor = start_python(SUPERVISOR, str(tmp_path), PID_WRITER)
    try:
        children = [pid_in(tmp_path / name) for name in ("one", "two")]
        wait_file(tmp_path / "ready")
        assert all(map(is_alive, children))
        supervisor.send_signal(how)
        supervisor.wait(20)
        wait_gone(*children)
    finally:
        supervisor.kill()
        supervisor.wait()


def test_a_child_is_in_its_supervisors_session_and_in_a_group_of_its_own(tmp_path: Path) -> None:
    supervisor = start_python(SUPERVISOR, str(tmp_path), PID_WRITER)
    try:
        child = pid_in(tmp_path / "one")
        assert os.getsid(child) == os.getsid(supervisor.pid)
        assert os.getpgid(child) == child
    finally:
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait()
        wait_gone(child)


def psutil_parent(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1])


def test_launching_with_a_dead_parent_ends_at_once() -> None:
    launcher = Path(sys.modules["ops.supervision"].__path__[0]) / "launch.py"
    answer = subprocess.run(
        [sys.executable, "-I", "-S", str(launcher), "1", "/bin/echo", "alive"],
        capture_output=True,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (1, b"")

"""The whole stack from its one command, with a simulated engine: it answers, each actor may
die in the middle of an answer, and what was accepted outlives the supervisor itself."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.chaos.stack import RunningStack
from ops.supervision import leftovers
from tests.support.guest import Guest

pytestmark = [pytest.mark.nats, pytest.mark.timeout(240)]

SIMULATED = ("--engine", "sim", "--engine-arg", "step_ms=8", "--engine-arg", "eos_every=0")
STORY = "Tell me a story."
TOKENS = 500


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    running = RunningStack(tmp_path_factory.mktemp("home"), *SIMULATED, "--gpus", "2")
    try:
        yield running.start()
    finally:
        assert running.end() == 0, running.said


@pytest.fixture(scope="module")
def undisturbed(stack: RunningStack) -> str:
    guest = Guest(stack)
    answer = guest.follow(guest.prompt(STORY, TOKENS))
    guest.close()
    assert answer.end["type"] == "run.completed"
    return answer.text


def test_ready_is_said_after_every_part_and_names_the_simulation(stack: RunningStack) -> None:
    lines = stack.said.splitlines()
    assert lines[-1] == f"ready {stack.url}"
    assert "simulated engine" in lines[-2]
    twice = [f"{role}-{n}" for role in ("session", "scheduler", "gpu") for n in (1, 2)]
    for name in ("nats", *twice, "summarizer", "edge"):
        assert any(line.startswith(name) and " ready" in line for line in lines), name


def test_an_answer_is_numbered_without_a_gap_and_stored_as_it_was_streamed(
    stack: RunningStack, guest: Guest
) -> None:
    answer = guest.follow(guest.prompt(STORY, 40))
    assert answer.kinds[0] == "run.started"
    assert answer.ids == list(range(1, len(answer.ids) + 1))
    stored = guest.stored(answer)
    assert (stored["content"], stored["status"]) == (answer.text, "complete")
    assert stack.ask("run", answer.run_id)["state"] in ("length", "stop", "completed")


def test_operators_see_actors_workers_and_the_run_in_flight(
    stack: RunningStack, guest: Guest
) -> None:
    rows = stack.ask("ps")
    roles = {"edge", "gpu", "scheduler", "session", "summarizer"}
    assert {row["role"] for row in rows} == roles
    assert all(set(row) >= {"id", "pid", "host", "state", "epoch", "load"} for row in rows)
    assert {row["id"] for row in stack.ask("workers")} == {"gpu-1", "gpu-2"}
    answer = guest.prompt(STORY, TOKENS)
    run = stack.ask("run", answer.run_id)
    assert (run["runId"], run["chatId"]) == (answer.run_id, answer.chat_id)
    assert run["state"] in ("dispatched", "running")
    assert answer.run_id in {row["runId"] for row in stack.ask("runs")}
    assert stack.ask("queue") == []
    assert guest.cancel(answer) in (200, 202)
    assert guest.stored(answer)["status"] == "cancelled"


def test_the_terminal_client_answers_one_prompt(stack: RunningStack) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "ops.cli", "chat", "hello", "--home", str(stack.home)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()
    assert (stack.home / "chat-token").stat().st_mode & 0o077 == 0


@pytest.mark.chaos
@pytest.mark.parametrize("role", ["gpu", "scheduler", "session", "edge", "nats"])
def test_an_answer_survives_the_death_of(
    role: str, stack: RunningStack, guest: Guest, undisturbed: str
) -> None:
    answer = guest.follow(guest.prompt(STORY, TOKENS), 20, lambda: stack.kill(role))
    assert answer.end["type"] == "run.completed"
    assert answer.text == undisturbed
    assert guest.stored(answer)["content"] == undisturbed
    assert answer.ids == list(range(1, len(answer.ids) + 1))
    assert ("run.recovered" in answer.kinds) == (role == "gpu")


@pytest.mark.chaos
def test_a_second_stack_on_the_same_home_is_refused(stack: RunningStack) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "ops.cli", "up", "--engine", "sim", "--home", str(stack.home)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
        timeout=60,
    )
    assert answer.returncode == 1
    assert "already runs" in answer.stderr
    assert str(stack.pid) in answer.stderr


def test_a_taken_port_is_named_before_anything_starts(stack: RunningStack, tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "ops.cli", "up", "--engine", "sim", "--home", str(tmp_path / "h"),
         "--port", str(stack.port)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
        timeout=60,
    )  # fmt: skip
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"parley: Port {stack.port} is taken")


@pytest.mark.chaos
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_accepted_prompt_outlives_the_end_of_the_stack(
    how: signal.Signals, tmp_path: Path
) -> None:
    stack = RunningStack(tmp_path / "home", *SIMULATED, "--drain-s", "0").start()
    try:
        guest = Guest(stack)
        answer = guest.prompt(STORY, TOKENS)
        assert stack.end(how) == (0 if how is signal.SIGINT else -how), stack.said
        assert not leftovers.find(stack.home)
        stack.start()
        stored = guest.stored(answer)
        guest.close()
        assert stored["status"] == "complete"
        assert stored["content"]
    finally:
        stack.end()

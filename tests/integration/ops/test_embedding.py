"""An embedding worker in the whole stack, with simulated engines and each role's own NATS user."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import count

import httpx
import msgspec
import pytest

from ops.chaos.stack import RunningStack
from tests.support.guest import Guest

pytestmark = [pytest.mark.nats, pytest.mark.timeout(240)]

SIMULATED = ("--engine", "sim", "--engine-arg", "step_ms=1", "--engine-arg", "eos_every=0")
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    words = ("--gpus", "1", "--context-tokens", "400", "--embedding-model", "parley-small")
    alone = ("--standby", "no")  # so that one session host counts everything
    running = RunningStack(tmp_path_factory.mktemp("home"), *SIMULATED, *words, *alone)
    try:
        yield running.start()
    finally:
        assert running.end() == 0, running.said


def counted(stack: RunningStack, actor: str, name: str) -> float:
    """Return a counter of an actor, 0 if it has not counted yet."""
    targets = msgspec.json.decode((stack.home / "prometheus.json").read_bytes())
    address = next(t["targets"][0] for t in targets if t["labels"]["id"] == actor)
    for line in httpx.get(f"http://{address}/metrics").text.splitlines():
        if line.startswith(name):
            return float(line.rpartition(" ")[2])
    return 0.0


def eventually(met: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.1)


def embedded(guest: Guest) -> int:
    body = {"model": "parley-small", "input": ["one", "two"]}
    return guest.post("/v1/embeddings", body).status_code


def test_worker_is_listed_and_answers_clients(stack: RunningStack, guest: Guest) -> None:
    eventually(lambda: any(a["id"] == "embed-1" and a["state"] == "embedding"
                           for a in stack.ask("ps")))  # fmt: skip
    assert embedded(guest) == 200


def test_long_chat_learns_its_older_turns_and_asks_for_the_meaning_of_the_next(
    stack: RunningStack, guest: Guest
) -> None:
    eventually(lambda: embedded(guest) == 200)
    answer = guest.follow(guest.prompt("My parrot is called Koko.", 30))
    for number in count():
        guest.follow(guest.prompt(f"And number {number}? {'more words ' * 12}", 30, answer.chat_id))
        if counted(stack, "session-1", 'parley_session_queries_embedded_total{how="found"}'):
            break
        assert number < 60, "in vain"
    assert counted(stack, "session-1", "parley_session_turns_embedded_total") >= 5


def test_killed_worker_is_started_again_and_answers_go_on_meanwhile(
    stack: RunningStack, guest: Guest
) -> None:
    eventually(lambda: embedded(guest) == 200)
    os.kill(next(a["pid"] for a in stack.ask("ps") if a["id"] == "embed-1"), signal.SIGKILL)
    answer = guest.follow(guest.prompt("Still there?", 20))
    assert answer.end["type"] == "run.completed"
    eventually(lambda: embedded(guest) == 200)

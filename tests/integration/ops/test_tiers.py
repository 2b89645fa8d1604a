"""Tiers from the settings file through the whole stack: limits that hold, that are told, and
that change while everything runs. The engine is simulated."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.chaos.stack import RunningStack
from tests.support.guest import Answer, Guest

pytestmark = [pytest.mark.nats, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[3]
PATIENCE_S = 30.0
TOKEN_COST = 200
BUDGET = 100 * TOKEN_COST
FILE = f"""
[tiers.free]
concurrency = 2
output_max = 40
output_capped = 40
budget_gpu_us = {BUDGET}
refill_gpu_us_s = {BUDGET // 10}

[models.default]
model = "parley-small"
description = "Small, and simulated here"
prefill_gpu_us = 0
cached_gpu_us = 0
output_gpu_us = {TOKEN_COST}
"""


@pytest.fixture(scope="module")
def settings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "parley.toml"
    path.write_text(FILE)
    return path


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, settings_file: Path) -> Iterator[RunningStack]:
    words = ("--engine", "sim", "--engine-arg", "eos_every=0", "--gpus", "1")
    home = tmp_path_factory.mktemp("home")
    running = RunningStack(home, *words, "--config", str(settings_file))
    try:
        yield running.start()
    finally:
        assert running.end() == 0, running.said


class Person:
    """Somebody with a token, who sends prompts to chats of their own."""

    def __init__(self, stack: RunningStack, email: str = "") -> None:
        self.http = httpx.Client(base_url=stack.url, timeout=20.0)
        body = {"email": email, "password": "a long enough one"} if email else None
        path = "/auth/signup" if email else "/auth/guest"
        token = self.http.post(path, json=body).json()["token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def usage(self) -> dict[str, Any]:
        usage: dict[str, Any] = self.http.get("/usage").json()
        return usage

    def send(self, max_tokens: int) -> tuple[httpx.Response, str]:
        chat_id = self.http.post("/chats").json()["chatId"]
        body = {"content": "hello", "maxTokens": max_tokens}
        return self.http.post(f"/chats/{chat_id}/messages", json=body), chat_id


@pytest.fixture
def people(stack: RunningStack) -> Iterator[Callable[..., Person]]:
    """Return what makes persons, who leave at the end."""
    made: list[Person] = []

    def make(email: str = "") -> Person:
        made.append(Person(stack, email))
        return made[-1]

    yield make
    for person in made:
        person.http.close()


def until(true: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_answer_beyond_the_tiers_length_is_shortened_and_says_so(stack: RunningStack) -> None:
    guest = Guest(stack)
    answer = guest.follow(guest.prompt("hello", 60))
    assert answer.end["finish_reason"] == "length"
    assert answer.end["usage"]["completionTokens"] == 40
    assert answer.end["usage"]["degraded"] == ["shortened"]
    whole = guest.follow(guest.prompt("hello", 30))
    assert whole.end["usage"]["degraded"] == []
    guest.close()


def test_a_spent_budget_is_refused_and_who_obeys_is_let_in(
    people: Callable[..., Person],
) -> None:
    person = people()
    assert person.usage()["budget"]["remaining"] == BUDGET
    answers = [person.send(40)[0] for _ in range(4)]
    accepted = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert accepted and refused
    assert refused[0].json()["code"] == "over_budget"
    assert refused[0].headers["ratelimit"].startswith('"budget";r=')
    time.sleep(int(refused[0].headers["retry-after"]))
    assert person.send(40)[0].status_code == 202


def test_a_budget_pays_for_what_was_delivered(
    stack: RunningStack, people: Callable[..., Person]
) -> None:
    person = people()
    reply, chat_id = person.send(10)
    guest = Guest(stack)
    guest._http.headers["Authorization"] = person.http.headers["Authorization"]
    guest.follow(Answer(reply.json()["runId"], chat_id))
    spent = BUDGET - person.usage()["budget"]["remaining"]
    assert 0 <= spent <= 10 * TOKEN_COST
    guest.close()


def test_a_changed_file_holds_for_the_next_prompt_and_a_bad_one_changes_nothing(
    stack: RunningStack, settings_file: Path, people: Callable[..., Person]
) -> None:
    person = people()
    settings_file.write_text(FILE.replace("concurrency = 2", "concurrency = 0.5"))
    until(lambda: "the old ones stay: tiers.free.concurrency" in stack.said)
    assert person.usage()["concurrency"]["limit"] == 2
    settings_file.write_text(FILE.replace("concurrency = 2", "concurrency = 7"))
    until(lambda: person.usage()["concurrency"]["limit"] == 7)


def test_a_changed_tier_holds_for_the_old_token_too(
    stack: RunningStack, people: Callable[..., Person]
) -> None:
    person = people("ann@example.org")
    assert person.usage()["tier"] == "free"
    subprocess.run(
        [sys.executable, "-m", "ops.cli", "user", "tier", "ann@example.org", "paid",
         "--home", str(stack.home)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )  # fmt: skip
    until(lambda: person.usage()["tier"] == "paid")
    assert person.usage()["budget"] is None
    reply, _ = person.send(60)
    assert reply.status_code == 202
    assert "ratelimit" not in reply.headers

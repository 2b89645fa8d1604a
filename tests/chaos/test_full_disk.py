"""The disk full under streaming chats, and room again: nothing accepted is lost, and nobody has
to start anything anew."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.chaos.figures import Report
from ops.chaos.people import Story
from ops.chaos.small_disk import full
from ops.chaos.stack import RunningStack
from tests.chaos.scene import PROMPT, SIMULATED, scene
from tests.chaos.test_bad_luck import go_on, not_ready
from tests.support.disk import disk_of

pytestmark = [pytest.mark.chaos, pytest.mark.nats, pytest.mark.timeout(240)]
TOKENS = 200
DISK_MB = 128


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with disk_of(tmp_path / "disk", DISK_MB) as place:
        yield place


@pytest.fixture
def small_stack(disk: Path) -> Iterator[RunningStack]:
    stack = RunningStack(disk / "home", *SIMULATED)
    try:
        yield stack.start()
    finally:
        assert stack.end() == 0, stack.said


async def test_full_disk_refuses_prompts_and_all_goes_on_once_there_is_room(
    disk: Path, small_stack: RunningStack, report: Report
) -> None:
    async with scene(small_stack) as at:
        expected = await at.undisturbed(TOKENS)
        chat_id = await at.guest.chat()
        stories = [await at.guest.ask(PROMPT, TOKENS) for _ in range(3)]
        await stories[-1].reached(20)
        with full(disk):
            began_s = time.monotonic()
            reply = await at.guest.post(chat_id, PROMPT, TOKENS, key="once")
            took_ms = round(1000 * (time.monotonic() - began_s))
            assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
            await not_ready(at)
        began_s = time.monotonic()
        await go_on(at, stories, expected)
        back_ms = round(1000 * (time.monotonic() - began_s))
        again = await at.guest.post(chat_id, PROMPT, TOKENS, key="once")
        assert again.status_code == 202, again.text
        answer = await at.guest.stored(Story(chat_id, again.json()["runId"]))
        assert answer["content"] == expected
        # JetStream can't note on a full disk that a prompt is done: what was refused may have run.
        assert len(await at.guest.messages(chat_id)) == 2, "it is answered once (ADR 0035)"
        report.add("disk full", "prompt refused after", took_ms)
        report.add("disk full", "all answered, of room", back_ms)


def test_full_disk_at_start_is_said_in_one_sentence(disk: Path) -> None:
    home = disk / "home"
    home.mkdir()
    command = [sys.executable, "-m", "ops.cli", "up", "--home", str(home), "--engine", "sim"]
    with full(disk):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("parley: the disk is full")
    assert len(ended.stderr.splitlines()) == 1

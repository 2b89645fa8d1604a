"""The CQL server killed under load and brought back: what was accepted is not lost, what can't be
stored is not accepted."""

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest

from ops.chaos.figures import Report
from ops.chaos.stack import RunningStack
from tests.chaos.scene import PROMPT, SIMULATED, Scene, exactly_told, scene
from tests.support.cassandra import CassandraNode, PartMissing, run_cassandra
from tests.support.waiting import until

pytestmark = [pytest.mark.chaos, pytest.mark.nats, pytest.mark.cql, pytest.mark.timeout(480)]
TOKENS = 200


@pytest.fixture(scope="module")
def cassandra() -> Iterator[CassandraNode]:
    try:
        with run_cassandra() as node:
            yield node
    except PartMissing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def on_cql(
    cassandra: CassandraNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStack]:
    where = f"cql://127.0.0.1:{cassandra.port}/parley_chaos"
    stack = RunningStack(tmp_path_factory.mktemp("cql"), *SIMULATED, "--history", where)
    try:
        yield stack.start()
    finally:
        assert stack.end() == 0, stack.said


async def test_answers_wait_for_a_cql_server_that_was_killed_and_prompts_are_refused(
    cassandra: CassandraNode, on_cql: RunningStack, report: Report
) -> None:
    async with scene(on_cql) as at:
        expected = await at.undisturbed(TOKENS)
        chat_id = await at.guest.chat()
        stories = [await at.guest.ask(PROMPT, TOKENS) for _ in range(3)]
        await stories[-1].reached(50)
        await asyncio.to_thread(cassandra.kill)
        took_ms = await refused(at, chat_id)
        for story in stories:
            await until(lambda story=story: story.text == expected)  # type: ignore[misc]
            assert story.kinds[-1] == "message.delta", "the end was told before it was durable"
        began_s = time.monotonic()
        await asyncio.to_thread(cassandra.start)
        back_ms = round(1000 * (time.monotonic() - began_s))
        await exactly_told(at, stories, expected)
        ended_ms = round(1000 * (time.monotonic() - began_s))
        report.add("CQL server killed", "prompt refused after", took_ms)
        report.add("CQL server killed", "server back after", back_ms)
        report.add("CQL server killed", "all stored and told after", ended_ms)
        await exactly_told(at, [await at.guest.ask(PROMPT, TOKENS)], expected)
        kept = await at.guest.messages(chat_id)
        assert not kept or (kept[0]["status"], kept[0]["content"]) == ("failed", "")


async def refused(at: Scene, chat_id: str) -> int:
    """Send a prompt that must be refused; return how long that took, in milliseconds."""
    began_s = time.monotonic()
    reply: httpx.Response = await at.guest.post(chat_id, PROMPT, TOKENS)
    assert reply.status_code == 503, reply.text
    assert reply.json()["code"] in ("unavailable", "expired")
    assert int(reply.headers["retry-after"]) >= 1
    return round(1000 * (time.monotonic() - began_s))

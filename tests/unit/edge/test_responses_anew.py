"""A background response whose run's log was begun anew (ADR 0030)."""

from contextlib import AsyncExitStack
from typing import cast

import pytest

from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryServer
from actors.runtime.token_log import BusTokenLog
from contracts.ids import ENTROPY_BYTES, make_id
from contracts.responses import ResponseRecord
from edge.responses_stream import Followed, Sources
from edge.streaming import OpenStreams
from ops.history.memory import MemoryHistory
from ops.streams import declare_streams
from tests.support.log_writing import COMPLETED, STARTED, STOPPED, Script

RECORD = ResponseRecord(
    response_id=make_id("resp", 1, bytes(ENTROPY_BYTES)),
    user_id="user_1",
    run_id=make_id("run", 1, bytes(ENTROPY_BYTES)),
    model="m",
    created_at_ms=1,
    background=True,
    state="completed",
    text="all of it",
    finish_reason="stop",
)


@pytest.mark.parametrize(("after", "known"), [(None, True), (3, False)])
async def test_response_of_a_log_begun_anew_is_counted_only_for_who_begins(
    after: int | None, known: bool
) -> None:
    clock = SystemClock()
    bus = await MemoryServer(clock).connect("test")
    await declare_streams(bus)
    log = BusTokenLog(bus, clock)
    history = MemoryHistory()
    await history.create_response(RECORD)
    writer = await log.claim(RECORD.run_id, writer="w", attempt=2, expect_epoch=None)
    script = Script(writer, (await log.read(RECORD.run_id)).next_seq)
    await script.write(STARTED)
    await script.say("all ", "of ", "it")
    await script.write(end=STOPPED)
    await script.write(COMPLETED)
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(log.follow(RECORD.run_id, after=0))
        sources = Sources(log, history, cast("OpenStreams", None))
        held = stack.pop_all()
        followed = Followed(sources, RECORD, reader=reader, held=held, stored=True)
        async with followed:
            events = [event async for found in followed.events(after) for event in found]
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert deltas == (["all ", "of ", "it"] if known else [])
    assert events[-1]["type"] == "response.completed"
    await bus.close()

"""Event streams: from the first event, from every id, live and finished, on any edge."""

import asyncio
import socket
from typing import Any

import pytest
from httpx import AsyncClient

from contracts.codec import encode
from contracts.events import MessageDelta, RunQueued, RunRecovered, RunStarted
from contracts.log import LogSnapshot
from contracts.subjects import token_entries, token_partition, token_snapshots, token_stream
from edge.run_history import LAST_ID
from tests.integration.edge.conftest import EdgeStack, serving
from tests.integration.edge.peers import ScriptedRun
from tests.integration.edge.sse_client import reading, text_of

WORDS = ["Once", " upon", " a", " time", " “é🙂”\n", " there\r\n", "\u2028was"]
SSE = {"Accept": "text/event-stream"}


@pytest.fixture
def edge_settings() -> dict[str, Any]:
    return {"ping_s": 0.3, "slow_reader_s": 1.0, "backlog_max": 50}


async def _finished(stack: EdgeStack, me: dict[str, str], chat_id: str) -> ScriptedRun:
    await stack.prompt(me, chat_id)
    run = await stack.peers.begin()
    await run.say(*WORDS)
    await stack.peers.finish(run)
    return run


async def test_prompt_streams_every_event_with_ids_from_one(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    path = f"/chats/{chat_id}/messages"
    body = {"content": "tell", "maxTokens": 9, "temperature": 0, "seed": 3, "stop": "END"}
    async with reading(stack.client, "POST", path, json=body, headers=me | SSE) as reader:
        run = stack.peers.open(reader.response.headers["x-run-id"])
        await run.write(RunQueued(position=3, eta_ms=900))
        await run.write(MessageDelta(delta="a"), MessageDelta(delta="b"))
        await run.write(RunRecovered(gap_ms=12))
        await run.say(*WORDS)
        await stack.peers.finish(run)
        events = await reader.rest()
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events[:5]] == [
        "run.queued",
        "message.delta",
        "message.delta",
        "run.recovered",
        "message.delta",
    ]
    assert events[0].data["position"] == 3
    assert events[0].data["etaMs"] == 900
    assert {event.data["runId"] for event in events} == {run.run_id}
    assert text_of(events) == "ab" + "".join(WORDS)
    assert events[-1].type == "run.completed"
    assert events[-1].data["finish_reason"] == "stop"
    assert events[-1].data["usage"]["promptTokens"] == 7
    submit = stack.peers.submitted[0]
    assert submit.sampling.max_tokens == 9
    assert submit.sampling.temperature == 0
    assert submit.sampling.seed == 3
    assert submit.sampling.stop == ("END",)
    assert events[-1].data["messageId"] == submit.answer_id


async def test_resume_from_every_id_gives_exactly_the_suffix_on_another_edge(
    stack: EdgeStack,
) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    run = await _finished(stack, me, chat_id)
    path = f"/chats/{chat_id}/runs/{run.run_id}/events"
    async with (
        serving(stack, await stack.server.connect("edge-2")) as (_, address),
        AsyncClient(base_url=address) as other,
    ):
        async with reading(other, "GET", path, headers=me) as reader:
            whole = await reader.rest()
        last = whole[-1].id
        assert [event.id for event in whole] == list(range(1, last + 1))
        for after in range(last):
            cursor = {"Last-Event-ID": str(after)} if after % 2 else {}
            query = {} if after % 2 else {"after": str(after)}
            async with reading(other, "GET", path, headers=me | cursor, params=query) as reader:
                assert await reader.rest() == whole[after:]
        answer = await other.get(path, headers={**me, "Last-Event-ID": str(last)})
        assert (answer.status_code, answer.content) == (204, b"")


async def test_header_of_an_event_source_wins_over_its_address(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    run = await _finished(stack, me, chat_id)
    path = f"/chats/{chat_id}/runs/{run.run_id}/events"
    headers = {**me, "Last-Event-ID": "8"}
    async with reading(stack.client, "GET", path, headers=headers, params={"after": "2"}) as reader:
        assert [event.id for event in await reader.rest()] == [9]


@pytest.mark.parametrize("cursor", ["-1", "x", "1.0", "9" * 17, "٣", str(LAST_ID + 1)])
async def test_cursor_that_is_none_is_refused(stack: EdgeStack, cursor: str) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    run = await _finished(stack, me, chat_id)
    path = f"/chats/{chat_id}/runs/{run.run_id}/events"
    answer = await stack.client.get(path, headers=me, params={"after": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


async def test_viewers_join_a_live_run_and_see_one_story(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    accepted = await stack.prompt(me, chat_id)
    run = await stack.peers.begin()
    path = accepted["eventsUrl"]

    async def view() -> tuple[str, list[int]]:
        async with reading(stack.client, "GET", path, headers=me) as reader:
            events = await reader.rest()
        return text_of(events), [event.id for event in events]

    viewers = []
    for index in range(30):
        await run.say(f" word{index}")
        if index % 3 == 0:
            viewers.append(asyncio.create_task(view()))
    await asyncio.sleep(0.1)
    await stack.peers.finish(run)
    for text, ids in await asyncio.gather(*viewers):
        assert text == run.text
        assert ids == list(range(ids[0], run.next_seq))


async def test_late_viewer_gets_a_snapshot_and_exact_deltas(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    accepted = await stack.prompt(me, chat_id)
    run = await stack.peers.begin()
    await run.say(*WORDS)
    stored = await stack.bus.last(
        token_stream(token_partition(run.run_id)), token_entries(run.run_id)
    )
    assert stored is not None
    snapshot = LogSnapshot(
        seq=run.next_seq - 1,
        stream_seq=stored.seq,
        text=run.text,
        started=RunStarted(model="tiny", message_id=accepted["messageId"]),
        started_seq=1,
    )
    await stack.peers.bus.append(token_snapshots(run.run_id), encode(snapshot))
    async with reading(stack.client, "GET", accepted["eventsUrl"], headers=me) as reader:
        started, shown = await reader.next(), await reader.next()
        assert started is not None
        assert shown is not None
        assert (started.id, started.type) == (1, "run.started")
        assert (shown.id, shown.type) == (len(WORDS) + 1, "message.snapshot")
        assert shown.data["text"] == run.text
        await run.say(" more")
        await stack.peers.finish(run)
        rest = await reader.rest()
    assert [event.id for event in rest] == [shown.id + 1, shown.id + 2]


async def test_pings_come_without_an_id(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    accepted = await stack.prompt(me, chat_id)
    async with reading(stack.client, "GET", accepted["eventsUrl"], headers=me) as reader:
        ping = await reader.next()
        assert ping is not None
        assert ping.type == "ping"


async def test_log_that_is_gone_is_replaced_by_history(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    run = await _finished(stack, me, chat_id)
    log = stack.server.stream(token_stream(token_partition(run.run_id)))
    for seq in list(log.messages):
        log.remove(seq)
    path = f"/chats/{chat_id}/runs/{run.run_id}/events"
    async with reading(stack.client, "GET", path, headers=me) as reader:
        events = await reader.rest()
    assert [event.type for event in events] == ["run.started", "message.snapshot", "run.completed"]
    assert [event.id for event in events] == [1, LAST_ID - 1, LAST_ID]
    assert text_of(events) == run.text
    async with reading(stack.client, "GET", path, headers={**me, "Last-Event-ID": "4"}) as reader:
        assert [event.id for event in await reader.rest()] == [LAST_ID - 1, LAST_ID]
    end = {**me, "Last-Event-ID": str(LAST_ID)}
    assert (await stack.client.get(path, headers=end)).status_code == 204


async def test_log_that_has_dropped_what_a_client_lacks_goes_on_from_a_snapshot(
    stack: EdgeStack,
) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    accepted = await stack.prompt(me, chat_id)
    run = await stack.peers.begin()
    await run.say(*WORDS)
    name = token_stream(token_partition(run.run_id))
    stored = await stack.bus.last(name, token_entries(run.run_id))
    assert stored is not None
    snapshot = LogSnapshot(seq=run.next_seq - 1, stream_seq=stored.seq, text=run.text)
    await stack.peers.bus.append(token_snapshots(run.run_id), encode(snapshot))
    log = stack.server.stream(name)
    for seq in [seq for seq, message in log.messages.items() if message.subject.endswith(".d")]:
        log.remove(seq)
    await run.say(" more")
    behind = {**me, "Last-Event-ID": "3"}
    async with reading(stack.client, "GET", accepted["eventsUrl"], headers=behind) as reader:
        shown, delta = await reader.next(), await reader.next()
        assert shown is not None
        assert delta is not None
        assert (shown.id, shown.type) == (len(WORDS) + 1, "message.snapshot")
        assert shown.data["text"] == "".join(WORDS)
        assert (delta.id, delta.data["delta"]) == (len(WORDS) + 2, " more")
        await stack.peers.finish(run)
        rest = await reader.rest()
    assert [event.type for event in rest] == ["run.completed"]


@pytest.mark.parametrize("state", ["cancelled", "failed"])
async def test_ends_other_than_completed_close_the_stream(stack: EdgeStack, state: str) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    accepted = await stack.prompt(me, chat_id)
    run = await stack.peers.begin()
    await run.say("half an")
    await stack.peers.finish(run, state)
    async with reading(stack.client, "GET", accepted["eventsUrl"], headers=me) as reader:
        events = await reader.rest()
    assert events[-1].type == f"run.{state}"
    if state == "failed":
        error = events[-1].data["error"]
        assert (error["code"], error["status"]) == ("worker_lost", 500)
        assert error["title"]
    else:
        assert events[-1].data["finish_reason"] == "cancelled"


async def test_closed_tab_stops_nothing(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    path = f"/chats/{chat_id}/messages"
    async with reading(
        stack.client, "POST", path, json={"content": "x"}, headers=me | SSE
    ) as reader:
        run = await stack.peers.begin()
        await run.say("one")
        await reader.next()
    await run.say(" two")
    await stack.peers.finish(run)
    assert stack.peers.cancelled == []
    events = f"/chats/{chat_id}/runs/{run.run_id}/events"
    async with reading(stack.client, "GET", events, headers=me) as reader:
        assert text_of(await reader.rest()) == "one two"


async def test_open_stream_waits_for_the_bus_and_goes_on(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    accepted = await stack.prompt(me, chat_id)
    run = await stack.peers.begin()
    await run.say("before")
    async with reading(stack.client, "GET", accepted["eventsUrl"], headers=me) as reader:
        first = await reader.next()
        assert first is not None
        stack.server.cut(stack.bus)
        await run.say(" during")
        refused = await stack.client.post(
            f"/chats/{chat_id}/messages", json={"content": "x"}, headers=me
        )
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        stack.server.mend(stack.bus)
        await run.say(" after")
        await stack.peers.finish(run)
        events = await reader.rest()
    assert text_of(events) == "before during after"


async def test_shutdown_closes_streams_without_a_terminal_event(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    accepted = await stack.prompt(me, chat_id)
    run = await stack.peers.begin()
    await run.say("half")
    async with (
        serving(stack, await stack.server.connect("edge-2")) as (edge, address),
        AsyncClient(base_url=address) as other,
        reading(other, "GET", f"{address}{accepted['eventsUrl']}", headers=me) as reader,
    ):
        assert await reader.next()
        await edge.stop()
        types = {event.type for event in await reader.rest()}
    assert types <= {"message.delta"}


async def test_reader_that_takes_nothing_is_cut_off_and_slows_nobody(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    accepted = await stack.prompt(me, chat_id)
    run = await stack.peers.begin()
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", stack.client.base_url.port))
    stuck.sendall(
        f"GET {accepted['eventsUrl']} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: {me['Authorization']}\r\n\r\n".encode()
    )
    page = "x" * 50_000

    async def cut() -> bool:
        text = (await stack.client.get("/metrics")).text
        return 'parley_edge_streams_ended_total{kind="run",why="slow"}' in text

    async with reading(stack.client, "GET", accepted["eventsUrl"], headers=me) as reader:
        everything = asyncio.create_task(reader.rest())
        while not await cut():
            await run.say(page)
            await asyncio.sleep(0.01)
        await stack.peers.finish(run)
        events = await everything
    assert text_of(events) == run.text
    stuck.close()

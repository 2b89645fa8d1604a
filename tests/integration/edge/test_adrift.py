"""An edge that is cut off from the bus: its readers go on at another."""

from typing import Any

import pytest
from httpx import AsyncClient

from tests.integration.edge.conftest import EdgeStack, serving
from tests.integration.edge.sse_client import reading, text_of


@pytest.fixture
def edge_settings() -> dict[str, Any]:
    return {"adrift_s": 0.2}


async def test_readers_of_an_edge_that_is_cut_off_go_on_at_another(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    url = (await stack.prompt(me, chat_id))["eventsUrl"]
    run = await stack.peers.begin()
    async with reading(stack.client, "GET", url, headers=me) as reader:
        await run.say("before")
        first = await reader.next()
        assert first is not None
        stack.server.cut(stack.bus)
        seen = [first, *await reader.rest()]
    assert text_of(seen) == "before"
    refused = await stack.client.get(url, headers=me)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    await run.say(" after")
    last = {"Last-Event-ID": str(seen[-1].id)}
    async with (
        serving(stack, await stack.server.connect("edge-2")) as (_, address),
        AsyncClient(base_url=address) as other,
        reading(other, "GET", url, headers=me | last) as reader,
    ):
        await stack.peers.finish(run)
        rest = await reader.rest()
    assert text_of([*seen, *rest]) == "before after"
    assert [event.id for event in [*seen, *rest]] == list(range(1, rest[-1].id + 1))


async def test_readers_stay_while_the_bus_is_away_for_a_moment(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    url = (await stack.prompt(me, chat_id))["eventsUrl"]
    run = await stack.peers.begin()
    async with reading(stack.client, "GET", url, headers=me) as reader:
        await run.say("before")
        await reader.next()
        for _ in range(3):
            stack.server.cut(stack.bus)
            stack.server.mend(stack.bus)
        await run.say(" after")
        await stack.peers.finish(run)
        assert text_of(await reader.rest()).endswith("after")

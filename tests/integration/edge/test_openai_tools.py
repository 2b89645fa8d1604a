"""Tools, where the model's template defines them: rendered, called, and told as OpenAI does."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from contracts.events import MessageDelta, RunStarted
from contracts.runs import RunOutcome
from tests.integration.edge.conftest import EdgeStack, WordCodec
from tests.integration.edge.peers import USAGE
from tests.support.waiting import until

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {"name": "add", "parameters": {"type": "object", "properties": {}}},
    }
]
CALLED: list[Any] = [
    {"role": "user", "content": "one and one"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "2"},
]
WRITTEN = ("I add. <tool", '_call>\n{"name": "add", "argu', 'ments": {"a": 1}}\n</tool_call>')


@pytest.fixture
async def sdk(
    stack: EdgeStack, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[openai.AsyncOpenAI]:
    monkeypatch.setattr(WordCodec, "tool_form", "hermes")
    key = (await stack.client.post("/api-keys", json={}, headers=await stack.guest())).json()
    client = openai.AsyncOpenAI(
        base_url=f"{stack.client.base_url}/v1", api_key=key["key"], max_retries=0
    )
    async with client:
        yield client


async def answer(stack: EdgeStack) -> None:
    await until(lambda: bool(stack.peers.specs))
    run = stack.peers.open(stack.peers.specs[-1].run_id)
    await run.write(RunStarted(model="tiny", message_id=""))
    for piece in WRITTEN[:-1]:
        await run.write(MessageDelta(delta=piece))
    end = RunOutcome(finish_reason="stop", usage=USAGE)
    await run.write(MessageDelta(delta=WRITTEN[-1]), end=end)


async def test_call_is_told_whole(stack: EdgeStack, sdk: openai.AsyncOpenAI) -> None:
    writing = asyncio.create_task(answer(stack))
    made = await sdk.chat.completions.create(model="tiny", messages=CALLED, tools=TOOLS)
    await writing
    (choice,) = made.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "I add. "
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("add", {"a": 1})


async def test_call_is_told_in_chunks_that_the_sdk_adds_up(
    stack: EdgeStack, sdk: openai.AsyncOpenAI
) -> None:
    writing = asyncio.create_task(answer(stack))
    async with sdk.chat.completions.stream(
        model="tiny", messages=CALLED, tools=TOOLS, parallel_tool_calls=False
    ) as stream:
        final = await stream.get_final_completion()
    await writing
    (choice,) = final.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0].function.arguments == '{"a":1}'
    assert stack.peers.specs[-1].sampling.stop == ("</tool_call>",)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "add"}}}, "tool_choice"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
    ],
)
async def test_what_tools_can_not_be_is_refused_by_name(
    stack: EdgeStack, sdk: openai.AsyncOpenAI, change: dict[str, Any], param: str
) -> None:
    body = {"model": "tiny", "messages": CALLED, "tools": TOOLS, **change}
    with pytest.raises(openai.BadRequestError) as refused:
        await sdk.post("/chat/completions", body=body, cast_to=object)
    assert refused.value.param == param
    assert stack.peers.specs == []

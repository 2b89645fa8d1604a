"""`/v1`, by the unmodified SDK and by hand."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from contracts.block_keys import prompt_keys
from contracts.errors import Problem
from contracts.events import MessageDelta, RunStarted
from contracts.runs import RunOutcome
from tests.integration.edge.conftest import EdgeStack
from tests.integration.edge.peers import USAGE, ScriptedRun
from tests.support.waiting import until

HELLO: list[Any] = [{"role": "user", "content": "hello there"}]
STOPPED = RunOutcome(finish_reason="stop", usage=USAGE)


@pytest.fixture
def edge_settings() -> dict[str, Any]:
    return {"disconnect_cancel_s": 0.5, "stream_max_s": 60.0}


@pytest.fixture
async def sdk(stack: EdgeStack) -> AsyncIterator[openai.AsyncOpenAI]:
    key = (await stack.client.post("/api-keys", json={}, headers=await stack.guest())).json()
    client = openai.AsyncOpenAI(
        base_url=f"{stack.client.base_url}/v1", api_key=key["key"], max_retries=0
    )
    async with client:
        yield client


async def _run(stack: EdgeStack, count: int = 1) -> ScriptedRun:
    await until(lambda: len(stack.peers.specs) >= count)
    run = stack.peers.open(stack.peers.specs[-1].run_id)
    await run.write(RunStarted(model="tiny", message_id=""), MessageDelta(delta="Hi"))
    return run


async def _answer(stack: EdgeStack, count: int = 1) -> None:
    run = await _run(stack, count)
    await run.say(" “you”", "\n")
    await run.write(MessageDelta(delta="!"), end=STOPPED)


async def test_chat_completion_whole(stack: EdgeStack, sdk: openai.AsyncOpenAI) -> None:
    writing = asyncio.create_task(_answer(stack))
    answer = await sdk.chat.completions.create(
        model="tiny",
        messages=[{"role": "developer", "content": "Be brief."}, *HELLO],
        max_completion_tokens=20,
        temperature=0.5,
        top_p=0.9,
        seed=4,
        stop=["END", "\n\n"],
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        user="ann",
        extra_body={
            "top_k": 5,
            "min_p": 0.1,
            "min_tokens": 2,
            "repetition_penalty": 1.1,
            "ignore_eos": True,
        },
    )
    await writing
    assert answer.object == "chat.completion"
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", "Hi “you”\n!")
    assert choice.finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (7, 10)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 2
    assert answer._request_id is not None
    spec = stack.peers.specs[0]
    assert spec.chat_id is None
    assert spec.prompt_tokens == (1, 2, 6, 1, 5, 5)
    sampling = spec.sampling
    assert (sampling.max_tokens, sampling.min_tokens, sampling.top_k) == (20, 2, 5)
    assert (sampling.temperature, sampling.top_p, sampling.min_p) == (0.5, 0.9, 0.1)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (0.5, -0.5)
    assert (sampling.repetition_penalty, sampling.seed) == (1.1, 4)
    assert (sampling.stop, sampling.ignore_eos) == (("END", "\n\n"), True)


async def test_chat_completion_streamed_with_usage(
    stack: EdgeStack, sdk: openai.AsyncOpenAI
) -> None:
    writing = asyncio.create_task(_answer(stack))
    chunks = [
        chunk
        async for chunk in await sdk.chat.completions.create(
            model="tiny", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    ]
    await writing
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Hi “you”\n!"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3
    assert len({chunk.id for chunk in chunks}) == 1
    assert stack.peers.specs[0].sampling.max_tokens == 64 - 3
    assert stack.peers.cancelled_queued == []


async def test_completion_by_text_and_by_token_ids(
    stack: EdgeStack, sdk: openai.AsyncOpenAI
) -> None:
    prompts: list[Any] = ["one two", ["one two"], [3, 3], [[3, 3]]]
    for count, prompt in enumerate(prompts, start=1):
        writing = asyncio.create_task(_answer(stack, count))
        answer = await sdk.completions.create(model="tiny", prompt=prompt)
        await writing
        assert answer.choices[0].text == "Hi “you”\n!"
        assert stack.peers.specs[-1].prompt_tokens == (3, 3)
        assert stack.peers.specs[-1].sampling.max_tokens == 16
        assert stack.peers.specs[-1].block_keys == ()


async def test_run_names_the_blocks_of_its_prompt(
    stack: EdgeStack, sdk: openai.AsyncOpenAI
) -> None:
    writing = asyncio.create_task(_answer(stack))
    await sdk.completions.create(model="tiny", prompt=[3] * 40)
    await writing
    assert stack.peers.specs[0].block_keys == prompt_keys((3,) * 40) != ()


async def test_completion_streamed_as_the_benchmark_client_asks(stack: EdgeStack) -> None:
    me = await stack.guest()
    body = {
        "model": "tiny",
        "prompt": "a b c",
        "repetition_penalty": 1.0,
        "max_tokens": 8,
        "logprobs": None,
        "stream": True,
        "stream_options": {"include_usage": True},
        "ignore_eos": True,
    }
    writing = asyncio.create_task(_answer(stack))
    async with stack.client.stream("POST", "/v1/completions", json=body, headers=me) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = [line async for line in answer.aiter_lines() if line]
    await writing
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert "".join(c["choices"][0]["text"] for c in chunks if c["choices"]) == "Hi “you”\n!"
    assert chunks[-1]["usage"]["completion_tokens"] == 3
    assert chunks[0]["usage"] is None


@pytest.mark.parametrize("stream", [True, False])
async def test_disconnect_cancels_the_run(stack: EdgeStack, stream: bool) -> None:
    me = await stack.guest()
    body = {"model": "tiny", "prompt": "a b c", "stream": stream}

    async def read() -> None:
        async with stack.client.stream("POST", "/v1/completions", json=body, headers=me) as answer:
            await answer.aread()

    reading = asyncio.create_task(read())
    run = await _run(stack)
    reading.cancel()
    await asyncio.wait([reading])
    await until(lambda: stack.peers.cancelled_queued == [run.run_id])


async def test_failure_is_told_whole_and_streamed(
    stack: EdgeStack, sdk: openai.AsyncOpenAI
) -> None:
    lost = Problem(code="worker_lost", detail="three workers died")
    outcome = RunOutcome(finish_reason="error", error=lost)

    async def fail(count: int) -> None:
        run = await _run(stack, count)
        await run.write(end=outcome)

    writing = asyncio.create_task(fail(1))
    with pytest.raises(openai.InternalServerError, match="three workers died"):
        await sdk.completions.create(model="tiny", prompt="a")
    await writing
    writing = asyncio.create_task(fail(2))
    with pytest.raises(openai.APIError, match="three workers died"):
        async for _ in await sdk.completions.create(model="tiny", prompt="a", stream=True):
            pass
    await writing
    assert stack.peers.cancelled_queued == []


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"n": 17}, "n"),
        ({"best_of": 3}, "best_of"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias[...]"),
        ({"store": True}, "store"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"prompt": ["a"] * 17}, "prompt"),
        ({"suffix": "x"}, "suffix"),
        ({"use_beam_search": True}, "use_beam_search"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"made_up": 1}, "made_up"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 64}, "max_tokens"),
        ({"min_tokens": 17}, "min_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"stream_options": {"x": 1}}, "stream_options.x"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, -1]}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": None}, "prompt"),
    ],
)
async def test_parameter_that_cannot_be_honoured_is_refused_by_name(
    stack: EdgeStack, change: dict[str, Any], param: str
) -> None:
    me = await stack.guest()
    body = {"model": "tiny", "prompt": "a b", **change}
    answer = await stack.client.post("/v1/completions", json=body, headers=me)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert error["code"] in ("invalid_value", "unsupported_parameter")
    assert answer.headers["x-should-retry"] == "false"
    assert stack.peers.specs == []


@pytest.mark.parametrize(
    "change",
    [
        {"n": 1},
        {"user": "x", "metadata": {"a": "b"}, "store": False},
        {"logit_bias": {}, "echo": False, "suffix": None, "best_of": 1, "logprobs": None},
        {"logprobs": False, "response_format": {"type": "text"}},
        {"use_beam_search": False, "length_penalty": 1.0, "skip_special_tokens": True},
    ],
)
async def test_parameter_that_asks_for_nothing_is_taken(
    stack: EdgeStack, change: dict[str, Any]
) -> None:
    me = await stack.guest()
    writing = asyncio.create_task(_answer(stack))
    body = {"model": "tiny", "prompt": "a b", **change}
    answer = await stack.client.post("/v1/completions", json=body, headers=me)
    await writing
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
        ([{"role": "tool", "content": "x"}], "messages[0].tool_call_id"),
        ([{"role": "tool", "content": "x", "tool_call_id": "c"}], "messages"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "messages[0]"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "messages[0].content"),
        ([{"role": "assistant", "content": "", "tool_calls": [{}]}], "messages[0].tool_calls[0]"),
    ],
)
async def test_messages_that_are_not_text_are_refused(
    stack: EdgeStack, messages: list[Any], param: str
) -> None:
    me = await stack.guest()
    body = {"model": "tiny", "messages": messages}
    answer = await stack.client.post("/v1/chat/completions", json=body, headers=me)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"].startswith(param)


async def test_picture_in_a_message_is_refused_in_words(stack: EdgeStack) -> None:
    me = await stack.guest()
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}
    body = {"model": "tiny", "messages": [{"role": "user", "content": [part]}]}
    answer = await stack.client.post("/v1/chat/completions", json=body, headers=me)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert "is a picture, and tiny sees none" in error["message"]
    where = "messages[0].content[0].image_url"
    assert (error["code"], error["param"]) == ("unsupported_parameter", where)


async def test_embeddings_are_refused_by_name(stack: EdgeStack) -> None:
    me = await stack.guest()
    asked = [("tiny", 400, "unsupported_parameter"), ("other", 404, "model_not_found")]
    for model, status, code in asked:
        body = {"model": model, "input": "words"}
        answer = await stack.client.post("/v1/embeddings", json=body, headers=me)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    answer = await stack.client.post("/v1/embeddings", json={"model": "tiny", "input": "x"})
    assert answer.status_code == 401


async def test_prompt_longer_than_the_window_names_both_numbers(stack: EdgeStack) -> None:
    me = await stack.guest()
    body = {"model": "tiny", "prompt": "w " * 70}
    answer = await stack.client.post("/v1/completions", json=body, headers=me)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "70" in error["message"]
    assert "64" in error["message"]


async def test_deep_nesting_is_refused(stack: EdgeStack) -> None:
    me = {**await stack.guest(), "Content-Type": "application/json"}
    deep = b'{"model":"tiny","prompt":"a","metadata":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    answer = await stack.client.post("/v1/completions", content=deep, headers=me)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "bad_request"


async def test_errors_have_openais_form(stack: EdgeStack, sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await sdk.completions.create(model="gpt-x", prompt="a")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        await sdk.with_options(api_key="pk_wrong").models.list()
    missing = await stack.client.get("/v1/nowhere")
    assert missing.json()["error"]["code"] == "not_found"
    assert stack.peers.status is not None
    stack.peers.status = None
    stack.server.cut(stack.bus)
    with pytest.raises(openai.InternalServerError) as away:
        await sdk.completions.create(model="tiny", prompt="a")
    assert away.value.status_code == 503
    assert away.value.response.headers["retry-after"] == "1"
    assert away.value.response.headers["x-should-retry"] == "true"


async def test_models_are_listed_and_read(sdk: openai.AsyncOpenAI) -> None:
    listed = await sdk.models.list()
    assert [model.id for model in listed.data] == ["tiny"]
    assert (await sdk.models.retrieve("tiny")).id == "tiny"
    with pytest.raises(openai.NotFoundError):
        await sdk.models.retrieve("other")

"""Chats and completions by the unmodified SDK, sync and async, on all that is behind them."""

import asyncio
from typing import Any

import openai
import pytest

from contracts.errors import HistoryRefused
from tests.integration.openai.conftest import CODEC, MODEL, Stack
from tests.support.waiting import until

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
LONG = 120


async def test_choices_come_interleaved_and_each_is_what_it_would_be_alone(
    sdk: openai.AsyncOpenAI,
) -> None:
    whole = await sdk.chat.completions.create(
        model=MODEL, messages=HELLO, n=3, max_tokens=30, temperature=1, seed=5
    )
    texts = [choice.message.content or "" for choice in whole.choices]
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 90
    alone = await sdk.chat.completions.create(
        model=MODEL, messages=HELLO, max_tokens=30, temperature=1, seed=6
    )
    assert alone.choices[0].message.content == texts[1]
    assert alone.usage is not None
    assert whole.usage.prompt_tokens == alone.usage.prompt_tokens
    streamed = ["", "", ""]
    order: list[int] = []
    async for chunk in await sdk.chat.completions.create(
        model=MODEL, messages=HELLO, n=3, max_tokens=30, temperature=1, seed=5, stream=True
    ):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
            order.append(choice.index)
    assert streamed == texts
    assert order != sorted(order)


async def test_prompts_of_one_request_are_answered_in_their_order(
    sdk: openai.AsyncOpenAI,
) -> None:
    prompts = ["one", "two"]
    answer = await sdk.completions.create(
        model=MODEL, prompt=prompts, n=2, max_tokens=8, temperature=0, echo=True
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    texts = [choice.text for choice in answer.choices]
    assert texts[0] == texts[1] != texts[2] == texts[3]
    assert [text[:3] for text in texts] == ["one", "one", "two", "two"]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (6, 32)


async def test_likelihoods_survive_the_death_of_the_writer(stack: Stack) -> None:
    sdk = await stack.client()

    async def told(kill: bool) -> list[tuple[str, float, int]]:
        places: list[tuple[str, float, int]] = []
        async for chunk in await sdk.chat.completions.create(
            model=MODEL,
            messages=HELLO,
            max_tokens=LONG,
            temperature=0,
            logprobs=True,
            top_logprobs=3,
            stream=True,
        ):
            logprobs = chunk.choices[0].logprobs
            content = (logprobs.content or []) if logprobs is not None else []
            places += [(at.token, at.logprob, len(at.top_logprobs)) for at in content]
            if kill and len(places) > LONG // 4:
                kill = False
                stack.engines[stack.writer()].crash("killed")
        return places

    undisturbed = await told(kill=False)
    assert len(undisturbed) == LONG
    assert {count for _, _, count in undisturbed} == {3}
    assert await told(kill=True) == undisturbed


async def test_bias_forbids_and_forces_tokens(sdk: openai.AsyncOpenAI) -> None:
    (forced,) = CODEC.encode("z")
    answer = await sdk.completions.create(
        model=MODEL, prompt="a", max_tokens=5, logit_bias={str(forced): 100}
    )
    assert answer.choices[0].text == "zzzzz"
    with pytest.raises(openai.BadRequestError, match="logit_bias") as error:
        await sdk.completions.create(model=MODEL, prompt="a", logit_bias={"x": 1})
    assert error.value.param == "logit_bias"


async def test_form_and_tools_are_refused_by_name_where_they_can_not_be(
    sdk: openai.AsyncOpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError) as form:
        await sdk.chat.completions.create(
            model=MODEL, messages=HELLO, response_format={"type": "json_object"}
        )
    assert (form.value.param, form.value.code) == ("response_format", "unsupported_parameter")
    with pytest.raises(openai.BadRequestError) as tools:
        await sdk.chat.completions.create(
            model=MODEL,
            messages=HELLO,
            tools=[{"type": "function", "function": {"name": "add", "parameters": {}}}],
        )
    assert (tools.value.param, tools.value.code) == ("tools", "unsupported_parameter")


async def test_runs_of_an_edge_that_is_gone_are_stopped(stack: Stack) -> None:
    sdk, other = await stack.client(0), await stack.client(1)

    async def read() -> None:
        await sdk.completions.create(model=MODEL, prompt="a", max_tokens=2_000)

    reading = asyncio.create_task(read())
    kept = asyncio.create_task(
        other.completions.create(model=MODEL, prompt="b", max_tokens=900, temperature=0)
    )
    await until(lambda: sum(engine.load().running for engine in stack.engines.values()) == 2)
    stack.edges[0].lose()
    await until(lambda: sum(engine.load().running for engine in stack.engines.values()) < 2)
    assert not kept.done()
    assert (await kept).choices[0].finish_reason == "length"
    reading.cancel()
    await asyncio.wait([reading])


async def test_answers_carry_openais_headers(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.models.with_raw_response.list()
    assert answer.headers["openai-version"] == "2020-10-01"
    assert int(answer.headers["openai-processing-ms"]) >= 0
    assert answer.headers["x-request-id"].startswith("req_")


async def test_sdks_retries_end_with_an_answer(stack: Stack) -> None:
    sdk = (await stack.client()).with_options(max_retries=5)
    stack.history.available = False
    asking = asyncio.create_task(
        sdk.responses.create(model=MODEL, input="hello", max_output_tokens=3)
    )
    with pytest.raises(HistoryRefused):
        await stack.history.ping()
    await asyncio.sleep(0.5)
    stack.history.available = True
    assert len((await asking).output_text) == 3


async def test_sync_sdk_does_as_the_async_one(stack: Stack) -> None:
    key, url = await stack.key(), f"{stack.edges[0].url}/v1"

    def talk() -> tuple[str, str, str, int]:
        with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as sdk:
            models = [model.id for model in sdk.models.list()]
            assert models == [MODEL]
            whole = sdk.chat.completions.create(
                model=MODEL, messages=HELLO, max_tokens=20, temperature=0
            )
            streamed = "".join(
                chunk.choices[0].delta.content or ""
                for chunk in sdk.chat.completions.create(
                    model=MODEL, messages=HELLO, max_tokens=20, temperature=0, stream=True
                )
            )
            made = sdk.responses.create(
                model=MODEL, input="hello", max_output_tokens=20, temperature=0, background=True
            )
            events = list(sdk.responses.retrieve(made.id, stream=True))
            final = sdk.responses.retrieve(made.id)
            sdk.responses.delete(made.id)
            return whole.choices[0].message.content or "", streamed, final.output_text, len(events)

    whole, streamed, response, events = await asyncio.to_thread(talk)
    assert whole == streamed == response
    assert events > 8

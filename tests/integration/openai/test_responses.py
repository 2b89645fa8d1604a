"""`/v1/responses` by the unmodified SDK: made, followed, left, rejoined, stopped, deleted."""

import asyncio
from typing import Any

import openai
import pytest

from tests.integration.openai.conftest import MODEL, Stack
from tests.support.waiting import until

LONG = 120


async def ended(sdk: openai.AsyncOpenAI, response_id: str) -> Any:
    """Return a background response once it has ended."""
    for _ in range(400):
        found = await sdk.responses.retrieve(response_id)
        if found.status not in ("queued", "in_progress"):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("it never ended")


async def collect(stream: Any) -> list[Any]:
    return [event async for event in stream]


def text_of(events: list[Any]) -> str:
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")


async def test_response_whole(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.responses.create(
        model=MODEL,
        instructions="Be brief.",
        input="hello",
        max_output_tokens=20,
        temperature=0,
        metadata={"who": "ann"},
    )
    assert (answer.object, answer.status, answer.model) == ("response", "incomplete", MODEL)
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert len(answer.output_text) == 20
    assert answer.usage is not None
    assert (answer.usage.output_tokens, answer.usage.total_tokens) == (
        20,
        answer.usage.input_tokens + 20,
    )
    assert (answer.instructions, answer.metadata) == ("Be brief.", {"who": "ann"})
    again = await sdk.responses.retrieve(answer.id)
    assert again.output_text == answer.output_text
    assert again.usage == answer.usage


async def test_response_streamed_has_every_event_once_and_in_order(
    sdk: openai.AsyncOpenAI,
) -> None:
    events = await collect(
        await sdk.responses.create(
            model=MODEL, input="hello", max_output_tokens=20, temperature=0, stream=True
        )
    )
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    last = events[-1].response
    assert last.output_text == text_of(events)
    assert (await sdk.responses.retrieve(last.id)).output_text == text_of(events)


async def test_sdks_own_accumulator_follows_a_stream(sdk: openai.AsyncOpenAI) -> None:
    async with sdk.responses.stream(model=MODEL, input="hello", max_output_tokens=20) as stream:
        snapshots = [e.snapshot async for e in stream if e.type == "response.output_text.delta"]
    assert snapshots[-1] == "".join(snapshots[-1])
    assert len(snapshots[-1]) == 20


async def test_background_outlives_its_reader_and_every_resume_is_exact(stack: Stack) -> None:
    sdk, other = await stack.client(0), await stack.client(1)
    made = await sdk.responses.create(
        model=MODEL, input="hello", max_output_tokens=40, temperature=0, background=True
    )
    assert made.status == "queued"
    whole = await collect(await other.responses.retrieve(made.id, stream=True))
    assert [event.sequence_number for event in whole] == list(range(len(whole)))
    assert whole[1].type == "response.queued"
    final = await ended(sdk, made.id)
    assert final.output_text == text_of(whole)
    for after in range(0, len(whole), 3):
        rest = await collect(
            await (sdk, other)[after % 2].responses.retrieve(
                made.id, stream=True, starting_after=after
            )
        )
        assert [e.sequence_number for e in rest] == [e.sequence_number for e in whole[after + 1 :]]
        assert text_of(rest) == text_of(whole[after + 1 :])


async def test_background_goes_on_when_its_writer_and_its_edge_die(stack: Stack) -> None:
    sdk, other = await stack.client(0), await stack.client(1)
    undisturbed = await sdk.responses.create(
        model=MODEL, input="hello", max_output_tokens=LONG, temperature=0
    )
    stream = await sdk.responses.create(
        model=MODEL,
        input="hello",
        max_output_tokens=LONG,
        temperature=0,
        background=True,
        stream=True,
    )
    seen: list[Any] = []
    async for event in stream:
        seen.append(event)
        if event.type == "response.output_text.delta" and len(text_of(seen)) > LONG // 4:
            stack.engines[stack.writer()].crash("killed")
            stack.edges[0].lose()
            break
    await stream.close()
    response_id = seen[0].response.id
    rest = await collect(
        await other.responses.retrieve(
            response_id, stream=True, starting_after=seen[-1].sequence_number
        )
    )
    numbers = [event.sequence_number for event in seen + rest]
    assert numbers == list(range(len(numbers)))
    assert text_of(seen + rest) == undisturbed.output_text
    final = await ended(other, response_id)
    assert final.output_text == undisturbed.output_text


async def test_log_that_is_gone_is_made_up_for_by_history(stack: Stack) -> None:
    sdk = await stack.client()
    made = await sdk.responses.create(model=MODEL, input="hello", max_output_tokens=20)
    stack.forget_logs()
    whole = await collect(await sdk.responses.retrieve(made.id, stream=True))
    assert text_of(whole) == made.output_text
    assert whole[-1].response.output_text == made.output_text
    rest = await collect(await sdk.responses.retrieve(made.id, stream=True, starting_after=5))
    assert rest[0].type == "response.output_text.done"
    assert rest[0].text == made.output_text
    last = rest[-1].sequence_number
    assert (
        await collect(await sdk.responses.retrieve(made.id, stream=True, starting_after=last)) == []
    )


async def test_background_is_cancelled_and_keeps_what_was_said(stack: Stack) -> None:
    sdk = await stack.client()
    made = await sdk.responses.create(
        model=MODEL, input="hello", max_output_tokens=1_500, background=True
    )
    following = asyncio.create_task(collect(await sdk.responses.retrieve(made.id, stream=True)))
    await until(lambda: any(engine.load().running for engine in stack.engines.values()))
    await asyncio.sleep(0.1)
    stopped = await sdk.responses.cancel(made.id)
    assert stopped.status == "cancelled"
    events = await following
    assert events[-1].response.status == "cancelled"
    assert events[-1].response.output_text == text_of(events) == stopped.output_text
    assert not any(engine.load().running for engine in stack.engines.values())
    assert (await sdk.responses.cancel(made.id)).status == "cancelled"


async def test_only_background_can_be_cancelled(sdk: openai.AsyncOpenAI) -> None:
    made = await sdk.responses.create(model=MODEL, input="hello", max_output_tokens=5)
    with pytest.raises(openai.BadRequestError, match="background"):
        await sdk.responses.cancel(made.id)


async def test_reader_who_leaves_stops_what_is_not_in_the_background(stack: Stack) -> None:
    sdk = await stack.client()
    stream = await sdk.responses.create(
        model=MODEL, input="hello", max_output_tokens=1_500, stream=True
    )
    seen: list[Any] = []
    async for event in stream:
        seen.append(event)
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    await until(lambda: not any(engine.load().running for engine in stack.engines.values()))
    final = await ended(sdk, seen[0].response.id)
    assert final.status == "cancelled"


async def test_conversation_goes_on_from_a_response_in_any_branch(sdk: openai.AsyncOpenAI) -> None:
    first = await sdk.responses.create(
        model=MODEL, instructions="Be brief.", input="one", max_output_tokens=5
    )
    second = await sdk.responses.create(
        model=MODEL, input="two", previous_response_id=first.id, max_output_tokens=5
    )
    other = await sdk.responses.create(
        model=MODEL, input="two", previous_response_id=first.id, max_output_tokens=5
    )
    by_hand = await sdk.responses.create(
        model=MODEL,
        input=[
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": [{"type": "input_text", "text": "two"}]},
        ],
        max_output_tokens=5,
        store=False,
    )
    for answer in (second, other, by_hand):
        assert answer.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens == by_hand.usage.input_tokens  # type: ignore[union-attr]
    assert second.previous_response_id == first.id


async def test_input_items_are_listed_in_pages(sdk: openai.AsyncOpenAI) -> None:
    given: Any = [{"role": "user", "content": f"m{number}"} for number in range(5)]
    made = await sdk.responses.create(model=MODEL, input=given, max_output_tokens=2)
    listed: list[Any] = [
        item async for item in sdk.responses.input_items.list(made.id, limit=2, order="asc")
    ]
    assert [item.content[0].text for item in listed] == ["m0", "m1", "m2", "m3", "m4"]
    newest: Any = await sdk.responses.input_items.list(made.id, limit=1)
    assert newest.data[0].content[0].text == "m4"


async def test_deleted_response_is_gone_everywhere(stack: Stack) -> None:
    sdk, other = await stack.client(0), await stack.client(1)
    made = await sdk.responses.create(
        model=MODEL, input="hello", max_output_tokens=1_500, background=True
    )
    await sdk.responses.delete(made.id)
    for client in (sdk, other):
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        await sdk.responses.create(model=MODEL, input="x", previous_response_id=made.id)


async def test_what_is_not_stored_can_not_be_retrieved(sdk: openai.AsyncOpenAI) -> None:
    made = await sdk.responses.create(model=MODEL, input="hello", max_output_tokens=5, store=False)
    assert len(made.output_text) == 5
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError, match="background"):
        await sdk.responses.create(model=MODEL, input="x", store=False, background=True)


async def test_one_idempotency_key_makes_one_response(stack: Stack) -> None:
    sdk, other = await stack.client(0), await stack.client(1)
    headers = {"Idempotency-Key": "k1"}

    async def make(client: openai.AsyncOpenAI, text: str = "hello") -> Any:
        return await client.responses.create(
            model=MODEL, input=text, max_output_tokens=5, background=True, extra_headers=headers
        )

    made = await asyncio.gather(*(make((sdk, other)[n % 2]) for n in range(6)))
    assert len({answer.id for answer in made}) == 1
    with pytest.raises(openai.BadRequestError, match="Idempotency-Key"):
        await make(sdk, "another")


async def test_another_users_response_is_not_found(stack: Stack) -> None:
    sdk, eve = await stack.client(0), await stack.client(1, "eve")
    made = await sdk.responses.create(
        model=MODEL, input="hello", max_output_tokens=5, background=True
    )
    for attempt in (
        eve.responses.retrieve(made.id),
        eve.responses.cancel(made.id),
        eve.responses.delete(made.id),
        eve.responses.input_items.list(made.id),
    ):
        with pytest.raises(openai.NotFoundError):
            await attempt
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        await eve.responses.create(model=MODEL, input="x", previous_response_id=made.id)

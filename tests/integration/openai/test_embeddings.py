"""`/v1/embeddings` with the unmodified SDK; the embedder is simulated."""

import asyncio
import math
from collections.abc import Sequence

import openai
import pytest

from contracts.embeddings import EMBEDDING_POOL
from edge.config import EmbeddingPool
from tests.integration.openai.conftest import CODEC, EMBEDDED_MAX, EMBEDDER, MODEL, Stack
from tests.support.waiting import until

POOL = EmbeddingPool(EMBEDDER, EMBEDDING_POOL, EMBEDDED_MAX)


@pytest.fixture
async def client(stack: Stack) -> openai.AsyncOpenAI:
    """The SDK at an edge that has an embedding model, and a worker of it."""
    await stack.edge("edge_3", embeddings=POOL, embedding_timeout_s=2.0, embeddings_at_once=2)
    await stack.embedder("embed_1")
    return await stack.client(edge=2)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


async def test_text_has_a_vector_of_length_one_as_numbers_and_as_base64(
    client: openai.AsyncOpenAI,
) -> None:
    usual = await client.embeddings.create(model=EMBEDDER, input="a text")
    plain = await client.embeddings.create(model=EMBEDDER, input="a text", encoding_format="float")
    (one,), (other,) = usual.data, plain.data
    assert (usual.object, usual.model, one.object, one.index) == ("list", EMBEDDER, "embedding", 0)
    assert (usual.usage.prompt_tokens, usual.usage.total_tokens) == (6, 6)
    assert one.embedding == pytest.approx(other.embedding, abs=1e-7)
    assert len(one.embedding) == 16
    assert cosine(one.embedding, one.embedding) == pytest.approx(1.0, abs=1e-5)
    raw = await client.embeddings.with_raw_response.create(
        model=EMBEDDER, input="a text", encoding_format="base64"
    )
    assert isinstance(raw.http_response.json()["data"][0]["embedding"], str)


async def test_many_inputs_keep_their_order_and_tokens_are_as_good_as_their_text(
    client: openai.AsyncOpenAI,
) -> None:
    texts = [f"text number {n}" for n in range(40)]
    found = await client.embeddings.create(model=EMBEDDER, input=texts)
    assert [each.index for each in found.data] == list(range(40))
    alone = await client.embeddings.create(model=EMBEDDER, input=[list(CODEC.encode(texts[37]))])
    assert found.data[37].embedding == alone.data[0].embedding
    ids = await client.embeddings.create(model=EMBEDDER, input=list(CODEC.encode(texts[37])))
    assert ids.data[0].embedding == alone.data[0].embedding
    assert found.usage.prompt_tokens == sum(map(len, texts))


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"input": "x", "dimensions": 8}, "dimensions", "unsupported_parameter"),
        ({"input": ""}, "input", "invalid_value"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": ["x", ""]}, "input", "invalid_value"),
        ({"input": ["x"] * 2_049}, "input", "invalid_value"),
        ({"input": [[-1]]}, "input", "invalid_value"),
        ({"input": [[999]]}, None, "invalid_value"),
        ({"input": "x" * (EMBEDDED_MAX + 1)}, None, "context_length_exceeded"),
        ({"input": "x", "model": MODEL}, "model", "unsupported_parameter"),
        ({"input": "x", "encoding_format": "int8"}, "encoding_format", "invalid_value"),
    ],
)
async def test_request_that_can_not_be_honoured_is_refused_as_openai_does(
    client: openai.AsyncOpenAI, body: dict[str, object], param: str | None, code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.post("/embeddings", body={"model": EMBEDDER, **body}, cast_to=object)
    assert (refused.value.param, refused.value.code) == (param, code)


async def test_model_that_is_unknown_or_a_caller_without_a_key_is_refused(
    stack: Stack, client: openai.AsyncOpenAI
) -> None:
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model="none", input="x")
    stranger = openai.AsyncOpenAI(base_url=f"{stack.edges[2].url}/v1", api_key="pk_nobody")
    with pytest.raises(openai.AuthenticationError):
        await stranger.embeddings.create(model=EMBEDDER, input="x")
    await stranger.close()


async def test_embedding_model_is_listed_and_makes_no_answers(client: openai.AsyncOpenAI) -> None:
    listed = await client.models.list()
    assert [model.id for model in listed.data] == [MODEL, EMBEDDER]
    assert (await client.models.retrieve(EMBEDDER)).id == EMBEDDER
    with pytest.raises(openai.NotFoundError):
        await client.completions.create(model=EMBEDDER, prompt="x")


async def test_edge_without_an_embedding_model_says_so(stack: Stack) -> None:
    client = await stack.client()
    with pytest.raises(openai.BadRequestError, match="no model here does"):
        await client.embeddings.create(model=MODEL, input="x")


async def test_worker_that_is_away_or_silent_is_an_outage_that_ends(stack: Stack) -> None:
    await stack.edge("edge_3", embeddings=POOL, embedding_timeout_s=0.2)
    client = (await stack.client(edge=2)).with_options(max_retries=0)
    with pytest.raises(openai.InternalServerError) as away:
        await client.embeddings.create(model=EMBEDDER, input="x")
    assert (away.value.status_code, away.value.code) == (503, "no_worker")
    await stack.embedder("embed_1", stall_after=1)
    with pytest.raises(openai.InternalServerError) as silent:
        await client.embeddings.create(model=EMBEDDER, input="x")
    assert (silent.value.status_code, silent.value.code) == (503, "unavailable")


async def test_requests_beyond_the_edges_limit_are_refused_with_a_time(stack: Stack) -> None:
    await stack.edge("edge_3", embeddings=POOL, embeddings_at_once=2)
    worker = await stack.embedder("embed_1", batch_ms=300)
    client = (await stack.client(edge=2)).with_options(max_retries=0)
    held = [
        asyncio.ensure_future(client.embeddings.create(model=EMBEDDER, input="x")) for _ in range(2)
    ]
    await until(lambda: worker.info(1, "h").running == 2)
    with pytest.raises(openai.InternalServerError) as refused:
        await client.embeddings.create(model=EMBEDDER, input="x")
    assert refused.value.code == "at_capacity"
    assert refused.value.response.headers["retry-after"] == "1"
    assert [len(answer.data) for answer in await asyncio.gather(*held)] == [1, 1]

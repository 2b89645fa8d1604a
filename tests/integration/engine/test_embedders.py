"""One suite for every embedder."""

import math
import random
import struct
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from actors.gpu.sim_embedder import SimEmbedder, SimEmbedderConfig
from actors.gpu.vllm_embedder import VllmEmbedder
from actors.runtime.clock import SystemClock
from actors.runtime.tokenizer import HfTextCodec
from contracts.errors import EngineDead, EngineRefused
from contracts.ports.embedder import Embedder
from tests.support.random_model import CONTEXT, HIDDEN, VOCABULARY, random_llama
from tests.support.real_vllm import started

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def vllm_embedder() -> AsyncIterator[VllmEmbedder]:
    embedder = VllmEmbedder(random_llama(), {"max_num_seqs": 32, "num_gpu_blocks_override": 256})
    async with started(embedder):
        yield embedder


def simulated(**faults: int) -> SimEmbedder:
    codec = HfTextCodec.load(random_llama())
    config = SimEmbedderConfig(
        model=random_llama().name, context_length=CONTEXT, dimensions=HIDDEN, **faults
    )
    return SimEmbedder(config, SystemClock(), codec.decode, VOCABULARY)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sim_embedder() -> AsyncIterator[SimEmbedder]:
    embedder = simulated()
    await embedder.start(lambda _: None)
    yield embedder
    await embedder.close()


@pytest.fixture(params=["sim_embedder", pytest.param("vllm_embedder", marks=[pytest.mark.vllm])])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    chosen: Embedder = request.getfixturevalue(request.param)
    return chosen


def prompts(count: int, seed: int = 1) -> list[tuple[int, ...]]:
    draw = random.Random(seed)
    return [
        tuple(draw.randint(5, VOCABULARY - 1) for _ in range(draw.randint(1, 90)))
        for _ in range(count)
    ]


def values(vector: bytes) -> Sequence[float]:
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def cosine(one: bytes, other: bytes) -> float:
    return math.fsum(a * b for a, b in zip(values(one), values(other), strict=True))


async def test_info_says_what_it_is(embedder: Embedder) -> None:
    info = embedder.info
    assert (info.model, info.dimensions) == (random_llama().name, HIDDEN)
    assert info.context_length == CONTEXT
    assert info.kind == ("sim" if isinstance(embedder, SimEmbedder) else "vllm")


async def test_vectors_have_length_one_and_the_models_dimensions(embedder: Embedder) -> None:
    for vector in await embedder.embed(prompts(5)):
        assert len(vector) == 4 * embedder.info.dimensions
        assert cosine(vector, vector) == pytest.approx(1.0, abs=1e-5)


async def test_batch_gives_each_input_the_vector_that_it_has_alone_and_in_order(
    embedder: Embedder,
) -> None:
    inputs = prompts(12)
    together = await embedder.embed(inputs)
    alone = [(await embedder.embed([each]))[0] for each in inputs]
    for place, vector in enumerate(together):
        nearest = max(range(len(alone)), key=lambda i: cosine(vector, alone[i]))
        assert nearest == place
        assert cosine(vector, alone[place]) == pytest.approx(1.0, abs=2e-3)


async def test_same_input_twice_in_a_batch_has_the_same_vector(embedder: Embedder) -> None:
    one, other = await embedder.embed([prompts(1)[0]] * 2)
    assert cosine(one, other) == pytest.approx(1.0, abs=2e-3)


async def test_input_as_long_as_the_window_is_taken_and_a_longer_one_refused(
    embedder: Embedder,
) -> None:
    assert len(await embedder.embed([(7,) * CONTEXT])) == 1
    with pytest.raises(EngineRefused, match=f"{CONTEXT + 1} tokens"):
        await embedder.embed([(7,), (7,) * (CONTEXT + 1)])


@pytest.mark.parametrize("bad", [(), (VOCABULARY,), (-1,)])
async def test_input_that_the_model_can_not_read_is_refused_and_others_go_on(
    embedder: Embedder, bad: tuple[int, ...]
) -> None:
    with pytest.raises(EngineRefused):
        await embedder.embed([(7, 8), bad])
    assert len(await embedder.embed([(7, 8)])) == 1


async def test_simulated_embedder_finds_the_text_that_shares_words() -> None:
    codec, embedder = HfTextCodec.load(random_llama()), simulated()
    texts = ["my parrot is called Koko", "the bakery opens at seven", "what is my parrots name"]
    bird, bakery, asked = await embedder.embed([codec.encode(text) for text in texts])
    assert cosine(asked, bird) > cosine(asked, bakery) + 0.2


async def test_simulated_embedder_that_crashes_says_so_and_answers_no_more() -> None:
    embedder = simulated(crash_after=3)
    await embedder.embed([(7,), (8,)])
    with pytest.raises(EngineDead, match="told to crash"):
        await embedder.embed([(9,)])
    assert await embedder.died() == "it was told to crash"
    with pytest.raises(EngineDead):
        await embedder.embed([(9,)])

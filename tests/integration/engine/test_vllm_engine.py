"""What only a real engine can show."""

import asyncio
import json

import pytest
from msgspec.structs import replace

from actors.gpu.vllm_engine import VllmEngine
from actors.runtime.tokenizer import HfTextCodec
from contracts.errors import EngineRefused
from contracts.ports.engine import EngineOutput
from contracts.runs import Guide, Sampling
from tests.support.random_model import random_llama
from tests.support.waiting import until

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(240),
]


async def test_abort_leaves_no_block_in_use(vllm: VllmEngine) -> None:
    sampling = Sampling(max_tokens=1500, temperature=0.0, ignore_eos=True)

    async def read(name: str) -> None:
        async for _ in vllm.generate(name, tuple(range(5, 400)), sampling):
            continue

    readers = [asyncio.create_task(read(f"held-{n}")) for n in range(8)]
    await until(lambda: vllm.load().running == 8)
    # vLLM drops its prefix cache only when no block is in use.
    assert not await vllm._host.llm.reset_prefix_cache()
    await asyncio.gather(*(vllm.abort(f"held-{n}") for n in range(8)))
    assert await vllm._host.llm.reset_prefix_cache()
    await asyncio.gather(*readers)


async def test_sockets_lie_where_only_its_user_reads(vllm: VllmEngine) -> None:
    folder = vllm._host.folder
    assert any(file.is_socket() for file in folder.iterdir())
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_abort_of_a_request_that_begins_leaves_no_block_in_use(vllm: VllmEngine) -> None:
    sampling = Sampling(max_tokens=1500, temperature=0.0, ignore_eos=True)

    async def read(name: str) -> int:
        return len([o async for o in vllm.generate(name, tuple(range(5, 400)), sampling)])

    for turns in range(6):
        reader = asyncio.create_task(read("early"))
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await vllm.abort("early")
        assert await vllm._host.llm.reset_prefix_cache()
        assert await asyncio.wait_for(reader, 10) < 1500


def text_codec() -> HfTextCodec:
    return HfTextCodec.load(random_llama())


async def outputs(vllm: VllmEngine, name: str, sampling: Sampling) -> list[EngineOutput]:
    prompt = text_codec().encode("Say it in JSON:")
    return [output async for output in vllm.generate(name, prompt, sampling)]


async def test_likelihoods_rank_what_was_drawn_and_do_not_change_it(vllm: VllmEngine) -> None:
    plain = Sampling(max_tokens=12, temperature=0.0, ignore_eos=True)
    told = await outputs(vllm, "told", replace(plain, logprobs=3))
    tokens = [token for output in told for token in output.tokens]
    untold = await outputs(vllm, "untold", plain)
    assert tokens == [token for output in untold for token in output.tokens]
    places = [place for output in told for place in output.logprobs]
    assert len(places) == len(tokens)
    for token, place in zip(tokens, places, strict=True):
        assert place.top[0] == (token, place.logprob)
        assert place.logprob <= 0
        assert [value for _, value in place.top] == sorted(
            (value for _, value in place.top), reverse=True
        )
        assert len(place.top) == 3
    own = await outputs(vllm, "own", replace(plain, logprobs=0))
    assert all(not place.top for output in own for place in output.logprobs)
    assert not any(output.logprobs for output in untold)


async def test_bias_forces_a_token(vllm: VllmEngine) -> None:
    sampling = Sampling(
        max_tokens=5, temperature=1.0, ignore_eos=True, logit_bias=((77, 100.0), (78, -100.0))
    )
    told = await outputs(vllm, "biased", sampling)
    assert {token for output in told for token in output.tokens} == {77}


@pytest.mark.timeout(480)
async def test_guide_holds_the_text_to_its_form_and_a_replay_gives_it_again(
    vllm: VllmEngine,
) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"enum": [1, 2, 3]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    sampling = Sampling(
        max_tokens=64,
        temperature=1.0,
        seed=11,
        guide=Guide(kind="json_schema", json_schema=json.dumps(schema)),
    )
    codec = text_codec()
    texts = []
    for name in ("guided", "replayed"):
        told = await outputs(vllm, name, sampling)
        texts.append(codec.decode([token for output in told for token in output.tokens]))
    assert json.loads(texts[0])["a"] in (1, 2, 3)
    assert texts[0] == texts[1]


@pytest.mark.timeout(480)
async def test_unusable_schema_is_refused_and_others_go_on(vllm: VllmEngine) -> None:
    bad = Guide(kind="json_schema", json_schema='{"type":"no such type"}')
    with pytest.raises(EngineRefused):
        await outputs(vllm, "bad", Sampling(max_tokens=4, temperature=0.0, guide=bad))
    assert await outputs(vllm, "good", Sampling(max_tokens=2, temperature=0.0, ignore_eos=True))

"""What only a real engine can show."""

import asyncio

import pytest

from actors.gpu.vllm_engine import VllmEngine
from contracts.runs import Sampling
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
    assert not await vllm._llm.reset_prefix_cache()
    await asyncio.gather(*(vllm.abort(f"held-{n}") for n in range(8)))
    assert await vllm._llm.reset_prefix_cache()
    await asyncio.gather(*readers)


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
        assert await vllm._llm.reset_prefix_cache()
        assert await asyncio.wait_for(reader, 10) < 1500

"""The engines that the suite runs on: simulated, and vLLM, started once for the session."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from actors.gpu.prefix_mirror import PrefixMirror
from actors.gpu.sim_engine import SimConfig, SimEngine
from actors.gpu.vllm_engine import VllmEngine
from actors.runtime.clock import SystemClock
from contracts.ports.engine import Engine
from tests.support.random_model import CONTEXT, SPECIAL, VOCABULARY, random_llama
from tests.support.real_vllm import started

KV_TOKENS = 65_536
ENGINE_ARGS = {"max_num_seqs": 32, "num_gpu_blocks_override": KV_TOKENS // 32}
MIRRORS: dict[Engine, PrefixMirror] = {}
"""What each engine has said of its prefix cache."""


def _mirrored(engine: Engine) -> None:
    mirror = MIRRORS[engine] = PrefixMirror("gpu_1", 1)
    engine.on_blocks(mirror.changed)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vllm() -> AsyncIterator[VllmEngine]:
    engine = VllmEngine(random_llama(), ENGINE_ARGS)
    _mirrored(engine)
    async with started(engine):
        yield engine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sim() -> AsyncIterator[SimEngine]:
    config = SimConfig(
        vocabulary=tuple(range(len(SPECIAL), VOCABULARY)),
        eos_token=0,
        context_length=CONTEXT,
        slots=32,
        step_ms=1,
        kv_tokens=KV_TOKENS,
    )
    engine = SimEngine(config, SystemClock())
    _mirrored(engine)
    await engine.start(lambda _: None)
    yield engine
    await engine.close()


@pytest.fixture(params=["sim", pytest.param("vllm", marks=[pytest.mark.vllm])])
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def mirror(engine: Engine) -> PrefixMirror:
    return MIRRORS[engine]

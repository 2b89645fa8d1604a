"""Pictures in prompts: one suite for every engine that sees (ADR 0027)."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from actors.gpu.sim_engine import SimConfig, SimEngine
from actors.gpu.vllm_engine import VllmEngine
from actors.runtime.clock import SystemClock
from actors.runtime.tokenizer import HfTextCodec
from contracts.errors import EngineRefused
from contracts.ports.engine import Engine, EngineOutput
from contracts.ports.text import Turn
from contracts.runs import Sampling
from tests.support.pictures import chequered, plain, png
from tests.support.random_model import CONTEXT, SPECIAL, VOCABULARY
from tests.support.random_sight import IMAGE_TOKEN_ID, PICTURE_TOKENS, random_idefics
from tests.support.real_vllm import started
from tests.support.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
RED, CHEQUERED = plain(), chequered()
FRAMED = PICTURE_TOKENS + 3
_numbers = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seeing_vllm() -> AsyncIterator[VllmEngine]:
    arguments = {"max_num_seqs": 8, "num_gpu_blocks_override": 512}
    engine = VllmEngine(random_idefics(), arguments, pictures_max=3)
    async with started(engine):
        yield engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seeing_sim() -> AsyncIterator[SimEngine]:
    config = SimConfig(
        vocabulary=tuple(range(len(SPECIAL), VOCABULARY)),
        context_length=CONTEXT,
        step_ms=1,
        pictures_max=3,
        picture_tokens=FRAMED,
        picture_mark=IMAGE_TOKEN_ID,
    )
    engine = SimEngine(config, SystemClock())
    await engine.start(lambda _: None)
    yield engine
    await engine.close()


@pytest.fixture(params=["sim", pytest.param("vllm", marks=[pytest.mark.vllm])])
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.getfixturevalue(f"seeing_{request.param}")
    return chosen


def _prompt(*turns: Turn) -> tuple[int, ...]:
    return HfTextCodec.load(random_idefics()).render_chat(turns)


ASKED = Turn("user", "What is it?", pictures=(0,))
BOTH = Turn("user", "And these two?", pictures=(0, 0))


async def _outputs(
    engine: Engine, prompt: tuple[int, ...], pictures: tuple[bytes, ...], length: int = 24
) -> list[EngineOutput]:
    sampling = Sampling(max_tokens=length, temperature=0.0, ignore_eos=True)
    name = f"seen-{next(_numbers)}"
    return [output async for output in engine.generate(name, prompt, sampling, pictures)]


async def _said(
    engine: Engine, prompt: tuple[int, ...], pictures: tuple[bytes, ...], length: int = 24
) -> tuple[int, ...]:
    outputs = await _outputs(engine, prompt, pictures, length)
    return tuple(token for output in outputs for token in output.tokens)


async def test_engine_tells_what_it_sees(engine: Engine) -> None:
    assert engine.info.sight is not None
    assert engine.info.sight.pictures == 3
    assert engine.info.sight.tokens == FRAMED


async def test_answer_depends_on_the_picture_and_on_nothing_else(engine: Engine) -> None:
    prompt = _prompt(ASKED)
    red = await _said(engine, prompt, (RED,))
    assert len(red) == 24
    assert await _said(engine, prompt, (CHEQUERED,)) != red
    assert await _said(engine, prompt, (RED,)) == red


async def test_order_of_pictures_matters(engine: Engine) -> None:
    prompt = _prompt(ASKED, Turn("assistant", "Red."), BOTH)
    one = await _said(engine, prompt, (RED, RED, CHEQUERED))
    assert await _said(engine, prompt, (RED, CHEQUERED, RED)) != one


async def test_continuation_after_a_picture_is_exact(engine: Engine) -> None:
    prompt = _prompt(ASKED)
    whole = await _said(engine, prompt, (CHEQUERED,), 40)
    assert IMAGE_TOKEN_ID not in whole
    for seam in (1, 8, 31, 39):
        rest = await _said(engine, prompt + whole[:seam], (CHEQUERED,), 40 - seam)
        assert whole[:seam] + rest == whole


async def test_first_output_tells_the_length_of_the_prompt(engine: Engine) -> None:
    prompt = _prompt(ASKED)
    outputs = await _outputs(engine, prompt, (RED,))
    assert outputs[0].prompt_tokens == len(prompt) + FRAMED - 1
    assert all(output.prompt_tokens is None for output in outputs[1:])
    (blind,) = await _outputs(engine, _prompt(Turn("user", "Hello")), (), 1)
    assert blind.prompt_tokens is None


async def test_prompt_without_pictures_beside_one_says_the_same(engine: Engine) -> None:
    words, seen = _prompt(Turn("user", "Tell me more")), _prompt(ASKED)
    alone = await _said(engine, words, ())
    together, _ = await asyncio.gather(_said(engine, words, ()), _said(engine, seen, (RED,)))
    assert together == alone


@pytest.mark.parametrize("pictures", [(), (RED, RED), (RED,) * 4])
async def test_pictures_that_do_not_fit_their_marks_are_refused(
    engine: Engine, pictures: tuple[bytes, ...]
) -> None:
    prompt = _prompt(ASKED)
    if not pictures:
        prompt, pictures = _prompt(Turn("user", "Hello")), (RED,)
    with pytest.raises(EngineRefused):
        await _outputs(engine, prompt, pictures)
    assert await _said(engine, _prompt(ASKED), (RED,))


@pytest.mark.vllm
async def test_vllm_refuses_what_it_can_not_open(seeing_vllm: VllmEngine) -> None:
    wide = png(8192, 1, lambda _x, _y: (0, 0, 0))
    huge = wide[:16] + (8192).to_bytes(4, "big") * 2 + wide[24:]
    for data in (b"", RED[:40], b"GIF89a nothing", huge):
        with pytest.raises(EngineRefused, match="picture 1"):
            await _outputs(seeing_vllm, _prompt(ASKED), (data,))
    assert await _said(seeing_vllm, _prompt(ASKED), (RED,))


@pytest.mark.vllm
async def test_vllm_reads_the_same_picture_from_its_cache(seeing_vllm: VllmEngine) -> None:
    prompt = _prompt(Turn("user", "Look well at this picture. " * 20, pictures=(0,)))
    await _outputs(seeing_vllm, prompt, (CHEQUERED,))
    again = await _outputs(seeing_vllm, prompt, (CHEQUERED,))
    other = await _outputs(seeing_vllm, prompt, (plain((0, 0, 9)),))
    assert (again[0].cached_tokens or 0) >= 64
    assert other[0].cached_tokens == 0


@pytest.mark.vllm
async def test_vllm_abort_while_a_picture_is_read_leaves_nothing(seeing_vllm: VllmEngine) -> None:
    async def read(name: str) -> int:
        sampling = Sampling(max_tokens=1500, temperature=0.0, ignore_eos=True)
        outputs = seeing_vllm.generate(name, _prompt(ASKED), sampling, (RED,))
        return sum([len(output.tokens) async for output in outputs])

    for turns in range(4):
        reader = asyncio.create_task(read(f"early-{turns}"))
        for _ in range(turns + 1):
            await asyncio.sleep(0)
        await seeing_vllm.abort(f"early-{turns}")
        assert await asyncio.wait_for(reader, 10) < 1500
    await until(lambda: seeing_vllm.load().running == 0)
    assert await seeing_vllm._host.llm.reset_prefix_cache()

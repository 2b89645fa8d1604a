"""One suite for every engine."""

import asyncio
import itertools
import random

import pytest

from actors.gpu.prefix_mirror import PrefixMirror
from contracts.block_keys import BLOCK_TOKENS, prompt_keys
from contracts.errors import EngineRefused
from contracts.ports.engine import Engine, EngineOutput
from contracts.runs import Sampling
from tests.support.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]
_numbers = itertools.count()


def _prompt(seed: int, length: int = 40) -> tuple[int, ...]:
    draw = random.Random(seed)
    return tuple(draw.randint(5, 4000) for _ in range(length))


def _greedy(max_tokens: int, **more: object) -> Sampling:
    return Sampling(max_tokens=max_tokens, temperature=0.0, ignore_eos=True, **more)  # type: ignore[arg-type]


async def _outputs(
    engine: Engine, prompt: tuple[int, ...], sampling: Sampling
) -> list[EngineOutput]:
    return [output async for output in engine.generate(_name(), prompt, sampling)]


async def _tokens(engine: Engine, prompt: tuple[int, ...], sampling: Sampling) -> tuple[int, ...]:
    outputs = await _outputs(engine, prompt, sampling)
    return tuple(token for output in outputs for token in output.tokens)


def _name() -> str:
    return f"request-{next(_numbers)}"


async def test_engine_info_tells_its_limits(engine: Engine) -> None:
    info = engine.info
    assert info.context_length == 2048
    assert info.slots == 32
    assert info.kv_tokens > info.context_length
    assert info.block_size > 0


async def test_generate_yields_numbered_outputs_until_the_length(engine: Engine) -> None:
    outputs = await _outputs(engine, _prompt(1), _greedy(20))
    assert outputs[0].cached_tokens is not None
    assert all(output.cached_tokens is None for output in outputs[1:])
    assert [output.finish for output in outputs] == [None] * (len(outputs) - 1) + ["length"]
    count = 0
    for output in outputs:
        assert output.start == count
        count += len(output.tokens)
    assert count == 20


async def test_greedy_continuation_from_any_token_is_exact(engine: Engine) -> None:
    prompt = _prompt(2)
    whole = await _tokens(engine, prompt, _greedy(48))
    for seam in (1, 7, 31, 32, 33, 47):
        rest = await _tokens(engine, prompt + whole[:seam], _greedy(48 - seam))
        assert whole[:seam] + rest == whole


async def test_greedy_among_others_says_the_same(engine: Engine) -> None:
    prompts = [_prompt(seed) for seed in range(10, 22)]
    alone = [await _tokens(engine, prompt, _greedy(16)) for prompt in prompts]
    together = await asyncio.gather(*(_tokens(engine, p, _greedy(16)) for p in prompts))
    assert sum(a == b for a, b in zip(alone, together, strict=True)) >= len(prompts) - 1


async def test_seeded_sampling_repeats_and_unseeded_does_not(engine: Engine) -> None:
    prompt = _prompt(3)
    seeded = Sampling(max_tokens=24, temperature=1.0, seed=5, ignore_eos=True)
    unseeded = Sampling(max_tokens=24, temperature=1.0, ignore_eos=True)
    assert await _tokens(engine, prompt, seeded) == await _tokens(engine, prompt, seeded)
    assert await _tokens(engine, prompt, unseeded) != await _tokens(engine, prompt, unseeded)


async def test_prompt_that_was_seen_is_read_from_the_cache(engine: Engine) -> None:
    prompt = _prompt(4, length=200)
    first = await _outputs(engine, prompt, _greedy(2))
    again = await _outputs(engine, prompt, _greedy(2))
    assert first[0].cached_tokens == 0
    assert (again[0].cached_tokens or 0) >= 128


async def test_cache_tells_what_it_has_of_prompt_and_answer(
    engine: Engine, mirror: PrefixMirror
) -> None:
    prompt = _prompt(200, length=100)
    answer = await _tokens(engine, prompt, _greedy(100))
    keys = prompt_keys((*prompt, *answer))
    assert len(keys) == 6
    await until(lambda: mirror.warm_tokens(keys) >= 160)


async def test_cache_has_what_it_told(engine: Engine, mirror: PrefixMirror) -> None:
    draw = random.Random(7)
    stems = [_prompt(300 + n, length=160) for n in range(4)]
    await asyncio.gather(*(_outputs(engine, stem, _greedy(2)) for stem in stems * 2))
    await until(lambda: all(mirror.warm_tokens(prompt_keys(stem)) == _full(stem) for stem in stems))
    for n in range(12):
        stem = draw.choice(stems)[: draw.randint(20, 160)]
        prompt = stem + _prompt(400 + n, length=draw.randint(1, 200))
        expected = min(mirror.warm_tokens(prompt_keys(prompt)), len(prompt) - 1)
        outputs = await _outputs(engine, prompt, _greedy(2))
        assert outputs[0].cached_tokens == expected
        await until(lambda p=prompt: mirror.warm_tokens(prompt_keys(p)) == _full(p))  # type: ignore[misc]


async def test_cache_tells_what_it_removes(engine: Engine, mirror: PrefixMirror) -> None:
    prompt = _prompt(500, length=1_000)
    await _outputs(engine, prompt, _greedy(1))
    await until(lambda: mirror.warm_tokens(prompt_keys(prompt)) == _full(prompt))
    rounds = 2 * engine.info.kv_tokens // (32 * 1_500)
    for number in range(rounds):
        others = [_prompt(1_000 + 32 * number + n, length=1_500) for n in range(32)]
        await asyncio.gather(*(_outputs(engine, other, _greedy(1)) for other in others))
    again = await _outputs(engine, prompt, _greedy(1))
    assert again[0].cached_tokens == 0
    assert len(mirror) * BLOCK_TOKENS <= engine.info.kv_tokens


def _full(prompt: tuple[int, ...]) -> int:
    """Return the tokens of a prompt that a cache can save."""
    return len(prompt_keys(prompt)) * BLOCK_TOKENS


async def test_generate_stops_at_the_window(engine: Engine) -> None:
    tokens = await _tokens(engine, _prompt(5, length=2040), _greedy(500))
    assert len(tokens) == 8


@pytest.mark.parametrize("length", [0, 2048, 3000])
async def test_prompt_that_does_not_fit_is_refused(engine: Engine, length: int) -> None:
    with pytest.raises(EngineRefused):
        await _outputs(engine, _prompt(6, length), _greedy(4))
    assert await _tokens(engine, _prompt(6), _greedy(4))


async def test_request_id_that_runs_is_refused(engine: Engine) -> None:
    first = engine.generate("twice", _prompt(7), _greedy(500))
    await anext(first)
    with pytest.raises(EngineRefused):
        await anext(engine.generate("twice", _prompt(7), _greedy(4)))
    await engine.abort("twice")
    assert [output async for output in first][-1:] == []


@pytest.mark.parametrize("after", [0, 1, 10])
async def test_abort_frees_the_sequence_and_ends_the_output(engine: Engine, after: int) -> None:
    name = _name()
    seen: list[EngineOutput] = []
    enough = asyncio.Event()

    async def read() -> None:
        async for output in engine.generate(name, _prompt(8 + after), _greedy(1500)):
            seen.append(output)
            if len(seen) >= after:
                enough.set()

    reader = asyncio.create_task(read())
    if after:
        await enough.wait()
    else:
        await asyncio.sleep(0)
    await engine.abort(name)
    count = len(seen)
    await asyncio.wait_for(reader, 10)
    assert len(seen) <= count + 1
    assert all(output.finish is None for output in seen)
    assert engine.load().running + engine.load().waiting == 0
    assert engine.load().kv_used == 0


async def test_abort_of_an_unknown_request_is_no_error(engine: Engine) -> None:
    await engine.abort("never heard of")


async def test_generator_that_is_closed_frees_the_sequence(engine: Engine) -> None:
    outputs = engine.generate(_name(), _prompt(20), _greedy(1500))
    await anext(outputs)
    await outputs.aclose()  # type: ignore[attr-defined]
    assert engine.load().kv_used == 0


async def test_load_counts_what_runs(engine: Engine) -> None:
    streams = [engine.generate(_name(), _prompt(30 + n), _greedy(400)) for n in range(3)]
    for stream in streams:
        await anext(stream)
    load = engine.load()
    assert load.running == 3
    assert 0 < load.kv_used < 1
    for stream in streams:
        await stream.aclose()  # type: ignore[attr-defined]


async def test_more_requests_than_slots_all_finish(engine: Engine) -> None:
    counts = await asyncio.gather(
        *(_tokens(engine, _prompt(100 + n), _greedy(10)) for n in range(50))
    )
    assert [len(tokens) for tokens in counts] == [10] * 50

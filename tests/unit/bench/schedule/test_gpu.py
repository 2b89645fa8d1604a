from ops.bench.schedule.gpu import Gpu, GpuModel
from ops.bench.schedule.prompts import Prompt, block_name

_EXACT = GpuModel(jitter=0.0)


def _prompt(name: str, prompt_tokens: int, output_tokens: int, text: int = 0) -> Prompt:
    blocks = prompt_tokens // 32
    whole = (prompt_tokens + output_tokens) // 32
    keys = tuple(block_name(text, block) for block in range(whole))
    return Prompt(
        name=name,
        user="someone",
        at_us=0,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        max_tokens=output_tokens,
        keys=keys[:blocks],
        answer_keys=keys[blocks:],
    )


def _serve(gpu: Gpu) -> dict[str, int]:
    """Step until nothing is left; return each run's cached tokens."""
    cached = {}
    while gpu.plan() is not None:
        cached.update({run.name: run.cached for run in gpu.complete().ended})
    return cached


def test_gpu_one_prompt_takes_prefill_and_a_step_for_each_token() -> None:
    gpu = Gpu(_EXACT, seed=0)
    gpu.submit("a", 1, _prompt("a", 450, 3))
    lasts = []
    while (lasts_us := gpu.plan()) is not None:
        lasts.append(lasts_us)
        gpu.complete()
    assert lasts == [18_000 + 100_000, 19_050, 19_050]
    assert gpu.output_tokens == 3


def test_gpu_a_token_takes_longer_the_more_stands_before_it() -> None:
    gpu = Gpu(GpuModel(jitter=0.0, context_ns=2_000), seed=0)
    gpu.submit("a", 1, _prompt("a", 450, 3))
    lasts = []
    while (lasts_us := gpu.plan()) is not None:
        lasts.append(lasts_us)
        gpu.complete()
    assert lasts == [118_000, 19_050 + 2 * 451, 19_050 + 2 * 452]


def test_gpu_prompt_longer_than_a_chunk_is_computed_in_several_steps() -> None:
    gpu = Gpu(GpuModel(jitter=0.0, chunk_tokens=100), seed=0)
    gpu.submit("a", 1, _prompt("a", 250, 1))
    began = []
    while gpu.plan() is not None:
        began.append([run.name for run in gpu.complete().began])
    assert began == [[], [], ["a"]]


def test_gpu_pool_that_is_full_lets_the_next_prompt_wait() -> None:
    gpu = Gpu(GpuModel(kv_tokens=1_000, jitter=0.0), seed=0)
    gpu.submit("a", 1, _prompt("a", 600, 50))
    gpu.submit("b", 1, _prompt("b", 600, 50))
    gpu.plan()
    assert [run.name for run in gpu.waiting] == ["b"]
    _serve(gpu)
    assert gpu.used_tokens == 0
    assert gpu.output_tokens == 100


def test_gpu_pool_that_overflows_computes_the_youngest_again_and_loses_no_token() -> None:
    gpu = Gpu(GpuModel(kv_tokens=300, jitter=0.0), seed=0)
    gpu.submit("a", 1, _prompt("a", 100, 100))
    gpu.submit("b", 1, _prompt("b", 100, 100))
    ended = []
    while gpu.plan() is not None:
        ended += [(run.name, run.produced) for run in gpu.complete().ended]
        assert gpu.used_tokens <= 300
    assert ended == [("a", 100), ("b", 100)]
    assert gpu.computed_tokens > 200


def test_gpu_same_prompt_again_is_cached_but_for_its_last_token() -> None:
    gpu = Gpu(GpuModel(block_tokens=32, jitter=0.0), seed=0)
    gpu.submit("a", 1, _prompt("a", 320, 10))
    assert _serve(gpu) == {"a": 0}
    gpu.submit("b", 1, _prompt("b", 320, 10))
    assert _serve(gpu) == {"b": 288}


def test_gpu_next_turn_finds_prompt_and_answer_cached_but_for_the_last_token() -> None:
    gpu = Gpu(GpuModel(block_tokens=32, jitter=0.0), seed=0)
    gpu.submit("a", 1, _prompt("a", 320, 64))
    _serve(gpu)
    gpu.submit("b", 1, _prompt("b", 500, 8))
    assert _serve(gpu) == {"b": 352}


def test_gpu_tells_each_block_that_it_stores_and_removes() -> None:
    gpu = Gpu(GpuModel(kv_tokens=640, block_tokens=32, jitter=0.0), seed=0)
    known: set[str] = set()
    for text in range(6):
        gpu.submit(str(text), 1, _prompt(str(text), 320, 16, text))
        while gpu.plan() is not None:
            done = gpu.complete()
            known |= set(done.stored)
            known -= set(done.removed)
            assert known == set(gpu.cached_keys())
            assert len(known) * 32 <= 640


def test_gpu_dropped_run_gives_all_of_its_room_back() -> None:
    gpu = Gpu(GpuModel(block_tokens=32, jitter=0.0), seed=0)
    gpu.submit("a", 1, _prompt("a", 320, 100))
    gpu.plan()
    gpu.complete()
    dropped = gpu.drop("a")
    assert dropped is not None
    assert dropped.produced == 1
    assert gpu.used_tokens == 0
    assert gpu.plan() is None

"""What the mirror says is cached is cached, for every engine's block size."""

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.gpu.prefix_mirror import PrefixMirror
from actors.gpu.sim_cache import SimPrefixCache
from contracts.block_keys import BLOCK_TOKENS, prompt_keys

STEMS = [tuple(range(1000 * n, 1000 * n + 400)) for n in range(3)]


@st.composite
def prompts(draw: st.DrawFn) -> tuple[int, ...]:
    """Prompts that share stems, and leave each other anywhere within a block."""
    stem = draw(st.sampled_from(STEMS))[: draw(st.integers(0, 400))]
    return (*stem, *draw(st.lists(st.integers(0, 9), min_size=1, max_size=70)))


@settings(deadline=None)
@given(
    size=st.sampled_from([1, 4, 16, 32, 48, 64, 128]),
    room=st.integers(0, 2_000),
    work=st.lists(st.tuples(prompts(), st.integers(0, 3)), max_size=25),
)
def test_mirror_knows_what_the_cache_would_save(
    size: int, room: int, work: list[tuple[tuple[int, ...], int]]
) -> None:
    cache = SimPrefixCache(size, room // size, seed=3)
    mirror = PrefixMirror("gpu_1", 1)
    running: list[str] = []
    told: set[str] = set()
    for number, (prompt, endings) in enumerate(work):
        name = str(number)
        expected = mirror.warm_tokens(prompt_keys(prompt))
        cached = cache.begin(name, prompt)
        assert cached // BLOCK_TOKENS * BLOCK_TOKENS <= expected
        # A part of an engine block is cached and can't be used.
        assert expected - cached < max(size, BLOCK_TOKENS)
        if BLOCK_TOKENS % size == 0:
            assert expected == cached // BLOCK_TOKENS * BLOCK_TOKENS
        cache.computed(name, prompt[cached:])
        running.append(name)
        for _ in range(endings):
            if running:
                cache.end(running.pop(0))
        mirror.changed(cache.take_changes())
        for news in mirror.news():
            assert not told.intersection(news.stored)
            assert told.issuperset(news.removed)
            told.difference_update(news.removed)
            told.update(news.stored)
        assert len(mirror) == len(told)

"""The prefix cache of a simulated engine."""

from actors.gpu.sim_cache import SimPrefixCache
from contracts.ports.engine import BlocksRemoved, BlocksStored

PROMPT = tuple(range(17))


def _through(cache: SimPrefixCache, name: str, prompt: tuple[int, ...] = PROMPT) -> int:
    """Run a prompt to its end; return what was cached of it."""
    cached = cache.begin(name, prompt)
    cache.computed(name, prompt[cached:])
    cache.end(name)
    return cached


def test_prompt_that_was_computed_is_cached_but_for_its_last_token() -> None:
    cache = SimPrefixCache(4, 100, 0)
    assert _through(cache, "a") == 0
    assert _through(cache, "b") == 16
    assert _through(cache, "c", PROMPT[:16]) == 12


def test_prompt_is_cached_only_once_it_is_computed() -> None:
    cache = SimPrefixCache(4, 100, 0)
    cache.begin("a", PROMPT)
    assert cache.begin("b", PROMPT) == 0


def test_tokens_of_an_answer_are_cached_with_its_prompt() -> None:
    cache = SimPrefixCache(4, 100, 0)
    cache.begin("a", PROMPT)
    cache.computed("a", PROMPT)
    for token in (50, 51, 52, 53):
        cache.computed("a", (token,))
    assert cache.begin("b", (*PROMPT, 50, 51, 52, 53, 54)) == 20


def test_room_is_made_from_the_end_of_what_was_let_go_of_longest_ago() -> None:
    cache = SimPrefixCache(4, 6, 0)
    _through(cache, "a")
    stored = cache.take_changes()
    assert [type(change) for change in stored] == [BlocksStored] * 4
    other = tuple(range(100, 117))
    _through(cache, "b", other)
    removed = [c for c in cache.take_changes() if isinstance(c, BlocksRemoved)]
    last_two = [c.blocks for c in stored if isinstance(c, BlocksStored)][:-3:-1]
    assert [change.blocks for change in removed] == last_two
    assert cache.begin("c", PROMPT) == 8


def test_blocks_in_use_stay() -> None:
    cache = SimPrefixCache(4, 4, 0)
    cache.begin("a", PROMPT)
    cache.computed("a", PROMPT)
    _through(cache, "b", tuple(range(100, 117)))
    assert cache.begin("c", PROMPT) == 16
    assert len(cache.take_changes()) == 4


def test_two_engines_name_the_same_tokens_differently() -> None:
    names = []
    for seed in (0, 1):
        cache = SimPrefixCache(4, 100, seed)
        _through(cache, "a")
        names.append([c.blocks for c in cache.take_changes() if isinstance(c, BlocksStored)])
    assert not set(names[0]) & set(names[1])


def test_end_of_an_unknown_sequence_is_no_error() -> None:
    cache = SimPrefixCache(4, 4, 0)
    cache.end("never")
    cache.computed("never", PROMPT)
    assert cache.take_changes() == ()

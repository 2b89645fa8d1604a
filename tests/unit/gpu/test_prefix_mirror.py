"""The engine's blocks, in keys."""

import pytest

from actors.gpu.prefix_mirror import PrefixMirror
from contracts.block_keys import BLOCK_TOKENS, prompt_keys
from contracts.ports.engine import BlocksCleared, BlocksRemoved, BlocksStored
from contracts.scheduling import PrefixChanged

PROMPT = tuple(range(6 * BLOCK_TOKENS + 1))
KEYS = prompt_keys(PROMPT)


def _stored(size: int, first: int = 0, last: int | None = None) -> BlocksStored:
    """Blocks `first` up to `last` of the prompt, named by their number."""
    last = (len(PROMPT) - 1) // size if last is None else last
    return BlocksStored(
        blocks=tuple(range(first, last)),
        parent=first - 1 if first else None,
        tokens=PROMPT[first * size : last * size],
        block_size=size,
    )


def _warm(mirror: PrefixMirror) -> int:
    return mirror.warm_tokens(KEYS) // BLOCK_TOKENS


@pytest.fixture
def mirror() -> PrefixMirror:
    return PrefixMirror("gpu_1", 7)


@pytest.mark.parametrize("size", [1, 8, 16, 32, 48, 64, 96, 192])
def test_keys_are_found_whatever_the_engines_block_size(size: int, mirror: PrefixMirror) -> None:
    mirror.changed([_stored(size)])
    assert _warm(mirror) == 6


@pytest.mark.parametrize("size", [1, 8, 16, 32, 48, 64])
def test_blocks_that_come_one_by_one_make_the_same_keys(size: int, mirror: PrefixMirror) -> None:
    for place in range(len(PROMPT) // size):
        mirror.changed([_stored(size, place, place + 1)])
        assert _warm(mirror) == (place + 1) * size // BLOCK_TOKENS


@pytest.mark.parametrize(
    ("size", "block", "left"),
    [(16, 4, 2), (16, 5, 2), (16, 0, 0), (32, 2, 2), (64, 1, 2), (48, 1, 1), (48, 3, 4)],
)
def test_key_is_gone_with_any_engine_block_that_it_needs(
    size: int, block: int, left: int, mirror: PrefixMirror
) -> None:
    mirror.changed([_stored(size), BlocksRemoved((block,))])
    assert _warm(mirror) == left
    mirror.changed([_stored(size, block, block + 1)])
    assert _warm(mirror) == 6


def test_block_that_is_held_twice_goes_with_its_second_removal(mirror: PrefixMirror) -> None:
    mirror.changed([_stored(32), _stored(32), BlocksRemoved((3,))])
    assert _warm(mirror) == 6
    mirror.changed([BlocksRemoved((3,))])
    assert _warm(mirror) == 3


def test_news_are_what_changed_since_the_last(mirror: PrefixMirror) -> None:
    assert mirror.news() == []
    mirror.changed([_stored(32, 0, 3), BlocksRemoved((2,))])
    assert mirror.news() == [
        PrefixChanged(worker="gpu_1", incarnation=7, number=1, stored=KEYS[:2])
    ]
    mirror.changed([BlocksRemoved((1,)), _stored(32, 1, 2), _stored(32, 2, 4)])
    assert [(n.number, n.stored, n.removed) for n in mirror.news()] == [(2, KEYS[2:4], ())]
    mirror.changed([BlocksCleared(), _stored(32, 0, 1)])
    (news,) = mirror.news()
    assert (news.stored, set(news.removed)) == ((), set(KEYS[1:4]))
    assert mirror.news() == []


def test_news_and_everything_are_cut_into_messages() -> None:
    mirror = PrefixMirror("gpu_1", 7, message_keys_max=4)
    mirror.changed([_stored(32)])
    assert [len(news.stored) for news in mirror.news()] == [4, 2]
    everything = mirror.everything()
    assert [(n.number, n.cleared, len(n.stored)) for n in everything] == [
        (3, True, 4),
        (4, False, 2),
    ]
    assert mirror.news() == []
    mirror.changed([BlocksCleared()])
    assert [len(news.removed) for news in mirror.news()] == [4, 2]


def test_everything_of_an_empty_cache_says_so(mirror: PrefixMirror) -> None:
    assert mirror.everything() == [
        PrefixChanged(worker="gpu_1", incarnation=7, number=1, cleared=True)
    ]
    assert mirror.number == 1


def test_everything_includes_what_was_no_news_yet(mirror: PrefixMirror) -> None:
    mirror.changed([_stored(32)])
    assert mirror.everything()[0].stored == KEYS
    assert mirror.news() == []


@pytest.mark.parametrize(
    "strange",
    [
        BlocksStored((9,), 1234, PROMPT[:32], 32),
        BlocksStored((9,), None, PROMPT[:31], 32),
        BlocksStored((9,), None, (), 0),
        BlocksStored((9,), None, (-1,) * 32, 32),
        BlocksRemoved((1234, b"never heard of")),
    ],
)
def test_what_makes_no_sense_changes_nothing(
    strange: BlocksStored | BlocksRemoved, mirror: PrefixMirror
) -> None:
    mirror.changed([_stored(32, 0, 2), strange])
    assert (_warm(mirror), len(mirror)) == (2, 2)
    mirror.changed([_stored(32, 2, 3)])
    assert _warm(mirror) == 3


def test_followed_blocks_are_bounded() -> None:
    mirror = PrefixMirror("gpu_1", 7, blocks_max=4)
    mirror.changed([_stored(32)])
    assert (_warm(mirror), len(mirror)) == (4, 4)
    mirror.changed([BlocksRemoved((5, 4, 3)), _stored(32, 3, 4)])
    assert _warm(mirror) == 4

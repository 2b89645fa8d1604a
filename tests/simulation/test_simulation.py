"""A few hundred seeds of the simulated world; `make simulate SEED=n` replays one."""

import asyncio
import itertools
import logging
from collections import Counter

import pytest
import structlog

from tests.simulation.found import (
    CUT_IN_A_CHARACTER,
    REFUSED_AND_GIVEN_AGAIN,
    REFUSED_BY_A_STOPPED_HOST,
    REFUSED_BY_THE_NEXT_OWNER,
    STOPPED_TWICE,
    WOKEN_TOO_LATE,
)
from tests.simulation.scenario import play, run_seed
from tests.simulation.story import Story, draw_brief, draw_silent
from tests.simulation.virtual_time import Endless, VirtualTimeLoop, run_virtual

BATCH = 10
SEEDS = 200
_TOLD = 20
"""So many ways in which a story that found something is told."""

FOUND = {
    15: "the same as 16299 of the short ones",
    154: "a reader without a cursor told a snapshot after the deltas that it stood for",
}
SHORT_FOUND = {
    26: "a cancelled answer kept what might have begun a stop string",
    29: "an engine that stalls for good looked like the emptiest and warmest one",
    261: "a partition was taken again while its actors still stopped",
    289: "a second cancel ahead of its prompt put the first out of mind",
    2886: "an answer begun anew seemed to stall until it was longer than it had been",
    2616: "a snapshot without text had the number of the start that was told with it",
    2067: "a reader of an ended run waited for a log that was dropped while it was opened",
    4614: "a cut connection, once mended, told a stopped subscription what it had held up",
    5329: "the checks minded a claim that the log had dropped with everything else",
    11436: "a host took a prompt of a partition that it had lost, as in 4614",
    12725: "a process that was killed while its engine died lived on, and the story never ended",
    16299: "the place of a reader fitted a log that was begun anew, of which it was told the rest",
}
"""Seeds that found something, of the usual and of the short stories, and what; they stay."""


@pytest.fixture(autouse=True)
def quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_seeds_every_invariant_holds(first: int) -> None:
    endings: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        try:
            endings += run_seed(seed)
        except BaseException as error:
            error.add_note(f"replay it with: make simulate SEED={seed}")
            raise
    assert endings["completed"] > 0, "a batch in which nothing completes proves nothing"


def test_brief_seeds_every_invariant_holds() -> None:
    for seed in range(BATCH):
        play(draw_brief(seed))


@pytest.mark.parametrize("first", range(0, 30, BATCH))
def test_logs_begun_anew_every_invariant_holds(first: int) -> None:
    for seed in range(first, first + BATCH):
        play(draw_silent(seed))


@pytest.mark.parametrize("seed", SHORT_FOUND)
def test_seed_that_found_something_holds(seed: int) -> None:
    run_seed(seed, short=True)


@pytest.mark.parametrize(
    "stories",
    [
        REFUSED_BY_A_STOPPED_HOST,
        REFUSED_BY_THE_NEXT_OWNER,
        REFUSED_AND_GIVEN_AGAIN,
        STOPPED_TWICE,
        WOKEN_TOO_LATE,
        CUT_IN_A_CHARACTER,
    ],
)
def test_stories_that_found_something_hold(stories: tuple[Story, ...]) -> None:
    for story in stories[:_TOLD]:
        play(story)


def test_same_seed_gives_the_same_history() -> None:
    assert run_seed(7) == run_seed(7)


def test_world_that_never_ends_is_given_up() -> None:
    async def live_on() -> None:
        for _ in itertools.count():
            await asyncio.sleep(60.0)

    with pytest.raises(Endless):
        run_virtual(live_on(), VirtualTimeLoop())

"""Every bug on purpose is caught: the checks can fail."""

import logging

import pytest
import structlog

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.catching import SEEDS, catch

CAUGHT_BY = {
    "an entry is appended without a fence": 82,
    "a claim does not mind a newer one": 30,
    "an append whose answer was lost is simply repeated": 8,
    "a fenced writer takes the newer claim for its own": 82,
    "a reader does not see a gap": 7,
    "a lease is believed in for ever": 75,
    "a run's end is acknowledged when it comes": 14,
    "a log is closed without a claim": 59,
    "the key of an earlier prompt is not looked for": 25,
    "a prompt is refused although it may be stored": 9,
    "a stop is taken and not passed on": 126,
    "a retry is never due": 5,
    "a run is acknowledged when it is given to a worker": 44,
    "a stall is not noticed": 29,
    "a queued run that is cancelled stays in the queue": 9,
    "a successor begins the answer again": 24,
    "a successor has the whole of max_tokens again": 29,
    "a cancel is confirmed before the engine has let go": 20,
    "an output that comes twice is taken twice": 17,
    "a stop string may be cut in two by an entry": 10,
    "a snapshot stands for one event more than it has": 9,
    "a snapshot lacks the last word": 9,
    "a cancelled answer may end in half a character": 31,
}
"""The seed that caught a bug last time, where it was not the first. It is tried first: as the
code changes another may take its place."""


@pytest.fixture(autouse=True)
def quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_planted_bug_is_caught(bug: Bug) -> None:
    known = CAUGHT_BY.get(bug.name, 0)
    caught = catch(bug, [known, *range(SEEDS)])
    assert caught.seeds, f"{SEEDS} stories did not show that {bug.name}"


def test_there_are_bugs_of_every_room() -> None:
    assert len(BUGS) >= 25

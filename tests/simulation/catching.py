"""`python -m tests.simulation.catching [NAME]`: plant each bug of `bugs` and let the simulator
find it; says with how many seeds, and by which invariant."""

import logging
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import structlog

from tests.simulation import bugs_around  # noqa: F401  registers its own
from tests.simulation.bugs import BUGS, Bug
from tests.simulation.shrinking import outcome
from tests.simulation.story import draw

SEEDS = 150

_MISFITS = ("AttributeError", "NameError", "TypeError")
"""How a bug fails that does not fit the code any more: that is no catch."""


class Misfit(Exception):
    """A bug is to be written anew: the code that it changes is another now."""


@dataclass(frozen=True, slots=True)
class Caught:
    """How a bug was found: by the `seeds`-th seed; 0: not within those tried."""

    bug: Bug
    seeds: int
    by: str
    seconds: float


def catch(bug: Bug, seeds: Iterable[int] = range(SEEDS)) -> Caught:
    """Play the bug's own stories and the short ones of `seeds`, with the bug planted, until one
    fails.

    Raises Misfit if it fails for want of something that the code had when the bug was written.
    """
    begun = time.monotonic()
    with bug.planted():
        drawn = (draw(seed, short=True) for seed in seeds)
        for tried, story in enumerate(chain(bug.stories, drawn), 1):
            failed = outcome(story)
            if failed.startswith(_MISFITS):
                raise Misfit(f"{bug.name}: {failed}")
            if failed:
                return Caught(bug, tried, failed, time.monotonic() - begun)
    return Caught(bug, 0, "", time.monotonic() - begun)


def main(wanted: str) -> int:
    """Plant the bugs whose name holds `wanted`; return the exit code."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found = []
    for bug in BUGS:
        if wanted not in bug.name:
            continue
        caught = catch(bug)
        found.append(caught)
        told = f"seed {caught.seeds}: {caught.by[:70]}" if caught.seeds else "NOT CAUGHT"
        sys.stdout.write(f"{caught.seconds:5.1f} s  {bug.name}: {told}\n")
        sys.stdout.flush()
    missed = sum(1 for caught in found if not caught.seeds)
    sys.stdout.write(f"{len(found) - missed} of {len(found)} bugs caught\n")
    return 1 if missed or not found else 0


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))

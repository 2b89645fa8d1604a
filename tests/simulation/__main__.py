"""`python -m tests.simulation [--short | --brief | --silent] FIRST [LAST]`: play seeds and say
how they ended.

The story of the first seed that fails is made as short as it goes and printed.
"""

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import structlog

from tests.simulation.scenario import play
from tests.simulation.shrinking import failure, shrink
from tests.simulation.story import Story, draw, draw_brief, draw_silent

TELL_S = 10.0


def main(first: int, last: int, drawn: Callable[[int], Story]) -> int:
    """Play the stories that `drawn` tells of seeds `first` to `last`; return the exit code."""
    level = logging.INFO if first == last else logging.CRITICAL
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    endings: Counter[str] = Counter()
    failed: list[int] = []
    begun = told = time.monotonic()
    for seed in range(first, last + 1):
        try:
            endings += play(drawn(seed))
        except Exception as error:  # noqa: BLE001 - any end of a seed is a finding
            failed.append(seed)
            sys.stdout.write(f"seed {seed}: {failure(error)}\n")
        if time.monotonic() > told + TELL_S:
            told = time.monotonic()
            sys.stderr.write(f"seed {seed} of {last}, {len(failed)} failed\n")
    rate = (last - first + 1) / (time.monotonic() - begun)
    counted = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
    sys.stdout.write(f"seeds {first}–{last}: {counted}; {rate:.1f} seeds/s; failed: {failed}\n")
    if failed:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        story, error_text = shrink(drawn(failed[0]))
        sys.stdout.write(f"\nthe shortest story found that fails so:\n{story}\n{error_text}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int, nargs="?")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--short", action="store_true", help="one or two people, half the time")
    size.add_argument("--brief", action="store_true", help="one prompt and the next, two disasters")
    size.add_argument("--silent", action="store_true", help="short, and logs are begun anew")
    asked = parser.parse_args()
    drawn: Callable[[int], Story] = partial(draw, short=asked.short)
    if asked.brief or asked.silent:
        drawn = draw_brief if asked.brief else draw_silent
    sys.exit(main(asked.first, asked.first if asked.last is None else asked.last, drawn))

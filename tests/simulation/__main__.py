"""`python -m tests.simulation FIRST [LAST]`: play seeds and say how they ended."""

import logging
import sys
import time
from collections import Counter

import structlog

from tests.simulation.scenario import run_seed


def main(first: int, last: int) -> int:
    """Play seeds `first` to `last`; return the exit code."""
    level = logging.INFO if first == last else logging.CRITICAL
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    endings: Counter[str] = Counter()
    failed: list[int] = []
    begun = time.monotonic()
    for seed in range(first, last + 1):
        try:
            endings += run_seed(seed)
        except Exception as error:  # noqa: BLE001 - any end of a seed is a finding
            failed.append(seed)
            sys.stdout.write(f"seed {seed}: {type(error).__name__}: {error}\n")
    rate = (last - first + 1) / (time.monotonic() - begun)
    counted = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
    sys.stdout.write(f"seeds {first}–{last}: {counted}; {rate:.1f} seeds/s; failed: {failed}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:3]]
    sys.exit(main(numbers[0], numbers[-1]))

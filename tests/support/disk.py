"""A small disk for a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.chaos.small_disk import NoDisk, small_disk


@contextmanager
def disk_of(place: Path, megabytes: int) -> Iterator[Path]:
    """Mount one at `place`; where that is not allowed the test is skipped with what was said."""
    try:
        with small_disk(place, megabytes) as disk:
            yield disk
    except NoDisk as error:
        pytest.skip(str(error))

"""A small file system of its own, to be filled."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_BLOCK = bytes(65_536)


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of this size at `place`; where that is not allowed the test is skipped
    with what was said."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"a small disk can't be mounted here: {made.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(file: Path) -> None:
    """Write to `file` until its disk is full."""
    handle = os.open(file, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        for block in (_BLOCK, b"\0"):
            try:
                while os.write(handle, block):
                    pass
            except OSError:
                continue
    finally:
        os.close(handle)

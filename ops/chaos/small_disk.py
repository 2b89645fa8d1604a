"""A small file system of its own, to be filled."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.chaos.verdict import Broken

_BLOCK = bytes(65_536)


class NoDisk(Broken):
    """This machine, or this user, can't mount a disk; the message says what failed."""


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of this size at `place`, a new folder. Raises NoDisk."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    try:
        subprocess.run(mount, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise NoDisk(f"a small disk can't be mounted here: {said.strip()}") from error
    try:
        yield place
    finally:
        unmount = ["umount", "--lazy", str(place)]
        subprocess.run(unmount, check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fill the disk; give its room back at the end."""
    filler = disk / "filler"
    try:
        _fill(filler)
        yield
    finally:
        filler.unlink()


def _fill(file: Path) -> None:
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

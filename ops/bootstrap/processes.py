"""Takes down whole process trees: what a test stage started, orphans included."""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
REAP_INTERVAL_S = 0.05
END_S = 10.0


def adopt_orphans() -> None:
    """Makes this process the parent of every descendant whose own parent dies (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> dict[int, str]:
    """Process id → name of every living process below this one, from /proc."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for pid, ppid, state, name in _table():
        if state != "Z":
            parents[pid], names[pid] = ppid, name
    below: dict[int, str] = {}
    fresh = {os.getpid()}
    while fresh:
        fresh = {pid for pid, ppid in parents.items() if ppid in fresh and pid not in below}
        below |= {pid: names[pid] for pid in fresh}
    return below


def end_descendants() -> list[str]:
    """Kills all that is left below this process and returns the names, sorted."""
    left = sorted(descendants().values())
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline:
        alive = descendants()
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap()
        if not alive:
            break
        time.sleep(REAP_INTERVAL_S)
    return left


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _table() -> Iterator[tuple[int, int, str, str]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            text = (entry / "stat").read_text(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        name, _, rest = text.partition("(")[2].rpartition(")")
        state, ppid = rest.split()[:2]
        yield int(entry.name), int(ppid), state, name

"""Small families of processes, and a look at who is still alive."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil


def is_alive(pid: int) -> bool:
    """Say whether the process runs; a zombie that nobody reaped does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_gone(*pids: int, patience_s: float = 10.0) -> None:
    """Return when none of the processes is alive. Raises AssertionError after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while left := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < deadline, f"processes {left} are still alive"
        time.sleep(0.01)


def wait_file(path: Path, patience_s: float = 20.0) -> str:
    """Return what somebody else writes into the file, once there is something."""
    deadline = time.monotonic() + patience_s
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"nobody wrote {path}"
        time.sleep(0.01)
    return path.read_text()


def start_python(script: str, *words: str) -> subprocess.Popen[bytes]:
    """Start a Python program that finds the project."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    return subprocess.Popen(
        [sys.executable, "-c", script, *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        process_group=0,
    )

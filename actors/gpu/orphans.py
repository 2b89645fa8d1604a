"""No engine process outlives its gpu actor, not even after kill -9.

vLLM runs its scheduler and its workers in processes of their own; when their owner is killed
they go on decoding for good. `install` is a vLLM plugin: vLLM calls it in each of its
processes, and there it asks the kernel to kill the process when its parent dies.

The kernel ties this to the parent's *thread*: whoever starts an engine must do so in a thread
that lives as long as the engine.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

import psutil

_PR_SET_PDEATHSIG = 1


def install() -> None:
    """Have this process killed when its parent dies, if it is a child made by
    `multiprocessing`; the process that owns the engine is left alone. Linux only, elsewhere
    the supervisor's process group has to do."""
    parent = multiprocessing.parent_process()
    if parent is None or not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != parent.pid:
        # It died before the kernel was asked: nobody will ever tell us.
        os.kill(os.getpid(), signal.SIGKILL)


def engine_processes(pid: int) -> list[psutil.Process]:
    """Return the descendants of process `pid` that `multiprocessing` made to run code (not its
    resource tracker, which ends by itself)."""
    try:
        descendants = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in descendants if not _is_tracker(process)]


def end_processes(processes: Sequence[psutil.Process]) -> None:
    """Kill these processes and what descends from them by now; block until they are gone.
    One that is gone already is no error."""
    doomed = list(processes)
    for process in processes:
        doomed += engine_processes(process.pid)
    for process in doomed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(doomed, timeout=5.0)


def _is_tracker(process: psutil.Process) -> bool:
    try:
        return any("resource_tracker" in word for word in process.cmdline())
    except psutil.Error:
        return False

"""No engine process outlives its gpu actor, not even after kill -9.

vLLM runs its scheduler and its workers in processes of their own; when their owner is killed
they go on decoding for good, or wait minutes for an owner that will never answer. So each of
them asks the kernel, as the first thing that it does, to be killed when its parent dies:
`first_in_children` makes this module the one that a spawned child imports as its main module,
before anything else, and hands the same on to the children of that child. `install` is also a
plugin of vLLM (`vllm.general_plugins`), for a child that was forked.

The kernel ties this to the parent's *thread*: whoever starts an engine must do so in a thread
that lives as long as the engine.
"""

import ctypes
import multiprocessing
import multiprocessing.spawn
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psutil

PARENT = "PARLEY_ENGINE_PARENT"
"""The variable that tells a spawned child who its parent was."""

_PR_SET_PDEATHSIG = 1
_END_S = 5.0


def install() -> None:
    """Have this process killed when its parent dies, if it is a child made by
    `multiprocessing`; the process that owns the engine is left alone."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        follow(parent.pid)


def follow(parent: int) -> None:
    """Have this process killed when `parent` dies, or now if it is dead. Linux only;
    elsewhere the supervisor's process group has to do."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != parent:
        # It died before the kernel was asked: nobody will ever tell us.
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def first_in_children() -> Iterator[None]:
    """Have every child that `multiprocessing` spawns inside this block `follow` this process.

    The owner's main module is not imported in them: vLLM's children do not need it.
    """
    original = multiprocessing.spawn.get_preparation_data

    def prepared(name: str) -> dict[str, Any]:
        data: dict[str, Any] = original(name)
        data.pop("init_main_from_path", None)
        data["init_main_from_name"] = "actors.gpu.orphans"
        return data

    os.environ[PARENT] = str(os.getpid())
    multiprocessing.spawn.get_preparation_data = prepared
    try:
        yield
    finally:
        multiprocessing.spawn.get_preparation_data = original
        os.environ.pop(PARENT, None)


def engine_processes(pid: int) -> list[psutil.Process]:
    """Return the descendants of process `pid` that `multiprocessing` made to run code (not its
    resource tracker, which ends by itself)."""
    try:
        descendants = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in descendants if not _is_tracker(process)]


def end_processes(processes: Sequence[psutil.Process]) -> None:
    """Kill these processes and what descends from them by now; block until they are gone, 5 s at
    the most. One that is gone already is no error; one that only waits to be collected by its
    parent is gone."""
    doomed = list(processes)
    for process in processes:
        doomed += engine_processes(process.pid)
    for process in doomed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    give_up_s = time.monotonic() + _END_S
    while any(map(_lives, doomed)) and time.monotonic() < give_up_s:
        time.sleep(0.01)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_tracker(process: psutil.Process) -> bool:
    try:
        return any("resource_tracker" in word for word in process.cmdline())
    except psutil.Error:
        return False


if __name__ == "__mp_main__" and PARENT in os.environ:
    follow(int(os.environ[PARENT]))
    os.environ[PARENT] = str(os.getpid())

"""Where an engine's sockets are: a folder of one process alone.

What goes through them is users' prompts and answers, and vLLM removes its own only when it ends
in order. So they lie in one folder, which goes with the engine; that of a process which was
killed is removed by whoever starts an engine next on the machine.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree

import psutil

_VARIABLE = "VLLM_RPC_BASE_PATH"
_PREFIX = "parley-engine-"
_LEFT_S = 600.0
"""How old a folder is at least that nobody will come back to: its process may be one that this
one can't see, in another container."""


class EngineFolder:
    """A folder that only this user reads."""

    def __init__(self) -> None:
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """Where it is; made at the first call. Blocks for a moment."""
        if self._path is None:
            _remove_left_over()
            self._path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        return self._path

    @contextmanager
    def of_sockets(self) -> Iterator[None]:
        """Have an engine that is made inside this block put its sockets here."""
        before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = str(self.path)
        try:
            yield
        finally:
            del os.environ[_VARIABLE]
            if before is not None:
                os.environ[_VARIABLE] = before

    def remove(self) -> None:
        """Remove it with all that is in it; may be called again."""
        if self._path is not None:
            rmtree(self._path, ignore_errors=True)


def _remove_left_over() -> None:
    """Remove folders of processes that are gone; those of others stay, as far as we may look."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        with suppress(OSError, ValueError):
            old = time.time() - folder.stat().st_mtime > _LEFT_S
            if old and not psutil.pid_exists(int(pid)):
                rmtree(folder, ignore_errors=True)

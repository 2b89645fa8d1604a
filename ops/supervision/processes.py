"""Processes in groups of their own, their output by lines, and their exit the moment it
happens."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ops.notify import VARIABLE

_LAUNCHER = str(Path(__file__).with_name("launch.py"))
_LINE_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments. `environ` is the whole environment; `descriptors` stay open
    in the program under the same numbers."""

    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()


class Process:
    """A running child: leader of its own process group, in its parent's session.

    A session of its own would also be a scheduling group of its own, which starves whoever
    sleeps while engines spin (measured: first tokens after 500 ms instead of 20).
    """

    def __init__(
        self,
        command: Command,
        *,
        on_output: Callable[[str], None],
        on_notice: Callable[[str], None],
        on_exit: Callable[[int], None],
    ) -> None:
        """Start it; must be called in the main thread, inside the running loop.

        `on_output` gets each line of standard output and error, `on_notice` each line of the
        notify pipe, `on_exit` the status once its whole group has been killed.
        """
        self._loop = asyncio.get_running_loop()
        self._on_exit = on_exit
        notices, notify = os.pipe()
        try:
            self._popen = subprocess.Popen(
                _launched(command.argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**command.environ, VARIABLE: str(notify)},
                pass_fds=(notify, *command.descriptors),
                process_group=0,
            )
        except BaseException:
            os.close(notices)
            raise
        finally:
            os.close(notify)
        assert self._popen.stdout is not None
        self._readers = [
            _Lines(self._loop, self._popen.stdout.fileno(), on_output, self._popen.stdout.close),
            _Lines(self._loop, notices, on_notice, lambda: os.close(notices)),
        ]
        self._exit = os.pidfd_open(self._popen.pid)
        self._loop.add_reader(self._exit, self._exited)

    @property
    def pid(self) -> int:
        """The process id, which is also that of the group."""
        return self._popen.pid

    def terminate(self) -> None:
        """Ask the process, not its group, to end: it ends its own children."""
        if self._popen.returncode is None:
            self._popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the whole group; harmless once the process is reaped."""
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)

    def _exited(self) -> None:
        """The leader is dead but not reaped, so its group's number can't be another's yet."""
        self._loop.remove_reader(self._exit)
        os.close(self._exit)
        self.kill()
        code = self._popen.wait()
        for reader in self._readers:
            reader.drain()
        self._on_exit(code)


class _Lines:
    """Hands on what a pipe carries, line by line; a line of more than 64 KiB comes in parts."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        on_line: Callable[[str], None],
        close: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._on_line = on_line
        self._close = close
        self._rest = b""
        self._open = True
        os.set_blocking(descriptor, False)
        loop.add_reader(descriptor, self._read)

    def drain(self) -> None:
        """Hand on what is left, and close."""
        while self._open and self._read():
            pass
        self._end()

    def _read(self) -> bool:
        try:
            data = os.read(self._descriptor, _LINE_MAX)
        except BlockingIOError:
            return False
        if not data:
            self._end()
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LINE_MAX:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._on_line(line.decode(errors="replace"))
        return True

    def _end(self) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._descriptor)
        self._close()
        if self._rest:
            self._on_line(self._rest.decode(errors="replace"))


def _launched(argv: Sequence[str]) -> list[str]:
    return [sys.executable, "-I", "-S", _LAUNCHER, str(os.getpid()), *argv]

"""One supervisor a home, and nothing left of the one before.

Every process of a stack carries the home's path in its environment, inherited by whatever it
starts. Who holds the home's lock and finds such a process of the same user has found what an
earlier supervisor left behind: nobody else puts that mark there. Process ids are never
trusted across a crash.
"""

import contextlib
import fcntl
import os
import select
import signal
import time
from pathlib import Path

import msgspec

from contracts.errors import ParleyError

MARK = "PARLEY_STACK"
_GONE_S = 5.0


class HomeTaken(ParleyError):
    """Another supervisor runs on this home, or the home can't be used."""


class StackFacts(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a running supervisor tells others about itself (`stack.json` in the home)."""

    pid: int
    started_at_ms: int
    url: str
    engine: str
    pools: list[str]


class HomeLock:
    """The exclusive use of a home, given back by the kernel when the process ends."""

    def __init__(self, home: Path) -> None:
        """Take it.

        Raises:
            HomeTaken: another process has it, or the directory can't be written.
        """
        self._home = home
        try:
            home.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise HomeTaken(
                f"The directory {home} can't be used ({error.strerror}): make it writable or "
                "choose another --home."
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            facts = read_facts(home)
            who = f"process {facts.pid} at {facts.url}" if facts else "another process"
            raise HomeTaken(
                f"parley up already runs on {home} ({who}): stop it first, or give this one "
                "another --home and --port."
            ) from error

    def publish(self, facts: StackFacts) -> None:
        """Say who runs here."""
        path = self._home / "stack.json"
        temporary = path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(facts))
        temporary.replace(path)

    def release(self) -> None:
        """Give the home back."""
        with contextlib.suppress(FileNotFoundError):
            (self._home / "stack.json").unlink()
        os.close(self._descriptor)


def read_facts(home: Path) -> StackFacts | None:
    """Return what the last supervisor of `home` said of itself; it may be dead by now."""
    try:
        return msgspec.json.decode((home / "stack.json").read_bytes(), type=StackFacts)
    except (OSError, msgspec.MsgspecError):
        return None


def marked(home: Path) -> dict[str, str]:
    """Return the environment variable that marks a process as one of this home's stack."""
    return {MARK: str(home.resolve())}


def find(home: Path) -> list[int]:
    """Return the ids of all living processes that carry the home's mark, less our own."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if pid != os.getpid() and _carries_mark(pid, home)]


def clear(home: Path) -> int:
    """Kill what an earlier stack of this home left running; return how many processes.

    The caller holds the home's lock. A process that started more meanwhile is found again.

    Raises:
        HomeTaken: something can't be killed within 5 s.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + _GONE_S
    while left := find(home):
        if time.monotonic() > deadline:
            raise HomeTaken(
                f"Processes {', '.join(map(str, left))} of an earlier parley up on {home} "
                "can't be killed: end them by hand."
            )
        for pid in left:
            killed.add(pid)
            _kill(pid, home)
    return len(killed)


def _carries_mark(pid: int, home: Path) -> bool:
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{MARK}={home.resolve()}".encode() in environ.split(b"\0")


def _kill(pid: int, home: Path) -> None:
    """Hold the process by a descriptor, look again that it is ours, kill it, see it go."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _carries_mark(pid, home):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], 1.0)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)

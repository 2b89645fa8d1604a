"""Steps that run side by side, are skipped once done, and report as they go.

A step is done when its outputs exist and its stamp (a file under `.cache/stamps`) holds the
digest of its inputs and of the steps that it needs.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HEARTBEAT_S = 5.0
NAME_WIDTH = 14


class BootstrapError(Exception):
    """What is missing and what to do about it, in a sentence for the person at the terminal."""


SYMPTOMS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("no space left on device", "disk quota exceeded"),
        "the disk is full: free some space and start again (what is done is kept)",
    ),
    (
        ("hash mismatch", "do not match the hashes", "eintegrity"),
        "a downloaded package is not the one that was pinned: empty the package cache, "
        "check the network for a changing proxy, and start again",
    ),
    (
        (
            "name resolution",
            "dns error",
            "getaddrinfo",
            "eai_again",
            "enotfound",
            "connection refused",
            "econnrefused",
            "network is unreachable",
            "failed to establish a new connection",
            "error sending request",
            "tunnel connection failed",
            "operation timed out",
            "etimedout",
        ),
        "the package index cannot be reached: check the network or the proxy and start again "
        "(what is done is kept)",
    ),
)


def diagnose(output: str) -> str | None:
    """Names the cause that a failed command's output shows, or None where it shows none known."""
    lowered = output.lower()
    for signs, sentence in SYMPTOMS:
        if any(sign in lowered for sign in signs):
            return sentence
    return None


def digest_of(*parts: str) -> str:
    """The SHA-256 of the parts, kept apart from each other."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def digest_of_files(files: Iterable[Path], root: Path) -> str:
    """The SHA-256 of the files' names below `root` and their contents, in sorted order."""
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(str(file.relative_to(root)).encode() + b"\0")
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


class Command:
    """Runs a step's programs, their output in the step's log, and ends them when told to."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.last_line = ""
        self._process: subprocess.Popen[str] | None = None
        self._ended = False
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")

    def __call__(
        self, argv: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None
    ) -> str:
        """Runs one program to its end and returns its output; raises BootstrapError if it fails."""
        words = [str(word) for word in argv]
        try:
            self._process = subprocess.Popen(
                words,
                cwd=cwd,
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise BootstrapError(f"{words[0]} does not start ({error.strerror}).") from error
        if self._ended:
            self._process.terminate()
        lines: list[str] = []
        assert self._process.stdout is not None
        with self.log.open("a") as log, self._process.stdout as output_stream:
            for line in output_stream:
                log.write(line)
                lines.append(line)
                self.last_line = line.strip() or self.last_line
        status = self._process.wait()
        output = "".join(lines)
        if status == 0:
            return output
        cause = diagnose(output) or f"{Path(words[0]).name} ended with status {status}"
        tail = "".join(f"  | {line.rstrip()}\n" for line in lines[-12:])
        raise BootstrapError(f"{cause}. Its log is {self.log}; it ends\n{tail}".rstrip())

    def end(self) -> None:
        """Terminates the running program and any started later."""
        self._ended = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()


@dataclass(frozen=True)
class Step:
    """One piece of the installation.

    `action` gets a `Command` and returns a note for the progress line, or ''. It may run again
    over what a stopped attempt left. `digest` covers all that would make the result another.
    A step that is `due` is known to be undone, whatever its stamp says.
    """

    name: str
    action: Callable[[Command], str]
    digest: str
    outputs: tuple[Path, ...]
    needs: tuple[str, ...] = ()
    announce: str = ""
    due: bool = False


@dataclass
class _Progress:
    started: dict[str, float] = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)
    spoken_at: float = field(default_factory=time.monotonic)

    def say(self, name: str, text: str) -> None:
        print(f"  {name:<{NAME_WIDTH}} {text}", flush=True)
        self.spoken_at = time.monotonic()

    def beat(self) -> None:
        if time.monotonic() - self.spoken_at < HEARTBEAT_S:
            return
        for name, since in list(self.started.items()):
            last = self.commands[name].last_line[:70]
            self.say(name, f"{time.monotonic() - since:4.0f} s  {last}".rstrip())


class Plan:
    """Performs steps in the order of their needs, side by side where they don't wait on another.

    The first failure ends the other steps and is raised; stamps of finished steps stay.
    """

    def __init__(self, root: Path, steps: Sequence[Step]) -> None:
        self._root = root
        self._steps = {step.name: step for step in steps}
        self._stamps = root / ".cache" / "stamps"
        self._lock = threading.Lock()
        self._progress = _Progress()
        self._performed: set[str] = set()
        known = set(self._steps)
        for step in steps:
            missing = set(step.needs) - known
            assert not missing, f"step {step.name} needs {missing}, which the plan lacks"

    def perform(self) -> None:
        """Performs what is not done. Raises BootstrapError naming the step that failed."""
        self._stamps.mkdir(parents=True, exist_ok=True)
        waiting = dict(self._steps)
        running: dict[Future[None], str] = {}
        finished: set[str] = set()
        with ThreadPoolExecutor(max_workers=len(waiting)) as pool:
            try:
                while waiting or running:
                    for name in [n for n, s in waiting.items() if finished >= set(s.needs)]:
                        running[pool.submit(self._perform, waiting.pop(name))] = name
                    done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                    for future in done:
                        name = running.pop(future)
                        future.result()
                        finished.add(name)
                    self._progress.beat()
            except BaseException:
                for command in self._progress.commands.values():
                    command.end()
                raise

    def _stamp_of(self, step: Step) -> str:
        return digest_of(
            step.digest, *(self._stamp_of(self._steps[need]) for need in sorted(step.needs))
        )

    def _perform(self, step: Step) -> None:
        stamp_file = self._stamps / step.name.replace(" ", "-")
        stamp = self._stamp_of(step)
        done = (
            not step.due
            and stamp_file.is_file()
            and stamp_file.read_text() == stamp
            and all(output.exists() for output in step.outputs)
            and not self._performed.intersection(step.needs)
        )
        if done:
            with self._lock:
                self._progress.say(step.name, "already done")
            return
        stamp_file.unlink(missing_ok=True)
        command = Command(self._root / ".cache" / "logs" / f"{stamp_file.name}.log")
        began = time.monotonic()
        with self._lock:
            self._performed.add(step.name)
            self._progress.commands[step.name] = command
            self._progress.started[step.name] = began
            self._progress.say(step.name, f"… {step.announce}".rstrip())
        try:
            note = step.action(command)
        except BootstrapError as failure:
            raise BootstrapError(f"{step.name}: {failure}") from failure
        finally:
            with self._lock:
                self._progress.started.pop(step.name, None)
        stamp_file.write_text(stamp)
        with self._lock:
            seconds = time.monotonic() - began
            self._progress.say(step.name, f"done in {seconds:.1f} s{note and f' ({note})'}")


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Holds the checkout's bootstrap lock, so that two makes don't install over each other."""
    lock = root / ".cache" / "bootstrap.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("  waiting for another make in this folder to finish", file=sys.stderr)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

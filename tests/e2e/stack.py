"""The whole stack as a newcomer starts it, for the page's tests."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.nats import free_port

START_S = 120.0
STOP_S = 30.0
_LOG_LINES = 40


class Stack:
    """`parley up`, which can be stopped and started again on the same port and home."""

    def __init__(self, home: Path, words: Sequence[str]) -> None:
        self._home = home
        self._port = free_port()
        self._words = list(words)
        self._process: subprocess.Popen[str] | None = None
        self._said: list[str] = []
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until a prompt would be answered.

        Raises:
            RuntimeError: it ended or was not ready in time; the message has its last words.
        """
        self._ready.clear()
        # A process group of its own: Ctrl-C in the terminal is pytest's, which then stops it.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli", "up", "--home", str(self._home),
             "--port", str(self._port), *self._words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )  # fmt: skip
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        deadline = time.monotonic() + START_S
        while not self._ready.wait(0.05):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("parley up is not ready:\n" + "\n".join(self._said))

    def stop(self) -> None:
        """Stop it in order, as Ctrl-C does; kill it only if it does not end."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def kill(self, role: str, busiest: bool = False) -> None:
        """Kill one actor of a role as a crash would; the stack brings it back. `busiest` takes
        the one with the most running answers."""
        actors = [actor for actor in self._actors() if actor["role"] == role]
        if busiest:
            actors.sort(key=lambda actor: -int(actor["load"]["running"]))
        os.kill(int(actors[0]["pid"]), signal.SIGKILL)

    def _actors(self) -> list[dict[str, Any]]:
        answer = subprocess.run(
            [sys.executable, "-m", "ops.cli", "ps", "--json", "--home", str(self._home)],
            capture_output=True,
            text=True,
            check=True,
            timeout=START_S,
        )
        actors: list[dict[str, Any]] = json.loads(answer.stdout)
        return actors

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._said = [*self._said[-_LOG_LINES:], line.rstrip()]
            if "ready http" in line:
                self._ready.set()
        process.stdout.close()


def chromium() -> str | None:
    """Return the machine's Chromium, None if it has none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)

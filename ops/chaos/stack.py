"""`parley up` as a process that may be killed, and started again on the same home."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from edge.listening import VARIABLE
from ops.chaos.nats_cluster import NatsCluster
from ops.chaos.network_host import NetworkHost
from ops.chaos.verdict import Broken, require
from ops.ports import free_port
from ops.setting_table import Role, flags_of
from ops.supervision import leftovers

START_S = 90.0
STOP_S = 40.0
_GONE_S = 10.0
_ROOT = Path(__file__).parents[2]


class RunningStack:
    """A stack on a free port; `start` and `end` may be repeated on the same home. `words` are
    flags of `parley up`, each followed by its value; `nats` is a cluster that it uses instead of
    a server of its own, `host` another host that reaches that cluster, and `disk` the small disk
    on which all its files lie."""

    def __init__(
        self,
        home: Path,
        *words: str,
        nats: NatsCluster | None = None,
        host: NetworkHost | None = None,
        disk: Path | None = None,
    ) -> None:
        self.home = home
        self.nats = nats
        self.host = host
        self.disk = disk
        if nats is not None:
            words = (*words, "--nats", nats.url, "--nats-replicas", str(len(nats.nodes)))
        self.port = free_port()
        self._nats_port = free_port()
        self._words = words
        self._said: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """The edge's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def nats_url(self) -> str:
        """The cluster's address, "" where the stack has a server of its own."""
        return self.nats.url if self.nats is not None else ""

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        if self._process is None:
            raise Broken("the stack was not started")
        return self._process.pid

    @property
    def said(self) -> str:
        """All that it printed."""
        return "\n".join(self._said)

    def start(self, patience_s: float = START_S) -> "RunningStack":
        """Start it and return when it says that it is ready."""
        self._said = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli", "up", "--home", str(self.home),
             "--port", str(self.port), "--nats-port", str(self._nats_port), *self._words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=_ROOT,
            process_group=0,
        )  # fmt: skip
        ready = threading.Event()
        threading.Thread(target=self._listen, args=(self._process, ready), daemon=True).start()
        deadline = time.monotonic() + patience_s
        while not ready.wait(0.05):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.end(signal.SIGKILL)
                raise Broken(f"parley up is not ready:\n{self.said}")
        return self

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        """Send it a signal, wait for its end, and see that nothing is left of it."""
        process, self._process = self._process, None
        if process is None:
            return 0
        children = leftovers.find(self.home)
        if process.poll() is None:
            process.send_signal(how)
        try:
            code = process.wait(STOP_S)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            raise Broken(f"parley up did not end:\n{self.said}") from error
        _wait_gone(children)
        return code

    def beside(
        self,
        role: Role,
        actor_id: str,
        *more: str,
        prefix: Sequence[str] = (),
        listener: socket.socket | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Start one more actor of a role, with the stack's own settings and `more` words, the
        command after `prefix`; it belongs to the caller, and logs where the stack's own do. An
        edge listens at `listener`."""
        known = {setting.flag for setting in flags_of(role)}
        pairs = zip(self._words[::2], self._words[1::2], strict=True)
        words = [word for flag, value in pairs if flag in known for word in (flag, value)]
        home = ("--home", str(self.home), "--id", actor_id)
        held = () if listener is None else (listener.fileno(),)
        environ = {VARIABLE: str(listener.fileno())} if listener is not None else {}
        with (self.home / "logs" / f"{actor_id}.log").open("ab") as log:
            return subprocess.Popen(
                [*prefix, sys.executable, "-m", "ops.cli", role, *home, *words, *more],
                stdout=log,
                stderr=log,
                cwd=_ROOT,
                env=os.environ | environ,
                pass_fds=held,
                process_group=0,
            )

    def ask(self, *words: str) -> Any:
        """Return what a command prints with --json."""
        where = ("--home", str(self.home), *(("--nats", self.nats_url) if self.nats else ()))
        answer = subprocess.run(
            [sys.executable, "-m", "ops.cli", *words, "--json", *where],
            capture_output=True,
            text=True,
            cwd=_ROOT,
            check=False,
            timeout=60,
        )
        require(answer.returncode == 0, answer.stderr)
        return json.loads(answer.stdout)

    def kill(self, role: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to the busiest actor of a role (or to `nats`); return its process id."""
        if role == "nats":
            pid = next(pid for pid in leftovers.find(self.home) if _name(pid) == "nats-server")
        else:
            rows = [row for row in self.ask("ps") if row["role"] == role]
            pid = max(rows, key=lambda row: int(row["load"]["running"]))["pid"]
        os.kill(pid, how)
        return int(pid)

    def _listen(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        if process.stdout is None:
            return
        with process.stdout as lines:
            for line in lines:
                self._said.append(line.rstrip())
                if line.startswith("ready http"):
                    ready.set()


def _wait_gone(pids: Sequence[int]) -> None:
    deadline = time.monotonic() + _GONE_S
    while left := [pid for pid in pids if _is_alive(pid)]:
        require(time.monotonic() < deadline, f"{left} outlived their stack")
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""

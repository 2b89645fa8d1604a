"""NATS servers for tests: on free ports, with a store that vanishes."""

import asyncio
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from ops.ports import free_port

SERVER = Path(sys.executable).with_name("nats-server")


class NatsNode:
    """One `nats-server` process that can be killed and started again on the same store."""

    def __init__(self, home: Path, name: str = "solo", more: Sequence[str] = ()) -> None:
        self.home = home
        self.name = name
        self.port = free_port()
        self._more = list(more)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        log = self.home / f"{self.name}.log"
        self._process = subprocess.Popen(
            [str(SERVER), "-js", "-sd", str(self.home / self.name), "-a", "127.0.0.1",
             "-p", str(self.port), "-n", self.name, "-l", str(log), *self._more],
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(f"nats-server did not start: {log.read_text()}") from None
                time.sleep(0.02)

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def pause(self) -> None:
        """Stop it in its tracks; returns when the kernel has."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        threads = [psutil.Process(thread.id)
                   for thread in psutil.Process(self._process.pid).threads()]  # fmt: skip
        while any(t.status() != psutil.STATUS_STOPPED for t in threads):  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def nats_node() -> Iterator[NatsNode]:
    """Run one server."""
    with tempfile.TemporaryDirectory(prefix="parley-nats-") as home:
        node = NatsNode(Path(home))
        node.start()
        try:
            yield node
        finally:
            node.kill()


@contextmanager
def nats_cluster(size: int = 3) -> Iterator[list[NatsNode]]:
    """Run a cluster; it has a leader when `connect` and `declare` succeed."""
    with tempfile.TemporaryDirectory(prefix="parley-nats-") as home:
        routes = [free_port() for _ in range(size)]
        peers = ",".join(f"nats://127.0.0.1:{port}" for port in routes)
        nodes = [
            NatsNode(
                Path(home),
                f"n{index}",
                ["--cluster_name", "test", "--cluster", f"nats://127.0.0.1:{routes[index]}",
                 "--routes", peers],
            )
            for index in range(size)
        ]  # fmt: skip
        try:
            for node in nodes:
                node.start()
            yield nodes
        finally:
            for node in nodes:
                node.kill()

"""NATS servers on free ports, alone or replicating, that may be killed, paused, told to end, and
started again."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from contracts.errors import BusError
from contracts.ports.bus import Bus
from ops.chaos.verdict import Broken, require
from ops.nats_server import MAX_PAYLOAD, program
from ops.ports import free_port

_START_S = 20.0
_END_S = 40.0
_ANSWER_S = 5.0
_STEP_DOWN_S = 60.0
_STEP_DOWN_AGAIN_S = 0.1


class NatsNode:
    """One server of the cluster, on a store of its own."""

    def __init__(self, name: str, config: Path, host: str, port: int) -> None:
        self.name = name
        self.port = port
        self._host = host
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://{self._host}:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and return when it takes connections. Raises Broken."""
        self._process = subprocess.Popen(
            [str(program()), "-c", str(self._config)], process_group=0, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _START_S
        while True:
            try:
                socket.create_connection((self._host, self.port), timeout=1).close()
                return
            except OSError:
                late = time.monotonic() > deadline or not self.alive
                require(not late, f"the NATS server {self.name} does not start")
                time.sleep(0.02)

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal, and return when it is gone. Raises Broken."""
        process, self._process = self._process, None
        if process is None:
            return
        os.kill(process.pid, how)
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            raise Broken(f"the NATS server {self.name} did not end") from error

    async def pause(self) -> None:
        """Stop it in its tracks; returns when the kernel has."""
        process = psutil.Process(self._pid)
        process.send_signal(signal.SIGSTOP)
        threads = [psutil.Process(thread.id) for thread in process.threads()]
        while any(t.status() != psutil.STATUS_STOPPED for t in threads):  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self._pid, signal.SIGCONT)

    @property
    def _pid(self) -> int:
        if self._process is None:
            raise Broken(f"the NATS server {self.name} was not started")
        return self._process.pid


class NatsCluster:
    """Servers that replicate each other's streams."""

    def __init__(self, home: Path, size: int, host: str = "127.0.0.1") -> None:
        routes = [free_port() for _ in range(size)]
        self.nodes: dict[str, NatsNode] = {}
        for index in range(size):
            name, port = f"n{index + 1}", free_port()
            config = home / f"{name}.conf"
            config.write_text(_config(home, name, host, port, index, routes))
            self.nodes[name] = NatsNode(name, config, host, port)

    @property
    def url(self) -> str:
        """What `--nats` is given."""
        return ",".join(node.url for node in self.nodes.values())

    async def leader_of(self, bus: Bus, stream: str) -> str:
        """Return the name of the node that leads a stream. Raises Broken: none does."""
        leader = (await self._info(bus, stream)).get("leader")
        if not isinstance(leader, str) or not leader:
            raise Broken(f"nobody leads {stream}")
        return leader

    async def whole(self, bus: Bus, streams: list[str]) -> None:
        """Return when each of the streams has a leader and every other node is up to date."""
        deadline = time.monotonic() + _STEP_DOWN_S
        for stream in streams:
            while not _is_whole(await self._info(bus, stream), len(self.nodes)):
                require(time.monotonic() < deadline, f"{stream} is not whole again")
                await asyncio.sleep(0.1)

    async def step_down(self, bus: Bus, node: str, streams: list[str]) -> int:
        """Let others lead what `node` leads, as before a planned end; return how many streams
        that were. What is given back to it meanwhile, by who keeps leaders apart or in an
        election, it is asked for again. Raises Broken."""
        moved: set[str] = set()
        deadline = time.monotonic() + _STEP_DOWN_S
        while led := [s for s in streams if await self._may_lead(bus, node, s)]:
            require(time.monotonic() < deadline, f"{node} goes on leading {led}")
            for stream in led:
                with contextlib.suppress(BusError):
                    subject = f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}"
                    await bus.request(subject, b"", timeout_s=_ANSWER_S)
            moved.update(led)
            await asyncio.sleep(_STEP_DOWN_AGAIN_S)
        return len(moved)

    async def _may_lead(self, bus: Bus, node: str, stream: str) -> bool:
        """Whether this node leads the stream, or nobody knows who does."""
        return (await self._info(bus, stream)).get("leader", node) in (node, "")

    async def restart(self, bus: Bus, node: str, streams: list[str]) -> None:
        """End and start a node as it should be done: others lead first, and all is whole again
        when this returns. Raises Broken."""
        await self.step_down(bus, node, streams)
        await asyncio.to_thread(self.nodes[node].end, signal.SIGTERM)
        await asyncio.to_thread(self.nodes[node].start)
        await self.whole(bus, streams)

    async def kill(self, bus: Bus, node: str, away_s: float, streams: list[str]) -> None:
        """Kill a node, start it again after `away_s`, and return when all is whole again.
        Raises Broken."""
        await asyncio.to_thread(self.nodes[node].end)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(self.nodes[node].start)
        await self.whole(bus, streams)

    async def _info(self, bus: Bus, stream: str) -> dict[str, object]:
        try:
            data = await bus.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout_s=_ANSWER_S)
        except BusError:
            return {}
        cluster: dict[str, object] = json.loads(data).get("cluster") or {}
        return cluster


def _is_whole(cluster: dict[str, object], size: int) -> bool:
    replicas = cluster.get("replicas")
    return (
        bool(cluster.get("leader"))
        and isinstance(replicas, list)
        and len(replicas) == size - 1
        and all(replica.get("current") and not replica.get("offline") for replica in replicas)
    )


def _config(home: Path, name: str, host: str, port: int, index: int, routes: list[int]) -> str:
    lines: dict[str, object] = {
        "server_name": name,
        "host": host,
        "port": port,
        "max_payload": MAX_PAYLOAD,
        "max_pending": 67_108_864,
        "ping_interval": "5s",
        "write_deadline": "5s",
        "logfile": str(home / f"{name}.log"),
        "jetstream": {"store_dir": str(home / name), "sync_interval": "1s"},
    }
    if len(routes) > 1:
        lines["cluster"] = {
            "name": "parley",
            "listen": f"127.0.0.1:{routes[index]}",
            "routes": [f"nats://127.0.0.1:{route}" for route in routes],
        }
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in lines.items())


@contextlib.contextmanager
def nats_cluster(home: Path, size: int = 3, host: str = "127.0.0.1") -> Iterator[NatsCluster]:
    """Run a cluster (one server: alone) that listens at `host`; end it at the end."""
    home.mkdir(parents=True, exist_ok=True)
    cluster = NatsCluster(home, size, host)
    try:
        for node in cluster.nodes.values():
            node.start()
        yield cluster
    finally:
        for node in cluster.nodes.values():
            node.end()

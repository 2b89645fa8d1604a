"""The stack of `parley up`: which processes there are, in which order, and what each is told."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from functools import partial

import structlog

from actors.runtime.clock import SystemClock
from actors.runtime.nats_bus import NatsBus
from contracts.codec import encode
from contracts.embeddings import EMBEDDING_POOL
from contracts.errors import BusError, BusUnavailable, ParleyError
from contracts.scheduling import WorkerGone
from contracts.subjects import scheduler_workers
from edge import listening
from ops import nats_server
from ops.embedding_model import embedding_files
from ops.left_leases import Leases, give_up, leased_by
from ops.model_files import find_model
from ops.nats_room import keep_writing
from ops.placement import deal_workers, nvidia_cards, place, place_embedder, usual_workers
from ops.ports import free_or_other, free_port, is_free
from ops.setting_table import Role
from ops.settings import Settings, as_environment, as_flags
from ops.settings_copy import SettingsCopy
from ops.streams import declare_streams
from ops.supervision import leftovers
from ops.supervision.output import Screen
from ops.supervision.processes import Command
from ops.supervision.shell import Plan, Shell
from ops.supervision.state import ChildSpec
from ops.telemetry import configure_logging

_log = structlog.get_logger()
_NATS_RETRY_S = 0.05
_NATS_PATIENCE_S = 30.0
_READY_RETRY_S = 0.1
_STOP_MS = 15_000
_AFTER_DRAIN_MS = 5_000
_EMBEDDER = "embed-1"


class PortTaken(ParleyError):
    """The edge's port belongs to somebody else."""


class Stack:
    """Everything of `parley up`: holds the home, runs the children, and ends with them."""

    def __init__(self, settings: Settings, *, debug: bool = False) -> None:
        self._settings = settings
        self._debug = debug
        self._screen = Screen()
        self._settings_copy = SettingsCopy(settings, self._screen)
        gpus = settings.gpus or usual_workers(settings.engine)
        self._pool_of = dict(deal_workers(settings.pools, gpus))
        self._leases_of: dict[str, Leases] = {}
        self._metrics: dict[str, int] = {}
        self._nats: nats_server.NatsFacts | None = None
        self._bus: NatsBus | None = None
        self._listener: socket.socket | None = None
        self._shell: Shell | None = None

    @property
    def url(self) -> str:
        """The address of the web chat."""
        host = self._settings.host
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared only
        return f"http://{shown}:{self._settings.port}"

    async def run(self) -> int:
        """Run everything until it is told to end; return the exit status.

        Raises:
            ParleyError: a setting, a file or a port does not allow the start.
        """
        weights = self._settings.engine == "vllm"
        for _, model in self._settings.models:
            find_model(model, weights=weights)
        embedding_files(self._settings, weights=weights)
        home = self._settings.home
        lock = leftovers.HomeLock(home)
        (home / "logs").mkdir(exist_ok=True)
        log = (home / "logs" / "up.log").open("a")
        configure_logging(self._settings.log_level, role="up", actor_id="up", out=log)
        try:
            cleared = await asyncio.to_thread(leftovers.clear, home)
            if cleared:
                self._screen.say("home", f"ended {cleared} processes that an earlier run left")
            if not is_free(self._settings.port):
                raise PortTaken(
                    f"Port {self._settings.port} is taken: stop what listens there or choose "
                    "another with --port."
                )
            self._listener = listening.listen(self._settings.host, self._settings.port)
            lock.publish(self._facts())
            self._settings_copy.write()
            if self._settings.nats:
                await self._prepare_nats(self._settings.nats)
            plans = self._plans()
            self._shell = Shell(
                plans,
                logs=home / "logs",
                screen=self._screen,
                on_gone=self._announce_gone,
                on_all_ready=self._say_ready,
                on_stopping=self._listen_no_more,
            )
            return await self._shell.run()
        finally:
            self._listen_no_more()
            if self._bus is not None:
                await self._bus.close()
            lock.release()
            log.close()

    # what runs

    def _plans(self) -> list[Plan]:
        plans = [] if self._settings.nats else [self._nats_plan()]
        numbers = (1, 2) if self._settings.standby else (1,)
        plans += [self._role_plan("session", f"session-{n}", rank=1) for n in numbers]
        plans += [self._role_plan("scheduler", f"scheduler-{n}", rank=2) for n in numbers]
        if self._settings.memory in ("both", "summary"):
            plans.append(self._role_plan("summarizer", "summarizer", rank=2))
        cores = sorted(os.sched_getaffinity(0))
        cards = nvidia_cards() if self._settings.engine == "vllm" else 0
        for position, (worker, pool) in enumerate(self._pool_of.items()):
            plans.append(
                self._role_plan(
                    "gpu",
                    worker,
                    rank=3,
                    words=("--pool", pool),
                    environ=place(position, len(self._pool_of), cores, cards),
                )
            )
        if self._settings.embedding_model:
            plans.append(
                self._role_plan(
                    "gpu",
                    _EMBEDDER,
                    rank=3,
                    words=("--pool", EMBEDDING_POOL),
                    environ=place_embedder(len(self._pool_of), cards),
                )
            )
        plans.append(self._role_plan("edge", "edge", rank=4))
        return plans

    def _nats_plan(self) -> Plan:
        spec = ChildSpec("nats", stage=0, rank=0, stop_ms=_STOP_MS)
        return Plan(spec, self._nats_command, self._await_nats)

    def _nats_command(self) -> Command:
        """Prepare the server anew at every start: a port that somebody else took meanwhile is
        exchanged, one that is free again is kept."""
        port = self._nats.port if self._nats is not None else self._settings.nats_port
        config, self._nats = nats_server.prepare(self._settings.home, port=port)
        argv = (str(nats_server.program()), "-c", str(config))
        return Command(argv, self._environ(nats_server.ENVIRON))

    def _role_plan(
        self,
        role: Role,
        name: str,
        *,
        rank: int,
        words: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Plan:
        debug = ("--debug",) if self._debug else ()
        flags = (*as_flags(self._settings, role), *self._settings_copy.flags)
        argv = (sys.executable, "-m", "ops.cli", *debug, role, *flags, "--id", name, *words)
        inherited = self._environ(environ or {})

        def command() -> Command:
            if role != "edge":
                return Command((*argv, "--metrics-port", str(self._metrics_port(name))), inherited)
            assert self._listener is not None, "nothing is started once the end was asked for"
            held = self._listener.fileno()
            return Command(argv, {**inherited, listening.VARIABLE: str(held)}, (held,))

        gpu = role == "gpu"
        stop_ms = stop_time_ms(role, self._settings.drain_s)
        self._leases_of[name] = leased_by(role, name, self._settings.pools)
        missed = name in self._pool_of or bool(self._leases_of[name])
        spec = ChildSpec(name, stage=1, rank=rank, stop_ms=stop_ms, gone=missed, awaited=not gpu)
        return Plan(spec, command)

    def _listen_no_more(self) -> None:
        """Let clients be refused, once the edge has ended: it is not coming back."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _environ(self, more: Mapping[str, str]) -> dict[str, str]:
        """The environment of a child: what the user set wins over what the placement proposes."""
        mark = leftovers.marked(self._settings.home)
        ours = {**more, **os.environ, **as_environment(self._settings), **mark}
        ours.pop(
            "PYTHONDONTWRITEBYTECODE", None
        )  # without bytecode vLLM's import takes 12 s, not 7
        return ours

    # what others may read

    def _facts(self) -> leftovers.StackFacts:
        return leftovers.StackFacts(
            pid=os.getpid(),
            started_at_ms=int(time.time() * 1000),
            url=self.url,
            engine=self._settings.engine,
            pools=list(self._settings.pools),
        )

    def _metrics_port(self, name: str) -> int:
        """Choose where a child about to start serves its metrics, its last place if it is free,
        and tell Prometheus, who reads the file by its file service discovery."""
        self._metrics[name] = free_or_other(self._metrics.get(name, 0) or free_port())
        targets = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"id": name}}
            for name, port in {**self._metrics, "edge": self._settings.port}.items()
        ]
        listed = self._settings.home / "prometheus.json"
        written = listed.with_suffix(".new")
        written.write_text(json.dumps(targets, indent=2) + "\n")
        written.replace(listed)
        return self._metrics[name]

    # nats

    async def _prepare_nats(self, url: str) -> None:
        """Connect and declare the streams; a cluster that was started a moment ago takes some
        seconds to choose who leads."""
        give_up_s = time.monotonic() + _NATS_PATIENCE_S
        try:
            while True:
                try:
                    return await self._connect(url)
                except BusUnavailable:
                    if self._bus is None or time.monotonic() > give_up_s:
                        raise
                    await asyncio.sleep(_NATS_RETRY_S)
        except BusError as error:
            raise BusUnavailable(
                f"The NATS server given by --nats can't be used ({error}): check its address, "
                "and that its account may declare streams."
            ) from error

    async def _await_nats(self) -> None:
        while True:
            assert self._nats is not None, "its command was asked for first"
            try:
                return await self._connect(self._nats.url("operator"))
            except BusError:
                await asyncio.sleep(_NATS_RETRY_S)

    async def _connect(self, url: str) -> None:
        """Connect, or wait for the connection to come back, and declare the streams: those in
        memory are gone after a restart of the server."""
        if self._bus is None:
            self._bus = await NatsBus.connect(url.split(","), name="up", clock=SystemClock())
        await declare_streams(self._bus, replicas=self._settings.nats_replicas)

    async def _announce_gone(self, name: str, pid: int, code: int) -> None:
        """Let others know of a death at once: the scheduler of a worker's, and whoever waits for
        leases of the free ones."""
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
        if self._bus is None:
            return
        try:
            if name in self._pool_of:
                gone = WorkerGone(worker=name, reason=f"its process ended ({how})")
                self._bus.publish(scheduler_workers(self._pool_of[name]), encode(gone))
            await give_up(self._bus, self._leases_of[name], pid)
        except (BusError, TimeoutError):
            _log.warning("a death could not be announced", name=name)

    # ready

    async def _say_ready(self) -> None:
        host, port = self._settings.host, self._settings.port
        while not await _answers(host, port):  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(_READY_RETRY_S)
        if self._settings.engine == "sim":
            self._screen.line("simulated engine: the answers are made-up words")
        self._screen.line(f"ready {self.url}")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._settings_copy.follow())
            if not self._settings.nats:
                group.create_task(self._keep_nats_writing())

    async def _keep_nats_writing(self) -> None:
        def monitor_url() -> str:
            assert self._nats is not None, "it has been ready"
            return self._nats.monitor_url

        def say(text: str) -> None:
            self._screen.say("nats", text)

        assert self._shell is not None, "it runs this"
        renew = partial(self._shell.renew, "nats")
        await keep_writing(monitor_url, self._settings.home, say, renew)


def stop_time_ms(role: Role, drain_s: int) -> int:
    """Return what a graceful end of `role` may take: a worker drains for `drain_s` first."""
    return max(_STOP_MS, drain_s * 1000 + _AFTER_DRAIN_MS) if role == "gpu" else _STOP_MS


async def _answers(host: str, port: int) -> bool:
    """Say whether the edge would answer a prompt now (`/readyz`)."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: parley\r\nConnection: close\r\n\r\n")
        status = await reader.readline()
        return b" 200 " in status
    except OSError:
        return False
    finally:
        writer.close()

"""Checks of this machine and of the stack, each with what to do."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import httpx
import msgspec
import psutil

from contracts.errors import BusError, HistoryUnavailable, ParleyError
from ops import nats_server
from ops.history import open_history
from ops.live import NoStack, operator_bus, pool_statuses
from ops.model_files import find_model
from ops.placement import deal_workers, usual_workers
from ops.ports import is_free
from ops.settings import Settings, history_url
from ops.supervision.leftovers import StackFacts, find, read_facts

Verdict = Literal["good", "warning", "bad"]
_GIB = 1 << 30
_ENGINE_BYTES = 3 * _GIB
_DISK_BYTES = 2 * _GIB


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found: a sentence, and where it isn't good what to do."""

    name: str
    verdict: Verdict
    text: str


async def examine(settings: Settings) -> Sequence[Finding]:
    """Run every check; none raises, none takes more than some seconds."""
    facts = _running(settings)
    findings = [_python(), _home(settings), _disk(settings), _memory(settings)]
    findings += [_model(settings, model) for _, model in settings.models]
    findings += [_engine(settings), _nats_program(settings), _web_page()]
    findings.append(_port(settings, facts))
    if facts is not None or settings.nats:
        findings += [await _nats(settings), await _edge(facts)]
    findings.append(await _history(settings))
    return findings


def _running(settings: Settings) -> StackFacts | None:
    facts = read_facts(settings.home)
    return facts if facts is not None and psutil.pid_exists(facts.pid) else None


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(name="python", verdict="good", text=f"Python {version}.")


def _home(settings: Settings) -> Finding:
    home = settings.home
    existing = next(path for path in (home, *home.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return _bad("home", f"{existing} is not writable: change that or choose another --home.")
    left = find(home) if _running(settings) is None else []
    if left:
        return Finding(
            name="home",
            verdict="warning",
            text=f"{len(left)} processes of a crashed stack still run; parley up ends them.",
        )
    return _good("home", f"{home} is writable.")


def _disk(settings: Settings) -> Finding:
    existing = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    text = f"{free / _GIB:.1f} GiB free at {existing}"
    if free < _DISK_BYTES:
        return _bad("disk", f"{text}: free some, NATS and history need 2 GiB to work in.")
    return _good("disk", f"{text}.")


def _memory(settings: Settings) -> Finding:
    available = psutil.virtual_memory().available
    engines = len(deal_workers(settings.pools, settings.gpus or usual_workers(settings.engine)))
    text = f"{available / _GIB:.1f} GiB of memory available"
    needed = engines * _ENGINE_BYTES
    if settings.engine == "vllm" and not _running(settings) and available < needed:
        return _bad("memory", f"{text}: each of {engines} engines needs 3 GiB; try fewer --gpus.")
    return _good("memory", f"{text}.")


def _model(settings: Settings, name: str) -> Finding:
    try:
        files = find_model(name, weights=settings.engine == "vllm")
    except ParleyError as error:
        return _bad("model", str(error))
    return _good("model", f"{files.model_id}, window {files.context_length} tokens, {files.path}.")


def _engine(settings: Settings) -> Finding:
    if settings.engine == "sim":
        return Finding(
            name="engine", verdict="warning", text="Simulated: the answers are made-up words."
        )
    probe = "import importlib.metadata as m; print(m.version('torch'))"
    found = subprocess.run(
        [sys.executable, "-c", f"import importlib.util as u; assert u.find_spec('vllm'); {probe}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if found.returncode:
        return _bad("engine", "vLLM is not installed: run make install, or use --engine sim.")
    return _good("engine", f"vLLM is installed, with torch {found.stdout.strip()}.")


def _nats_program(settings: Settings) -> Finding:
    if settings.nats:
        return _good("nats-server", "Not needed: --nats names a server.")
    try:
        path = nats_server.program()
        answer = subprocess.run(
            [str(path), "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (ParleyError, OSError, subprocess.TimeoutExpired) as error:
        return _bad("nats-server", str(error))
    version = answer.stdout.strip().rpartition("v")[2]
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < nats_server.OLDEST_VERSION:
        oldest = ".".join(map(str, nats_server.OLDEST_VERSION))
        return _bad("nats-server", f"{path} is {version}; install {oldest} or newer.")
    return _good("nats-server", f"{version}, {path}.")


def _web_page() -> Finding:
    page = Path(__file__).parent.parent / "edge" / "static" / "index.html"
    if page.is_file():
        return _good("page", "The web chat is built.")
    return Finding(
        name="page", verdict="warning", text="The web chat is not built: run make install."
    )


def _port(settings: Settings, facts: StackFacts | None) -> Finding:
    if facts is not None:
        return _good("port", f"The stack runs as process {facts.pid} at {facts.url}.")
    if not is_free(settings.port):
        return _bad("port", f"Port {settings.port} is taken: choose another with --port.")
    return _good("port", f"Port {settings.port} is free.")


async def _nats(settings: Settings) -> Finding:
    try:
        async with operator_bus(settings) as bus:
            statuses = await pool_statuses(bus)
    except (NoStack, BusError) as error:
        return _bad("nats", str(error))
    if not statuses:
        return _bad("nats", "NATS answers, but no scheduler is active: see logs in the home.")
    states = ", ".join(f"{s.pool}: {'ready' if s.healthy else 'no worker ready'}" for s in statuses)
    verdict: Verdict = "good" if all(s.healthy for s in statuses) else "warning"
    return Finding(name="nats", verdict=verdict, text=f"NATS answers; pools: {states}.")


async def _edge(facts: StackFacts | None) -> Finding:
    if facts is None:
        return _good("edge", "Not asked: the stack is not at this home.")
    try:
        async with httpx.AsyncClient(timeout=5.0) as client:
            answer = await client.get(f"{facts.url}/readyz")
    except httpx.TransportError as error:
        return _bad("edge", f"{facts.url} does not answer ({error}): see logs/edge.log.")
    if answer.status_code != 200:
        return _bad("edge", f"{facts.url} is not ready: {answer.text[:200]}")
    return _good("edge", f"{facts.url} is ready.")


async def _history(settings: Settings) -> Finding:
    url = history_url(settings)
    shown = url.rpartition("@")[2]
    if await asyncio.to_thread(_unborn, url):
        return _good("history", f"{shown} will be made at the first start.")
    history = open_history(url)
    try:
        async with asyncio.timeout(10):
            await history.open()
            await history.ping()
    except (HistoryUnavailable, TimeoutError) as error:
        return _bad("history", f"{shown} can't be used ({error}): start it, or give --history.")
    finally:
        await history.close()
    return _good("history", f"{shown} reads and writes.")


def _unborn(url: str) -> bool:
    return url.startswith("sqlite:") and not Path(url.removeprefix("sqlite:")).exists()


def _good(name: str, text: str) -> Finding:
    return Finding(name=name, verdict="good", text=text)


def _bad(name: str, text: str) -> Finding:
    return Finding(name=name, verdict="bad", text=text)

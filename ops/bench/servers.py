"""What is compared: the whole of Parley, and vLLM's own OpenAI server, on the same model and
with the same engine arguments. Both stay in this process's session, since a session of its
own changes how the kernel shares the cores."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from ops.bench.client import BenchFailed
from ops.ports import free_port

_READY_S = 180.0


def engine_flags(engine_args: Mapping[str, str]) -> list[str]:
    """Return engine arguments as flags of vLLM's server; "true" makes a bare flag."""
    flags: list[str] = []
    for name, value in engine_args.items():
        flag = "--" + name.replace("_", "-")
        flags += [flag] if value == "true" else [flag, value]
    return flags


@asynccontextmanager
async def vllm_server(
    model: Path, name: str, engine_args: Mapping[str, str], log: Path
) -> AsyncIterator[str]:
    """Run vLLM's OpenAI server; yields its base address once it is healthy."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(model),
        "--served-model-name",
        name,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        *engine_flags(engine_args),
    ]
    env = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "WARNING", **os.environ}
    async with _running(command, env, log) as process:
        base_url = f"http://127.0.0.1:{port}"
        await _healthy(process, f"{base_url}/health", log)
        yield base_url


@asynccontextmanager
async def parley_stack(
    model: Path, engine_args: Mapping[str, str], home: Path, log: Path, words: Sequence[str] = ()
) -> AsyncIterator[str]:
    """Run `parley up`, with further `words`; yields its base address once a prompt would be
    answered."""
    port = free_port()
    command = [sys.executable, "-m", "ops.cli", "up", "--port", str(port), "--home", str(home)]
    command += ["--model", str(model), "--gpus", "1", *words]
    for name, value in engine_args.items():
        command += ["--engine-arg", f"{name}={value}"]
    async with _running(command, dict(os.environ), log) as process:
        base_url = f"http://127.0.0.1:{port}"
        await _healthy(process, f"{base_url}/readyz", log)
        yield base_url


async def api_key(home: Path) -> str:
    """Return a new API key of the stack at `home`, in the tier that nothing limits."""
    key: str = (await _told(home, "key", "create", "bench"))["key"]
    return key


async def user_key(home: Path, name: str, tier: str) -> str:
    """Return an API key of a new account of this tier of the stack at `home`."""
    email = f"{name}@bench.example"
    await _told(home, "user", "add", email, "--tier", tier)
    key: str = (await _told(home, "key", "create", name, "--user", email))["key"]
    return key


async def workers_ready(home: Path, count: int) -> None:
    """Return when so many workers of the stack at `home` take runs: it answers prompts as soon
    as the first does."""
    try:
        async with asyncio.timeout(_READY_S):
            while True:
                workers = await _told(home, "workers")
                if sum(worker["state"] == "ready" for worker in workers) >= count:
                    return
                await asyncio.sleep(1.0)
    except TimeoutError as error:
        raise BenchFailed(f"{count} workers were not ready in {_READY_S:.0f} s.") from error


async def _told(home: Path, *words: str) -> Any:
    """Return what a command says of the stack at `home`. Raises BenchFailed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ops.cli",
        *words,
        "--home",
        str(home),
        "--json",
        env={"PARLEY_PASSWORD": secrets.token_urlsafe(16), **os.environ},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise BenchFailed(f"parley {words[0]} failed.")
    return json.loads(output)


@asynccontextmanager
async def _running(
    command: Sequence[str], env: Mapping[str, str], log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *command, env=dict(env), stdout=sink, stderr=sink, process_group=0
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(30):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _healthy(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    try:
        async with asyncio.timeout(_READY_S), httpx.AsyncClient() as client:
            while True:
                if process.returncode is not None:
                    raise BenchFailed(f"A server ended before it was ready; see {log}.")
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(url)).status_code == 200:
                        return
                await asyncio.sleep(0.25)
    except TimeoutError as error:
        raise BenchFailed(f"A server was not ready in {_READY_S:.0f} s; see {log}.") from error

"""What every kind of vLLM engine needs around it: its environment, its processes, its death.

vLLM is imported in a thread of its own: that takes many seconds, and reports must flow
meanwhile. The thread lives as long as the engine (see `orphans`).
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from psutil import Process

from actors.gpu.engine_folder import EngineFolder
from actors.gpu.keeper import Keeper
from actors.gpu.orphans import end_processes, engine_processes, first_in_children
from contracts.errors import EngineDead

T = TypeVar("T")

ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}
"""What vLLM finds in its environment unless it is set already. Spawn, because a forked child
would not load the plugin that `orphans` is; nobind, because two engines on one machine would
bind themselves to the same core."""

_SEVERAL_WORKERS = ("tensor_parallel_size", "pipeline_parallel_size")
"""Arguments of an engine that may have more than one worker."""

_WATCH_S = 0.1
"""How often the engine is asked whether it has failed without a process having died."""


class VllmHost:
    """Imports vLLM, makes one `AsyncLLM`, watches it and ends it. `environment` wins over
    `ENVIRONMENT` and over the process's own."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._folder = EngineFolder()
        self._keeper = Keeper("engine-keeper")
        self._llm: Any = None
        self._others: frozenset[int] = frozenset()
        self._loaded = asyncio.Event()
        self._closed = False

    @property
    def llm(self) -> Any:
        """The `AsyncLLM`; None before it is loaded and after `close`."""
        return self._llm

    @property
    def folder(self) -> Path:
        """Where the engine's sockets are, until `close`."""
        return self._folder.path

    @property
    def closed(self) -> bool:
        """Whether its end was asked for."""
        return self._closed

    @property
    def failed(self) -> bool:
        """Whether there is no engine that could answer."""
        return self._llm is None or self._llm.errored

    async def imported(self, parts: Callable[[], T]) -> T:
        """Return what `parts` imports of vLLM, after the environment was set."""

        def work() -> T:
            os.environ |= {**ENVIRONMENT, **os.environ, **self._environment}
            return parts()

        return await self._keeper.do(work)

    async def load(self, args_of: Callable[[bool], Mapping[str, object]]) -> Any:
        """Make the `AsyncLLM` of the arguments that `args_of` gives (told whether vLLM computes
        on a CPU), and return it.

        Raises:
            EngineDead: vLLM could not start; the message has its reason.
        """
        try:
            self._llm = await self._keeper.do(lambda: self._load(args_of))
        except Exception as error:
            # vLLM raises whatever its parts raise: all of it means that there is no engine.
            await asyncio.to_thread(end_processes, self._processes())
            raise EngineDead(f"vLLM could not start: {error}") from error
        self._loaded.set()
        return self._llm

    def _load(self, args_of: Callable[[bool], Mapping[str, object]]) -> Any:
        from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - see `imported`
        from vllm.platforms import current_platform  # noqa: PLC0415
        from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415

        on_cpu = current_platform.is_cpu()
        usual: dict[str, object] = {"disable_log_stats": True, "enable_log_requests": False}
        wished = args_of(on_cpu)
        if on_cpu:
            usual["enforce_eager"] = True
            usual["dtype"] = usual_cpu_dtype()
            if not any(name in wished for name in _SEVERAL_WORKERS):
                usual["distributed_executor_backend"] = _executor_without_workers()
            # More threads than free cores spin against each other: 3 times slower, measured.
            os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))
        if self._closed:
            raise EngineDead("the engine was closed while it started")
        args: dict[str, Any] = {**usual, **wished}
        self._others = frozenset(process.pid for process in engine_processes(os.getpid()))
        with first_in_children(), self._folder.of_sockets():
            return AsyncLLM.from_engine_args(AsyncEngineArgs(**args))

    def _processes(self) -> list[Process]:
        """Return the engine's processes: those that were not there before it was loaded."""
        found = engine_processes(os.getpid())
        return [process for process in found if process.pid not in self._others]

    async def died(self) -> str:
        """Return when a process of the engine has exited, or it has given itself up."""
        await self._loaded.wait()
        loop = asyncio.get_running_loop()
        exited: asyncio.Future[int] = loop.create_future()
        watched = _pidfds(self._processes())
        try:
            for fd, pid in watched.items():
                loop.add_reader(fd, _exited, exited, pid)
            while not self._closed:
                await asyncio.wait([exited], timeout=_WATCH_S)
                if exited.done():
                    return f"the engine's process {exited.result()} exited"
                if self._llm is not None and self._llm.errored:
                    return "the engine has failed"
            return "the engine was closed"
        finally:
            for fd in watched:
                loop.remove_reader(fd)
                os.close(fd)

    def closing(self) -> None:
        """Its end was asked for: what is still starting gives up."""
        self._closed = True

    async def close(self) -> None:
        """End the engine and all its processes, also one that is still starting."""
        self._closed = True
        processes = self._processes()
        if self._llm is not None:
            llm, self._llm = self._llm, None
            await asyncio.to_thread(llm.shutdown, 3.0)
        await asyncio.to_thread(end_processes, processes)
        self._folder.remove()
        self._keeper.dismiss()


def _pidfds(processes: Sequence[Process]) -> dict[int, int]:
    """Return a file descriptor for each process, readable once it has exited, and its pid;
    none where the kernel has no such thing (the engine's own watch remains)."""
    opened = {}
    for process in processes:
        try:
            opened[os.pidfd_open(process.pid)] = process.pid
        except (AttributeError, OSError):
            continue
    return opened


def _exited(exited: "asyncio.Future[int]", pid: int) -> None:
    if not exited.done():
        exited.set_result(pid)


def usual_cpu_dtype() -> str:
    """Return the number format in which an engine computes on this machine's CPU: "auto", the
    model's own, or "float32" where the CPU would emulate bfloat16, which is slower, and has the
    same tokens come out differently by how many are computed together (ADR 0033)."""
    import torch  # noqa: PLC0415 - seconds to import

    able = torch.cpu.get_capabilities()
    native = any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return "auto" if native else "float32"


def _executor_without_workers() -> object:
    """Return the executor that computes in the engine core's own process, as is vLLM's own way on
    a GPU (ADR 0031)."""
    from vllm.v1.executor.uniproc_executor import UniProcExecutor  # noqa: PLC0415 - see `imported`

    return UniProcExecutor

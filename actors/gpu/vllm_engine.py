"""vLLM's `AsyncLLM` as the engine; on CUDA or on a CPU, whichever vLLM was installed for.

vLLM is imported at `start`, in a thread of its own: that takes many seconds, and reports must
flow meanwhile. The thread lives as long as the engine (see `orphans`).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from psutil import Process

from actors.gpu.keeper import Keeper
from actors.gpu.kv_events import KvEvents
from actors.gpu.orphans import end_processes, engine_processes, first_in_children
from contracts.errors import EngineDead, EngineRefused
from contracts.ports.engine import BlockChange, EngineInfo, EngineLoad, EngineOutput
from contracts.runs import Guide, Sampling, TokenLogprob

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

_WATCH_S = 0.1
"""How often the engine is asked whether it has failed without a process having died."""


@dataclass(slots=True, eq=False)
class _Request:
    """A request from its first moment: `tokens` are prompt and output so far; `added` once
    vLLM knows it, `gone` once this side is through with it."""

    tokens: int
    started: bool = False
    added: bool = False
    aborted: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class VllmEngine:
    """See `contracts.ports.engine.Engine`.

    `engine_args` are fields of vLLM's `AsyncEngineArgs` and win over the defaults below;
    `environment` wins over `ENVIRONMENT` and over the process's own.
    """

    def __init__(
        self,
        model_path: Path,
        engine_args: Mapping[str, object] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._model_path = model_path
        self._engine_args = dict(engine_args or {})
        self._environment = dict(environment or {})
        self._keeper = Keeper("engine-keeper")
        self._llm: Any = None
        self._info: EngineInfo | None = None
        self._sampling: Any = None
        self._delta: Any = None
        self._guided: Any = None
        self._refusals: tuple[type[Exception], ...] = ()
        self._requests: dict[str, _Request] = {}
        self._kv_events: KvEvents | None = None
        self._loaded = asyncio.Event()
        self._closed = False

    @property
    def info(self) -> EngineInfo:
        """What it is; known after `start`."""
        if self._info is None:
            raise EngineDead("the engine has not started")
        return self._info

    def on_blocks(self, handler: Callable[[Sequence[BlockChange]], None]) -> None:
        """Have vLLM publish its cache events, unless `engine_args` say what to do with them or
        share the work among several schedulers, which have a cache each."""
        several = self._engine_args.get("data_parallel_size", 1) != 1
        if not several and "kv_events_config" not in self._engine_args:
            self._kv_events = KvEvents(handler)

    async def start(self, progress: Callable[[str], None]) -> None:
        """Import vLLM, load the model, and generate once.

        Raises:
            EngineDead: vLLM could not start; the message has its reason.
        """
        progress("Importing vLLM.")
        await self._keeper.do(self._import)
        progress(f"Loading {self._model_path.name} into vLLM.")
        try:
            self._llm = await self._keeper.do(self._load)
        except Exception as error:
            # vLLM raises whatever its parts raise: all of it means that there is no engine.
            await asyncio.to_thread(end_processes, engine_processes(os.getpid()))
            raise EngineDead(f"vLLM could not start: {error}") from error
        self._info = self._describe()
        self._loaded.set()
        if self._kv_events is not None:
            self._kv_events.listen()
        progress("Warming up.")
        await self._warm_up()
        progress("The engine is ready.")

    async def generate(
        self, request_id: str, prompt: tuple[int, ...], sampling: Sampling
    ) -> AsyncIterator[EngineOutput]:
        """Yield what vLLM produces for one request."""
        if self._llm.errored:
            raise EngineDead("the engine has failed")
        if request_id in self._requests:
            raise EngineRefused(f"request {request_id} is running")
        request = self._requests[request_id] = _Request(tokens=len(prompt))
        try:
            async for output in self._outputs(request_id, request, prompt, sampling):
                request.started = True
                request.tokens += len(output.tokens)
                yield output
        except self._refusals as error:
            raise EngineRefused(str(error)) from error
        except Exception as error:
            # vLLM wraps what went wrong in several classes; the engine itself knows.
            if self._llm.errored:
                raise EngineDead(f"the engine has failed: {error}") from error
            raise
        finally:
            request.gone.set()
            del self._requests[request_id]

    async def _outputs(
        self, request_id: str, request: _Request, prompt: tuple[int, ...], sampling: Sampling
    ) -> AsyncIterator[EngineOutput]:
        """What `AsyncLLM.generate` does, less a layer, and safe against an abort that comes
        before vLLM knows the request."""
        engine_input = {"type": "token", "prompt_token_ids": list(prompt)}
        queue = await self._llm.add_request(request_id, engine_input, self._params(sampling))
        request.added = True
        finished = False
        produced = 0
        try:
            while not (finished or request.aborted):
                step = queue.get_nowait() or await queue.get()
                finished = step.finished
                output = step.outputs[0]
                if output.finish_reason == "abort":
                    return
                tokens = tuple(output.token_ids)
                yield EngineOutput(
                    tokens=tokens,
                    finish=_finish(output.finish_reason) if finished else None,
                    cached_tokens=None if produced else step.num_cached_tokens,
                    start=produced,
                    logprobs=()
                    if sampling.logprobs is None
                    else _logprobs(tokens, output.logprobs or (), sampling.logprobs),
                )
                produced += len(tokens)
        finally:
            queue.close()
            if not finished and not self._closed:
                await self._llm.abort(queue.request_id, internal=True)

    async def abort(self, request_id: str) -> None:
        """Free the sequence, and return when the engine's own loop has done so.

        A question to the engine's process after the abort is answered after it, since both
        come through one queue, between two steps.
        """
        if self._llm is None or self._llm.errored:
            return
        request = self._requests.get(request_id)
        if request is not None:
            request.aborted = True
            if request.added:
                await self._llm.abort(request_id)
            else:
                await request.gone.wait()
        try:
            await self._llm.engine_core.call_utility_async("is_scheduler_paused")
        except Exception:
            # A dead engine holds nothing either; its death is told by `died`.
            if not self._llm.errored:
                raise

    def load(self) -> EngineLoad:
        """Return the load, as this side counts it."""
        if self._info is None:
            return EngineLoad()
        requests = self._requests.values()
        running = sum(request.started for request in requests)
        used = sum(request.tokens for request in requests)
        return EngineLoad(
            running=running,
            waiting=len(requests) - running,
            kv_used=min(1.0, used / max(1, self._info.kv_tokens)),
        )

    async def died(self) -> str:
        """Return when a process of the engine has exited, or it has given itself up."""
        await self._loaded.wait()
        loop = asyncio.get_running_loop()
        exited: asyncio.Future[int] = loop.create_future()
        watched = _pidfds(engine_processes(os.getpid()))
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

    async def close(self) -> None:
        """End the engine and all its processes, also one that is still starting."""
        self._closed = True
        if self._kv_events is not None:
            await self._kv_events.close()
        processes = engine_processes(os.getpid())
        if self._llm is not None:
            llm, self._llm = self._llm, None
            await asyncio.to_thread(llm.shutdown, 3.0)
        await asyncio.to_thread(end_processes, processes)
        self._keeper.dismiss()

    def _import(self) -> None:
        for name, value in {**ENVIRONMENT, **os.environ, **self._environment}.items():
            os.environ[name] = value
        from vllm import SamplingParams  # noqa: PLC0415 - after the environment is set
        from vllm.exceptions import GracefulHTTPError, VLLMClientError  # noqa: PLC0415
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams  # noqa: PLC0415

        self._sampling = SamplingParams
        self._delta = RequestOutputKind.DELTA
        self._guided = StructuredOutputsParams
        self._refusals = (VLLMClientError, GracefulHTTPError, ValueError)

    def _load(self) -> Any:
        from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - see `_import`
        from vllm.platforms import current_platform  # noqa: PLC0415
        from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415

        args: dict[str, object] = {
            "model": str(self._model_path),
            "disable_log_stats": True,
            "enable_log_requests": False,
            "enable_prefix_caching": True,
        }
        if current_platform.is_cpu():
            args |= {"enforce_eager": True, "block_size": 32}
            # More threads than free cores spin against each other: 3 times slower, measured.
            os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))
        if self._closed:
            raise EngineDead("the engine was closed while it started")
        if self._kv_events is not None:
            self._kv_events.prepare()
            args["kv_events_config"] = {
                "enable_kv_cache_events": True,
                "publisher": "zmq",
                "endpoint": self._kv_events.endpoint,
                "replay_endpoint": self._kv_events.replay_endpoint,
            }
        with first_in_children():
            return AsyncLLM.from_engine_args(AsyncEngineArgs(**(args | self._engine_args)))

    def _describe(self) -> EngineInfo:
        config = self._llm.vllm_config
        block_size = config.cache_config.block_size
        return EngineInfo(
            kind="vllm",
            model=self._model_path.name,
            context_length=config.model_config.max_model_len,
            slots=config.scheduler_config.max_num_seqs,
            block_size=block_size,
            kv_tokens=(config.cache_config.num_gpu_blocks or 0) * block_size,
        )

    async def _warm_up(self) -> None:
        sampling = Sampling(max_tokens=16, temperature=0.0, ignore_eos=True)
        length = min(128, self.info.context_length // 2)
        for number in range(2):
            prompt = tuple(1 + (place + number) % 16 for place in range(length))
            async for _ in self.generate(f"warm-up-{number}", prompt, sampling):
                continue

    def _params(self, sampling: Sampling) -> Any:
        return self._sampling(
            max_tokens=sampling.max_tokens,
            min_tokens=sampling.min_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            repetition_penalty=sampling.repetition_penalty,
            seed=sampling.seed,
            ignore_eos=sampling.ignore_eos,
            detokenize=False,
            output_kind=self._delta,
            skip_clone=True,
            logit_bias=dict(sampling.logit_bias) or None,
            logprobs=sampling.logprobs,
            structured_outputs=self._structured(sampling.guide),
        )

    def _structured(self, guide: Guide | None) -> Any:
        if guide is None:
            return None
        if guide.kind == "json_schema":
            return self._guided(json=guide.json_schema)
        return self._guided(json_object=True)


def _logprobs(tokens: Sequence[int], found: Sequence[Any], asked: int) -> tuple[TokenLogprob, ...]:
    """Return vLLM's logprobs of `tokens`: each one's own, and the `asked` likeliest at its
    place, which vLLM gives together, by token."""
    listed = []
    for token, place in zip(tokens, found, strict=True):
        ranked = sorted((value.rank, each, value.logprob) for each, value in place.items())
        top = tuple((each, _finite(value)) for rank, each, value in ranked if rank <= asked)
        listed.append(TokenLogprob(_finite(place[token].logprob), top[:asked]))
    return tuple(listed)


def _finite(logprob: float) -> float:
    """JSON has no infinity: an impossible token gets OpenAI's -9999."""
    return max(logprob, -9999.0)


def _finish(reason: str) -> Literal["stop", "length"]:
    return "stop" if reason == "stop" else "length"


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

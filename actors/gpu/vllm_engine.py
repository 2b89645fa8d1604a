"""vLLM's `AsyncLLM` as the engine; on CUDA or on a CPU, whichever vLLM was installed for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from msgspec.structs import replace

from actors.gpu.kv_events import KvEvents
from actors.gpu.vllm_host import VllmHost
from actors.gpu.vllm_sight import VllmSight
from contracts.errors import EngineDead, EngineRefused
from contracts.ports.engine import BlockChange, EngineInfo, EngineLoad, EngineOutput
from contracts.runs import Guide, Sampling, TokenLogprob


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
    `pictures_max` is how many pictures a prompt may have, where the model sees (0: none);
    `environment` wins over `vllm_host.ENVIRONMENT` and over the process's own.
    """

    def __init__(
        self,
        model_path: Path,
        engine_args: Mapping[str, object] | None = None,
        *,
        pictures_max: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._pictures_max = pictures_max
        self._sight: VllmSight | None = None
        self._model_path = model_path
        self._engine_args = dict(engine_args or {})
        self._host = VllmHost(environment or {})
        self._info: EngineInfo | None = None
        self._sampling: Any = None
        self._delta: Any = None
        self._guided: Any = None
        self._refusals: tuple[type[Exception], ...] = ()
        self._requests: dict[str, _Request] = {}
        self._kv_events: KvEvents | None = None

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
        await self._host.imported(self._import)
        progress(f"Loading {self._model_path.name} into vLLM.")
        llm = await self._host.load(self._args)
        self._sight = await VllmSight.found(llm)
        self._info = self._describe(llm)
        if self._kv_events is not None:
            self._kv_events.listen()
        progress("Warming up.")
        await self._warm_up()
        progress("The engine is ready.")

    async def generate(
        self,
        request_id: str,
        prompt: tuple[int, ...],
        sampling: Sampling,
        pictures: Sequence[bytes] = (),
    ) -> AsyncIterator[EngineOutput]:
        """Yield what vLLM produces for one request."""
        if self._host.llm.errored:
            raise EngineDead("the engine has failed")
        if request_id in self._requests:
            raise EngineRefused(f"request {request_id} is running")
        request = self._requests[request_id] = _Request(tokens=len(prompt))
        try:
            async for output in self._outputs(request_id, request, prompt, sampling, pictures):
                request.started = True
                request.tokens += len(output.tokens)
                yield output
        except self._refusals as error:
            raise EngineRefused(str(error)) from error
        except Exception as error:
            # vLLM wraps what went wrong in several classes; the engine itself knows.
            if self._host.llm.errored:
                raise EngineDead(f"the engine has failed: {error}") from error
            raise
        finally:
            request.gone.set()
            del self._requests[request_id]

    async def _outputs(
        self,
        request_id: str,
        request: _Request,
        prompt: tuple[int, ...],
        sampling: Sampling,
        pictures: Sequence[bytes],
    ) -> AsyncIterator[EngineOutput]:
        """What `AsyncLLM.generate` does, less a layer, and safe against an abort that comes
        before vLLM knows the request."""
        engine_input: Any = {"type": "token", "prompt_token_ids": list(prompt)}
        if pictures:
            if self._sight is None:
                raise EngineRefused("the model sees no pictures")
            seen = await self._sight.input(prompt, pictures)
            engine_input, request.tokens = seen.engine_input, seen.length
            # A mark among the answer's tokens would be taken for a picture's when it goes on.
            never = (self._sight.mark, -100.0)
            sampling = replace(sampling, logit_bias=(*sampling.logit_bias, never))
        queue = await self._host.llm.add_request(request_id, engine_input, self._params(sampling))
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
                    prompt_tokens=request.tokens if pictures and not produced else None,
                    start=produced,
                    logprobs=()
                    if sampling.logprobs is None
                    else _logprobs(tokens, output.logprobs or (), sampling.logprobs),
                )
                produced += len(tokens)
        finally:
            queue.close()
            if not finished and not self._host.closed:
                await self._host.llm.abort(queue.request_id, internal=True)

    async def abort(self, request_id: str) -> None:
        """Free the sequence, and return when the engine's own loop has done so.

        A question to the engine's process after the abort is answered after it, since both
        come through one queue, between two steps.
        """
        if self._host.failed:
            return
        request = self._requests.get(request_id)
        if request is not None:
            request.aborted = True
            if request.added:
                await self._host.llm.abort(request_id)
            else:
                await request.gone.wait()
        try:
            await self._host.llm.engine_core.call_utility_async("is_scheduler_paused")
        except Exception:
            # A dead engine holds nothing either; its death is told by `died`.
            if not self._host.llm.errored:
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
        return await self._host.died()

    async def close(self) -> None:
        """End the engine and all its processes, also one that is still starting."""
        self._host.closing()
        if self._kv_events is not None:
            await self._kv_events.close()
        await self._host.close()

    def _import(self) -> None:
        from vllm import SamplingParams  # noqa: PLC0415 - after the environment is set
        from vllm.exceptions import GracefulHTTPError, VLLMClientError  # noqa: PLC0415
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams  # noqa: PLC0415

        self._sampling = SamplingParams
        self._delta = RequestOutputKind.DELTA
        self._guided = StructuredOutputsParams
        self._refusals = (VLLMClientError, GracefulHTTPError, ValueError)

    def _args(self, on_cpu: bool) -> Mapping[str, object]:
        args: dict[str, object] = {
            "model": str(self._model_path),
            "enable_prefix_caching": True,
            "limit_mm_per_prompt": {"image": self._pictures_max},
            # Its two halves, here and in the engine's process, would be told apart by a request
            # that is made ready and aborted before the engine knows it.
            "mm_processor_cache_gb": 0,
        }
        if on_cpu:
            args["block_size"] = 32
        if self._kv_events is not None:
            self._kv_events.prepare(self._host.folder)
            args["kv_events_config"] = {
                "enable_kv_cache_events": True,
                "publisher": "zmq",
                "endpoint": self._kv_events.endpoint,
                "replay_endpoint": self._kv_events.replay_endpoint,
            }
        return args | self._engine_args

    def _describe(self, llm: Any) -> EngineInfo:
        config = llm.vllm_config
        block_size = config.cache_config.block_size
        return EngineInfo(
            kind="vllm",
            model=self._model_path.name,
            context_length=config.model_config.max_model_len,
            slots=config.scheduler_config.max_num_seqs,
            block_size=block_size,
            kv_tokens=(config.cache_config.num_gpu_blocks or 0) * block_size,
            sight=None if self._sight is None else self._sight.sight,
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

"""The OpenAI-compatible API: `/v1/models`, `/v1/completions`, `/v1/chat/completions`.

An API run belongs to no chat: the edge makes its prompt, submits it to the pool's queue
itself, and follows its log to the worker's end entry. A disconnect stops it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from litestar.types import ASGIApp

from contracts.codec import encode
from contracts.errors import BusUnavailable, Refused, StreamFull
from contracts.ids import ENTROPY_BYTES, make_id
from contracts.ports.bus import Bus
from contracts.ports.clock import Clock
from contracts.ports.text import TextCodec, Turn
from contracts.ports.token_log import TokenLog
from contracts.runs import RunSpec
from contracts.subjects import run_queue
from edge.bodies import invalid, read_bytes
from edge.config import EdgeConfig, ModelPool
from edge.identity import Caller, Identity
from edge.metrics import PROMPTS
from edge.models import Models
from edge.openai_chunks import ApiKind, ChunkEncoder
from edge.openai_requests import ChatRequest, CompletionRequest, parse
from edge.openai_runs import ApiRun, RunCanceller, StreamedAnswer, WholeAnswer
from edge.problems import UNAVAILABLE_RETRY_MS, refuse
from edge.replies import json_reply
from edge.routes import AnyRequest, Route, arrived_s
from edge.streaming import OpenStreams

_LONG_TEXT_CHARS = 16_384


class OpenAiApi:
    """The routes under `/v1`."""

    def __init__(
        self,
        config: EdgeConfig,
        *,
        bus: Bus,
        log: TokenLog,
        codecs: Mapping[str, TextCodec],
        identity: Identity,
        models: Models,
        streams: OpenStreams,
        clock: Clock,
    ) -> None:
        self._config = config
        self._bus = bus
        self._log = log
        self._codecs = codecs
        self._identity = identity
        self._models = models
        self._streams = streams
        self._clock = clock
        self._canceller = RunCanceller(bus, clock, patience_s=config.disconnect_cancel_s)
        self._created_s = clock.now_ms() // 1000

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        return [
            Route("GET", "/v1/models", self.list_models, "OpenAI: the models"),
            Route("GET", "/v1/models/{model:str}", self.read_model, "OpenAI: one model"),
            Route(
                "POST",
                "/v1/completions",
                self.complete,
                "OpenAI: continue a text",
                CompletionRequest,
            ),
            Route("POST", "/v1/chat/completions", self.chat, "OpenAI: answer a chat", ChatRequest),
        ]

    async def list_models(self, request: AnyRequest) -> ASGIApp:
        """GET /v1/models."""
        await self._identity.caller(request)
        data = [self._model_view(model) for model in self._models.all()]
        return json_reply({"object": "list", "data": data})

    async def read_model(self, request: AnyRequest) -> ASGIApp:
        """GET /v1/models/{model}."""
        await self._identity.caller(request)
        return json_reply(self._model_view(self._models.find(request.path_params["model"])))

    async def complete(self, request: AnyRequest) -> ASGIApp:
        """POST /v1/completions."""
        caller = await self._identity.caller(request)
        body = parse(await read_bytes(request), CompletionRequest)
        model = self._models.find(body.model)
        self._models.check(model, caller.tier)
        prompt = body.one_prompt()
        if isinstance(prompt, str):
            prompt = await self._encoded(model, prompt)
        return await self._answer("completion", caller, prompt, body, arrived_s(request))

    async def chat(self, request: AnyRequest) -> ASGIApp:
        """POST /v1/chat/completions."""
        caller = await self._identity.caller(request)
        body = parse(await read_bytes(request), ChatRequest)
        model = self._models.find(body.model)
        self._models.check(model, caller.tier)
        prompt = await self._rendered(model, body.turns())
        return await self._answer("chat", caller, prompt, body, arrived_s(request))

    async def _encoded(self, model: ModelPool, text: str) -> tuple[int, ...]:
        codec = self._codecs[model.model]
        if len(text) > _LONG_TEXT_CHARS:
            return await asyncio.to_thread(codec.encode, text)
        return codec.encode(text)

    async def _rendered(self, model: ModelPool, turns: Sequence[Turn]) -> tuple[int, ...]:
        codec = self._codecs[model.model]
        if sum(len(turn.content) for turn in turns) > _LONG_TEXT_CHARS:
            return await asyncio.to_thread(codec.render_chat, turns)
        return codec.render_chat(turns)

    async def _answer(
        self,
        kind: ApiKind,
        caller: Caller,
        prompt: tuple[int, ...],
        body: CompletionRequest | ChatRequest,
        arrived: float,
    ) -> ASGIApp:
        model = self._models.find(body.model)
        max_tokens = self._room(model, len(prompt), body.wanted_tokens)
        now_ms = self._clock.now_ms()
        spec = RunSpec(
            run_id=make_id("run", now_ms, self._clock.entropy(ENTROPY_BYTES)),
            pool=model.pool,
            model=model.model,
            user_id=caller.user_id,
            prompt_tokens=prompt,
            sampling=body.sampling(max_tokens, model.sampling),
            submitted_at_ms=now_ms,
            tier=caller.tier,
        )
        self._streams.check()
        async with AsyncExitStack() as stack:
            reader = self._log.follow(spec.run_id, after=0)
            await stack.enter_async_context(reader)
            try:
                await self._submit(spec)
            except Refused as refusal:
                PROMPTS.labels("openai", refusal.problem.code).inc()
                raise
            PROMPTS.labels("openai", "accepted").inc()
            run = ApiRun(spec, reader, self._canceller, held=stack.pop_all(), arrived_s=arrived)
        encoder = ChunkEncoder(
            kind,
            run_id=spec.run_id,
            model=spec.model,
            created_s=now_ms // 1000,
            include_usage=body.include_usage,
        )
        if body.stream:
            return StreamedAnswer(run, encoder, self._streams)
        return WholeAnswer(run, encoder)

    def _room(self, model: ModelPool, prompt_tokens: int, wanted: int | None) -> int:
        """Return how many tokens may be written. Raises Refused, InvalidRequest."""
        window = self._models.context_length(model)
        if window is None:
            raise refuse(
                "unavailable",
                "The window of this model is not known yet.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            )
        if not prompt_tokens:
            raise invalid("prompt", "must not be empty")
        if prompt_tokens >= window:
            raise refuse(
                "prompt_too_long",
                f"The prompt has {prompt_tokens} tokens, the model's window {window};"
                " at least one must be left for the answer.",
            )
        if wanted is not None and wanted > window - prompt_tokens:
            raise invalid(
                "max_tokens",
                f"{wanted} new tokens after {prompt_tokens} of the prompt exceed the model's"
                f" window of {window}",
            )
        return wanted or window - prompt_tokens

    async def _submit(self, spec: RunSpec) -> None:
        data = encode(spec)
        if len(data) > self._config.command_max_bytes:
            limit = self._config.command_max_bytes
            raise refuse("too_large", f"A prompt takes at most {limit} bytes of tokens.")
        try:
            await self._bus.append(run_queue(spec.pool, spec.run_id), data, msg_id=spec.run_id)
        except StreamFull as error:
            raise refuse(
                "at_capacity", "The queue is full.", retry_after_ms=UNAVAILABLE_RETRY_MS
            ) from error
        except BusUnavailable as error:
            await self._canceller.cancel(spec.run_id, spec.pool, patience_s=0.0)
            raise refuse(
                "unavailable",
                "The message system can't be reached just now.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            ) from error

    def _model_view(self, model: ModelPool) -> dict[str, Any]:
        return {
            "id": model.model,
            "object": "model",
            "created": self._created_s,
            "owned_by": "parley",
            "max_model_len": self._models.context_length(model),
        }

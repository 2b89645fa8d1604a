"""The OpenAI-compatible API: `/v1/models`, `/v1/completions`, `/v1/chat/completions`.

An API run belongs to no chat: the edge makes its prompt, submits it to the pool's queue
itself, and follows its log to the worker's end entry. A disconnect stops it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from litestar.types import ASGIApp
from msgspec.structs import replace

from contracts.block_keys import prompt_keys
from contracts.codec import encode
from contracts.errors import BusUnavailable, Refused, StreamFull
from contracts.ids import ENTROPY_BYTES, make_id
from contracts.ports.bus import Bus
from contracts.ports.clock import Clock
from contracts.ports.text import TextCodec, Turn
from contracts.ports.token_log import TokenLog
from contracts.runs import RunSpec, Sampling
from contracts.subjects import run_queue
from edge.bodies import invalid, read_bytes
from edge.config import EdgeConfig, ModelPool
from edge.identity import Caller, Identity
from edge.metrics import PROMPTS
from edge.models import Models
from edge.openai_chunks import AnswerEncoder, ApiKind, Choice, Logprobs
from edge.openai_errors import Unsupported
from edge.openai_messages import ToolUse
from edge.openai_pictures import Lender, Loan
from edge.openai_requests import ChatRequest, CompletionRequest, parse
from edge.openai_runs import ApiRun, ApiRuns, RunCanceller, StreamedAnswer, WholeAnswer
from edge.problems import UNAVAILABLE_RETRY_MS, refuse
from edge.prompts import SEED_MAX
from edge.replies import json_reply
from edge.routes import AnyRequest, Route, arrived_s
from edge.streaming import OpenStreams
from edge.tool_calls import CLOSING, CallReader
from edge.usage import Allowances

_LONG_TEXT_CHARS = 16_384
_SEED_BYTES = 7


@dataclass(frozen=True, slots=True)
class Made:
    """A request made ready: its prompts in tokens, and what is said before each choice."""

    kind: ApiKind
    model: ModelPool
    caller: Caller
    prompts: Sequence[tuple[int, ...]]
    arrived_s: float
    echoes: Sequence[str] = ()
    use: ToolUse | None = None
    loan: Loan | None = None


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
        allowances: Allowances,
        streams: OpenStreams,
        lender: Lender,
        clock: Clock,
    ) -> None:
        self._config = config
        self._bus = bus
        self._log = log
        self._codecs = codecs
        self._identity = identity
        self._models = models
        self._allowances = allowances
        self._streams = streams
        self._lender = lender
        self._clock = clock
        self._large = 0
        self.canceller = RunCanceller(bus, clock, patience_s=config.disconnect_cancel_s)
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
            Route(
                "POST",
                "/v1/chat/completions",
                self.chat,
                "OpenAI: answer a chat",
                ChatRequest,
                body_max=self._config.pictured_body_max_bytes,
            ),
        ]

    async def list_models(self, request: AnyRequest) -> ASGIApp:
        """GET /v1/models."""
        await self._identity.caller(request)
        data = [self._model_view(model) for model in self._models.all()]
        embeds = self._config.embeddings
        if embeds is not None and all(each["id"] != embeds.model for each in data):
            data.append(self._view(embeds.model, embeds.context_length))
        return json_reply({"object": "list", "data": data})

    async def read_model(self, request: AnyRequest) -> ASGIApp:
        """GET /v1/models/{model}."""
        await self._identity.caller(request)
        name, embeds = request.path_params["model"], self._config.embeddings
        if embeds is not None and embeds.model == name:
            return json_reply(self._view(embeds.model, embeds.context_length))
        return json_reply(self._model_view(self._models.find(name)))

    async def complete(self, request: AnyRequest) -> ASGIApp:
        """POST /v1/completions."""
        caller = await self._identity.caller(request)
        body = parse(await read_bytes(request), CompletionRequest, "completion")
        model = self._models.find(body.model)
        self._models.check(model, caller.tier)
        codec = self._codecs[model.model]
        prompts = [
            await self._encoded(model, prompt) if isinstance(prompt, str) else prompt
            for prompt in body.prompts()
        ]
        echoes = [""] * len(prompts)
        if body.echo:
            echoes = [codec.decode(prompt) for prompt in prompts]
        await self.admit(request, model, caller, prompts, body.wanted_tokens)
        made = Made("completion", model, caller, prompts, arrived_s(request), echoes=echoes)
        return await self._answer(made, body)

    async def chat(self, request: AnyRequest) -> ASGIApp:
        """POST /v1/chat/completions."""
        caller = await self._identity.caller(request)
        data = await self._large_body(request)
        body = parse(data, ChatRequest, "chat")
        urls = body.pictures()
        if len(data) - sum(len(url) for _, url in urls) > self._config.body_max_bytes:
            most = self._config.body_max_bytes
            raise refuse("too_large", f"A request has at most {most} bytes beside its pictures.")
        model = self._models.find(body.model)
        self._models.check(model, caller.tier)
        use, turns = body.tool_use(), body.turns()
        sight = self._models.sight(model)
        loan = await self._lender.loan(caller.user_id, model.model, sight, urls)
        prompt = await self.rendered(model, turns, use)
        beside = 0 if loan is None else loan.tokens
        await self.admit(request, model, caller, [prompt], body.wanted_tokens, beside)
        made = Made("chat", model, caller, [prompt], arrived_s(request), use=use, loan=loan)
        return await self._answer(made, body)

    async def _large_body(self, request: AnyRequest) -> bytes:
        """Return a body that may have pictures; few of them are received at once."""
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) <= self._config.body_max_bytes:
            return await read_bytes(request)
        if self._large >= self._config.uploads.at_once:
            raise refuse(
                "at_capacity",
                "Too many pictures are coming in just now.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            )
        self._large += 1
        try:
            return await read_bytes(request)
        finally:
            self._large -= 1

    async def admit(
        self,
        request: AnyRequest,
        model: ModelPool,
        caller: Caller,
        prompts: Sequence[tuple[int, ...]],
        wanted_tokens: int | None,
        picture_tokens: int = 0,
    ) -> None:
        """Return if the caller has budget and a place for these prompts. Raises Refused."""
        await self._allowances.admit(
            request,
            model,
            user_id=caller.user_id,
            tier=caller.tier,
            prompt_tokens=sum(map(len, prompts)) + picture_tokens,
            output_tokens=wanted_tokens or 0,
        )

    async def _encoded(self, model: ModelPool, text: str) -> tuple[int, ...]:
        codec = self._codecs[model.model]
        if len(text) > _LONG_TEXT_CHARS:
            return await asyncio.to_thread(codec.encode, text)
        return codec.encode(text)

    async def rendered(
        self, model: ModelPool, turns: Sequence[Turn], use: ToolUse | None
    ) -> tuple[int, ...]:
        """Return the tokens of a conversation. Raises Unsupported where it has tools and the
        model's template has none, Refused where the template does not take it."""
        codec = self._codecs[model.model]
        if not codec.tool_form:
            if use is not None:
                raise Unsupported("tools", f"the chat template of {model.model} defines no tools")
            if any(turn.role == "tool" or turn.tool_calls for turn in turns):
                raise Unsupported(
                    "messages", f"the chat template of {model.model} knows no calls of tools"
                )
        tools = () if use is None else use.tools
        if sum(len(turn.content) for turn in turns) > _LONG_TEXT_CHARS or tools:
            return await asyncio.to_thread(codec.render_chat, turns, tools)
        return codec.render_chat(turns)

    async def _answer(self, made: Made, body: CompletionRequest | ChatRequest) -> ASGIApp:
        specs = self._specs(made, body)
        codec = self._codecs[made.model.model]
        a_prompt = body.n or 1
        choices = [
            Choice(
                index,
                spec.run_id,
                echo=made.echoes[index // a_prompt] if made.echoes else "",
                reader=None if made.use is None else CallReader(),
            )
            for index, spec in enumerate(specs)
        ]
        encoder = AnswerEncoder(
            made.kind,
            choices,
            Logprobs(made.kind, codec, wanted=body.likeliest is not None, ends=not body.ignore_eos),
            model=made.model.model,
            created_s=specs[0].submitted_at_ms // 1000,
            choices_a_prompt=a_prompt,
            include_usage=body.include_usage,
        )
        runs = await self._submitted(specs, made.arrived_s, made.loan)
        if body.stream:
            return StreamedAnswer(runs, encoder, self._streams)
        return WholeAnswer(runs, encoder)

    def _specs(self, made: Made, body: CompletionRequest | ChatRequest) -> list[RunSpec]:
        """Return a run for each choice. Raises Refused, InvalidRequest."""
        model = made.model
        now_ms = self._clock.now_ms()
        specs = []
        mark = self._codecs[model.model].picture_mark
        for prompt in made.prompts:
            pictures = () if made.loan is None else made.loan.placed(prompt, mark)
            length = len(prompt) + sum(picture.tokens for picture in pictures)
            max_tokens = self.room(model, length, body.wanted_tokens)
            sampling = self.drawn(model, body.sampling(max_tokens, model.sampling))
            if made.use is not None and made.use.one:
                sampling = replace(sampling, stop=(*sampling.stop, CLOSING))
            block_keys = prompt_keys(prompt, [(each.at, each.digest) for each in pictures])
            for number in range(body.n or 1):
                seed = sampling.seed
                if seed is not None:
                    seed = (seed + number) % (SEED_MAX + 1)
                specs.append(
                    RunSpec(
                        run_id=make_id("run", now_ms, self._clock.entropy(ENTROPY_BYTES)),
                        pool=model.pool,
                        model=model.model,
                        user_id=made.caller.user_id,
                        prompt_tokens=prompt,
                        sampling=replace(sampling, seed=seed),
                        submitted_at_ms=now_ms,
                        tier=made.caller.tier,
                        block_keys=block_keys,
                        reader=self._config.reader,
                        pictures=pictures,
                    )
                )
        return specs

    def drawn(self, model: ModelPool, sampling: Sampling) -> Sampling:
        """Return `sampling` as this model can be asked for it, and so that another worker can
        repeat it: what must be replayed there (penalties, a guide) needs a seed if it is drawn.

        Raises InvalidRequest: a token that the model does not have; a guide for an engine that
        is only simulated.
        """
        codec = self._codecs[model.model]
        for token, _ in sampling.logit_bias:
            if not codec.token_bytes(token):
                raise invalid("logit_bias", f"the model has no token {token}")
        if sampling.guide is not None and self._models.engine(model) == "sim":
            raise Unsupported("response_format", "a simulated engine can't be held to a form")
        replayed = sampling.guide or sampling.presence_penalty or sampling.frequency_penalty
        if replayed and sampling.seed is None and sampling.temperature > 0:
            seed = int.from_bytes(self._clock.entropy(_SEED_BYTES), "big")
            return replace(sampling, seed=seed)
        return sampling

    async def _submitted(
        self, specs: Sequence[RunSpec], arrived: float, loan: Loan | None
    ) -> ApiRuns:
        """Submit the runs and return them with their readers; if one is refused, none runs. The
        pictures are given back with the readers."""
        self._streams.check()
        runs: list[ApiRun] = []
        async with AsyncExitStack() as stack:
            if loan is not None:
                stack.push_async_callback(loan.end)
                await loan.begin()
            try:
                for spec in specs:
                    reader = self._log.follow(spec.run_id, after=0)
                    await stack.enter_async_context(reader)
                    await self.submit(spec)
                    runs.append(ApiRun(spec, reader))
            except Refused as refusal:
                PROMPTS.labels("openai", refusal.problem.code).inc()
                for run in runs:
                    await self.canceller.cancel(run.spec.run_id, run.spec.pool, patience_s=0.0)
                raise
            PROMPTS.labels("openai", "accepted").inc(len(runs))
            return ApiRuns(runs, self.canceller, held=stack.pop_all(), arrived_s=arrived)

    def room(
        self,
        model: ModelPool,
        prompt_tokens: int,
        wanted: int | None,
        name: str = "max_tokens",
    ) -> int:
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
                name,
                f"{wanted} new tokens after {prompt_tokens} of the prompt exceed the model's"
                f" window of {window}",
            )
        return wanted or window - prompt_tokens

    async def submit(self, spec: RunSpec) -> None:
        """Put a run into its pool's queue. Raises Refused."""
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
            await self.canceller.cancel(spec.run_id, spec.pool, patience_s=0.0)
            raise refuse(
                "unavailable",
                "The message system can't be reached just now.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            ) from error

    def _model_view(self, model: ModelPool) -> dict[str, Any]:
        return self._view(model.model, self._models.context_length(model))

    def _view(self, name: str, context_length: int | None) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": self._created_s,
            "owned_by": "parley",
            "max_model_len": context_length,
        }

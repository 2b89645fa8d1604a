"""Prompts: taken by the chat's session actor, answered as an event stream."""

from contextlib import AsyncExitStack
from hashlib import sha256
from typing import Annotated

import msgspec
from litestar.types import ASGIApp

from contracts.errors import Refused
from contracts.ids import ENTROPY_BYTES, IdKind, make_id
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.runs import Sampling
from contracts.session import PromptAccepted, SubmitPrompt
from edge.bodies import Body, invalid, path_id, read_body
from edge.chats import events_url
from edge.config import EdgeConfig
from edge.identity import Caller, Identity
from edge.metrics import PROMPTS
from edge.models import Models
from edge.ownership import Ownership
from edge.problems import InvalidRequest, refuse
from edge.replies import json_reply
from edge.routes import AnyRequest, Route, arrived_s
from edge.run_streams import RunStreams
from edge.runs import event_cursor
from edge.submissions import Submissions

TOKENS_MAX = 1_000_000
SEED_MAX = 2**63 - 1
_KEY_LENGTH_MAX = 255

StopText = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Stops = Annotated[list[StopText], msgspec.Meta(max_length=16)]


class NewPrompt(Body, frozen=True):
    """A prompt. `max_tokens` absent: what fits."""

    content: Annotated[str, msgspec.Meta(min_length=1)]
    model: str | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=TOKENS_MAX)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=SEED_MAX)] | None = None
    stop: StopText | Stops | None = None

    def sampling(self, usual: Sampling) -> Sampling:
        """Return how the answer is drawn; what the prompt does not say is as `usual`."""
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return msgspec.structs.replace(
            usual,
            max_tokens=self.max_tokens or 0,
            temperature=usual.temperature if self.temperature is None else self.temperature,
            seed=self.seed,
            stop=stop,
        )


class Prompts:
    """The route of prompts."""

    def __init__(
        self,
        config: EdgeConfig,
        *,
        history: History,
        identity: Identity,
        ownership: Ownership,
        models: Models,
        submissions: Submissions,
        run_streams: RunStreams,
        clock: Clock,
    ) -> None:
        self._config = config
        self._history = history
        self._identity = identity
        self._ownership = ownership
        self._models = models
        self._submissions = submissions
        self._run_streams = run_streams
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        path = "/chats/{chat_id:str}/messages"
        return [Route("POST", path, self.submit, "Send a prompt", NewPrompt)]

    async def submit(self, request: AnyRequest) -> ASGIApp:
        """POST /chats/{chatId}/messages."""
        caller = await self._identity.caller(request)
        chat_id = path_id(request, "chat_id", "chat")
        chat = await self._ownership.recent_chat(chat_id, caller.user_id)
        body = await read_body(request, NewPrompt)
        if not body.content.strip():
            raise invalid("content", "must not be empty")
        key = idempotency_key(request)
        named = body.model or chat.model or self._models.default
        model = self._models.find(named)
        self._models.check(model, caller.tier)
        command = self._command(chat_id, caller, body, key, body.sampling(model.sampling))
        streamed = "text/event-stream" in request.headers.get("accept", "")
        try:
            answer = await self._answer(request, command, streamed=streamed)
        except Refused as refusal:
            PROMPTS.labels("run", refusal.problem.code).inc()
            raise
        PROMPTS.labels("run", "accepted").inc()
        return answer

    async def _answer(
        self, request: AnyRequest, command: SubmitPrompt, *, streamed: bool
    ) -> ASGIApp:
        if not streamed:
            return _accepted(command.chat_id, await self._submissions.submit(command))
        self._run_streams.check()
        async with AsyncExitStack() as stack:
            reader = self._run_streams.reader(command.run_id)
            await stack.enter_async_context(reader)
            accepted = await self._submissions.submit(command)
            if accepted.run_id == command.run_id:
                return self._run_streams.begin(
                    command.chat_id,
                    accepted,
                    reader=reader,
                    held=stack.pop_all(),
                    arrived_s=arrived_s(request),
                )
        run = await self._history.run(command.chat_id, accepted.run_id)
        if run is None:
            raise refuse("not_found", "The run of this Idempotency-Key is gone.")
        return await self._run_streams.join(run, event_cursor(request))

    def _command(
        self,
        chat_id: str,
        caller: Caller,
        body: NewPrompt,
        key: str | None,
        sampling: Sampling,
    ) -> SubmitPrompt:
        now_ms = self._clock.now_ms()
        patience_s = self._config.submit_timeout_s - self._config.command_margin_s
        return SubmitPrompt(
            run_id=self._new_id("run", now_ms),
            chat_id=chat_id,
            user_id=caller.user_id,
            prompt_id=self._new_id("msg", now_ms),
            answer_id=self._new_id("msg", now_ms),
            content=body.content,
            sampling=sampling,
            submitted_at_ms=now_ms,
            expires_at_ms=now_ms + int(patience_s * 1000),
            tier=caller.tier,
            model=body.model,
            idempotency_key=key,
            body_hash=sha256(msgspec.json.encode(body)).hexdigest(),
        )

    def _new_id(self, kind: IdKind, now_ms: int) -> str:
        return make_id(kind, now_ms, self._clock.entropy(ENTROPY_BYTES))


def _accepted(chat_id: str, accepted: PromptAccepted) -> ASGIApp:
    return json_reply(
        {
            "runId": accepted.run_id,
            "messageId": accepted.answer_id,
            "promptId": accepted.prompt_id,
            "eventsUrl": events_url(chat_id, accepted.run_id),
        },
        status=202,
    )


def idempotency_key(request: AnyRequest) -> str | None:
    """Return the request's Idempotency-Key. Raises InvalidRequest for one that is no key."""
    key: str | None = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= _KEY_LENGTH_MAX and key.isprintable()):
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {_KEY_LENGTH_MAX} printable characters.",
            code="bad_request",
        )
    return key

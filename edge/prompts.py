"""Prompts: taken by the chat's session actor, answered as an event stream."""

from contextlib import AsyncExitStack
from hashlib import sha256
from typing import Annotated

import msgspec
from litestar.types import ASGIApp
from msgspec.structs import replace

from contracts.branches import ROOT
from contracts.errors import Refused
from contracts.ids import ENTROPY_BYTES, IdKind, is_id, make_id
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.records import Chat, UserSettings
from contracts.runs import Sampling
from contracts.session import PromptAccepted, SubmitPrompt
from edge.bodies import Body, invalid, path_id, read_body
from edge.chats import events_url
from edge.config import PROMPT_FILES_MAX, EdgeConfig, ModelPool
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
from edge.uploads import Uploads
from edge.usage import Allowances

TOKENS_MAX = 1_000_000
SEED_MAX = 2**63 - 1
_KEY_LENGTH_MAX = 255

StopText = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Stops = Annotated[list[StopText], msgspec.Meta(max_length=16)]


FileIds = Annotated[list[str], msgspec.Meta(max_length=PROMPT_FILES_MAX)]


class Regeneration(Body, frozen=True, kw_only=True):
    """How another answer is drawn. What is absent or null is as the chat and the user's
    settings have it; `max_tokens`: what fits. `deferrable`: under load the answer may wait for
    a calmer time instead of being refused."""

    model: str | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=TOKENS_MAX)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=SEED_MAX)] | None = None
    stop: StopText | Stops | None = None
    deferrable: bool = False

    def sampling(self, usual: Sampling, settings: UserSettings) -> Sampling:
        """Return how the answer is drawn: as said here, else as the user set it, else as
        `usual`."""
        wished = settings.temperature if self.temperature is None else self.temperature
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return replace(
            usual,
            max_tokens=self.max_tokens or 0,
            temperature=usual.temperature if wished is None else wished,
            seed=self.seed,
            stop=stop,
        )


class NewPrompt(Regeneration, frozen=True, kw_only=True):
    """A prompt. `parent_id` is the answer that it follows, null for none: so the prompt that
    followed it is edited and sent again; absent, it follows what is shown. `attachments` are
    ids of uploaded files."""

    content: Annotated[str, msgspec.Meta(min_length=1)]
    parent_id: str | msgspec.UnsetType | None = msgspec.UNSET
    attachments: FileIds | None = None


class Prompts:
    """The routes of prompts."""

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
        uploads: Uploads,
        allowances: Allowances,
        clock: Clock,
    ) -> None:
        self._config = config
        self._history = history
        self._identity = identity
        self._ownership = ownership
        self._models = models
        self._submissions = submissions
        self._run_streams = run_streams
        self._uploads = uploads
        self._allowances = allowances
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        path = "/chats/{chat_id:str}/messages"
        again = f"{path}/{{message_id:str}}/regenerate"
        return [
            Route("POST", path, self.submit, "Send a prompt", NewPrompt),
            Route("POST", again, self.regenerate, "Another answer", Regeneration),
        ]

    async def submit(self, request: AnyRequest) -> ASGIApp:
        """POST /chats/{chatId}/messages."""
        caller, chat = await self._owned(request)
        body = await read_body(request, NewPrompt)
        if not body.content.strip():
            raise invalid("content", "must not be empty")
        command = self._command(request, caller, chat, body)
        parent_id = body.parent_id
        if parent_id is not msgspec.UNSET:
            if parent_id is not None and not is_id(parent_id, "msg"):
                raise refuse("not_found", "There is no such message.")
            command = replace(command, parent_id=parent_id or ROOT)
        model = self._models.find(command.model or self._models.default)
        files = await self._uploads.attachments(
            caller.user_id, body.attachments or (), model.model, self._models.sight(model)
        )
        return await self._taken(request, replace(command, content=body.content, attachments=files))

    async def regenerate(self, request: AnyRequest) -> ASGIApp:
        """POST /chats/{chatId}/messages/{messageId}/regenerate."""
        caller, chat = await self._owned(request)
        message_id = path_id(request, "message_id", "msg")
        body = await read_body(request, Regeneration)
        command = self._command(request, caller, chat, body, about=message_id)
        answer = await self._history.message(chat.chat_id, message_id)
        if answer is None:
            raise refuse("not_found", "There is no such message.")
        if answer.role != "assistant" or not answer.parent_id:
            raise refuse("conflict", "Only an answer can be made again.")
        return await self._taken(
            request, replace(command, prompt_id=answer.parent_id, regenerate=True)
        )

    async def _owned(self, request: AnyRequest) -> tuple[Caller, Chat]:
        caller = await self._identity.caller(request)
        chat_id = path_id(request, "chat_id", "chat")
        return caller, await self._ownership.recent_chat(chat_id, caller.user_id)

    async def _taken(self, request: AnyRequest, command: SubmitPrompt) -> ASGIApp:
        streamed = "text/event-stream" in request.headers.get("accept", "")
        try:
            command = await self._allowances.placed(request, command)
            model = self._models.find(command.model or self._models.default)
            command = replace(command, sight=self._models.sight(model))
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

    def _model(self, body: Regeneration, chat: Chat, settings: UserSettings) -> ModelPool:
        """Return the model that answers: the request's, the chat's, the user's, the default;
        of the user's settings only one that is still served."""
        named = body.model or chat.model
        if named is None and settings.model in {model.model for model in self._models.all()}:
            named = settings.model
        return self._models.find(named or self._models.default)

    def _command(
        self,
        request: AnyRequest,
        caller: Caller,
        chat: Chat,
        body: Regeneration,
        *,
        about: str = "",
    ) -> SubmitPrompt:
        """Return the command, still without what is asked. Raises Refused if it has no
        chance. `about`: what the path names beside the chat."""
        model = self._model(body, chat, caller.settings)
        self._models.check(model, caller.tier)
        now_ms = self._clock.now_ms()
        patience_s = self._config.submit_timeout_s - self._config.command_margin_s
        return SubmitPrompt(
            run_id=self._new_id("run", now_ms),
            chat_id=chat.chat_id,
            user_id=caller.user_id,
            prompt_id=self._new_id("msg", now_ms),
            answer_id=self._new_id("msg", now_ms),
            content="",
            sampling=body.sampling(model.sampling, caller.settings),
            submitted_at_ms=now_ms,
            expires_at_ms=now_ms + int(patience_s * 1000),
            tier=caller.tier,
            model=model.model,
            idempotency_key=idempotency_key(request),
            body_hash=sha256(msgspec.json.encode(body) + about.encode()).hexdigest(),
            user_prompt=caller.settings.system_prompt,
            deferrable=body.deferrable,
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

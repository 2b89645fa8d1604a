"""The OpenAI-compatible responses: `/v1/responses`.

A stored response is submitted to its keeper (ADR 0021) and read from its run's log, by
whichever edge is asked; one that is not to be stored is an API run like a chat completion.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
from litestar.types import ASGIApp
from msgspec.structs import replace

from contracts.errors import BusUnavailable, LogGone, Refused
from contracts.ids import ENTROPY_BYTES, make_id
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.ports.token_log import LogReader, TokenLog
from contracts.responses import ResponseRecord, SubmitResponse
from contracts.runs import RunSpec
from contracts.session import CancelRun
from edge.bodies import invalid, page_limit, path_id, read_bytes, whole_number
from edge.config import EdgeConfig
from edge.identity import Caller, Identity
from edge.metrics import PROMPTS
from edge.models import Models
from edge.openai_api import OpenAiApi
from edge.openai_errors import Unsupported
from edge.openai_requests import parse
from edge.problems import InvalidRequest, refuse
from edge.prompts import idempotency_key
from edge.replies import json_reply
from edge.responses_requests import ResponseRequest, turns_of_items
from edge.responses_story import LAST_NUMBER, output_of, view_of
from edge.responses_stream import Followed, Sources, StreamedResponse, WholeResponse
from edge.routes import AnyRequest, Route
from edge.streaming import OpenStreams
from edge.submissions import Submissions
from edge.tool_calls import CLOSING

CHAIN_MAX = 200
_PATH = "/v1/responses/{response_id:str}"


@dataclass(frozen=True, slots=True)
class _Ready:
    """A request made ready to be submitted."""

    record: ResponseRecord
    spec: RunSpec
    stored: bool


class ResponsesApi:
    """The routes under `/v1/responses`."""

    def __init__(
        self,
        config: EdgeConfig,
        *,
        openai: OpenAiApi,
        log: TokenLog,
        history: History,
        identity: Identity,
        models: Models,
        submissions: Submissions,
        streams: OpenStreams,
        clock: Clock,
    ) -> None:
        self._config = config
        self._openai = openai
        self._log = log
        self._history = history
        self._identity = identity
        self._models = models
        self._submissions = submissions
        self._streams = streams
        self._clock = clock
        self._sources = Sources(log, history, streams)

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        following = ("stream", "starting_after")
        listing = ("after", "limit", "order")
        return [
            Route("POST", "/v1/responses", self.create, "OpenAI: respond", ResponseRequest),
            Route("GET", _PATH, self.read, "OpenAI: a response", query=following),
            Route("DELETE", _PATH, self.delete, "OpenAI: delete a response"),
            Route("POST", f"{_PATH}/cancel", self.cancel, "OpenAI: stop a response"),
            Route("GET", f"{_PATH}/input_items", self.items, "OpenAI: its input", query=listing),
        ]

    # making

    async def create(self, request: AnyRequest) -> ASGIApp:
        """POST /v1/responses."""
        caller = await self._identity.caller(request)
        data = await read_bytes(request)
        body = parse(data, ResponseRequest, "response")
        if body.background and not body.stored:
            raise Unsupported("background", "is not supported without store")
        key = idempotency_key(request) if body.stored else None
        hashed = sha256(data).hexdigest()
        if key is not None:
            made = await self._history.response_by_key(caller.user_id, key)
            if made is not None:
                return await self._replay(made, hashed, body)
        ready = await self._ready(request, caller, body, key, hashed)
        model, prompt = self._models.find(ready.spec.model), ready.spec.prompt_tokens
        await self._openai.admit(request, model, caller, [prompt], body.max_output_tokens)
        try:
            answer = await self._submit(ready, body)
        except Refused as refusal:
            PROMPTS.labels("openai", refusal.problem.code).inc()
            if key is not None and refusal.problem.code == "conflict":
                made = await self._history.response_by_key(caller.user_id, key)
                if made is not None:
                    return await self._replay(made, hashed, body)
            raise
        PROMPTS.labels("openai", "accepted").inc()
        return answer

    async def _replay(self, made: ResponseRecord, hashed: str, body: ResponseRequest) -> ASGIApp:
        """Answer as the first request with this key was answered."""
        if made.body_hash != hashed:
            raise refuse("idempotency_mismatch", "The Idempotency-Key was used before.")
        if body.background and not body.stream:
            return json_reply(await self._standing(made))
        followed = await self._joined(made)
        if body.stream:
            return StreamedResponse(followed, self._streams, None)
        return WholeResponse(followed)

    async def _ready(
        self,
        request: AnyRequest,
        caller: Caller,
        body: ResponseRequest,
        key: str | None,
        hashed: str,
    ) -> _Ready:
        """Return the record and the run of a request. Raises Refused, InvalidRequest."""
        model = self._models.find(body.model)
        self._models.check(model, caller.tier)
        now_ms = self._clock.now_ms()
        response_id = make_id("resp", now_ms, self._clock.entropy(ENTROPY_BYTES))
        items = body.items(response_id)
        before = await self._before(caller, body.previous_response_id)
        turns = turns_of_items([*before, *items])
        if body.instructions:
            turns = [*turns_of_items([_instructions(body.instructions)]), *turns]
        use = body.tool_use()
        prompt = await self._openai.rendered(model, turns, use)
        room = self._openai.room(model, len(prompt), body.max_output_tokens, "max_output_tokens")
        await self._openai.admit(request, model, caller, [prompt], body.max_output_tokens)
        sampling = self._openai.drawn(model, body.sampling(room, model.sampling))
        if use is not None and use.one:
            sampling = replace(sampling, stop=(*sampling.stop, CLOSING))
        record = ResponseRecord(
            response_id=response_id,
            user_id=caller.user_id,
            run_id=make_id("run", now_ms, self._clock.entropy(ENTROPY_BYTES)),
            model=model.model,
            created_at_ms=now_ms,
            request=msgspec.json.encode(body.told(sampling)).decode(),
            items=msgspec.json.encode(items).decode(),
            previous_id=body.previous_response_id,
            background=bool(body.background),
            idempotency_key=key,
            body_hash=hashed,
        )
        spec = RunSpec(
            run_id=record.run_id,
            pool=model.pool,
            model=model.model,
            user_id=caller.user_id,
            prompt_tokens=prompt,
            sampling=sampling,
            submitted_at_ms=now_ms,
            tier=caller.tier,
            chat_id=response_id if body.stored else None,
            message_id=response_id,
            reader="" if body.background else self._config.reader,
        )
        return _Ready(record, spec, body.stored)

    async def _before(self, caller: Caller, previous_id: str | None) -> list[dict[str, Any]]:
        """Return the items of the conversation that a response goes on from."""
        links: list[list[dict[str, Any]]] = []
        while previous_id is not None:
            if len(links) == CHAIN_MAX:
                raise invalid("previous_response_id", f"has more than {CHAIN_MAX} before it")
            record = await self._history.response(previous_id)
            if record is None or record.user_id != caller.user_id:
                raise invalid("previous_response_id", f"there is no response {previous_id[:60]}")
            if record.state == "active":
                raise invalid("previous_response_id", "has not ended yet")
            links.append([*msgspec.json.decode(record.items), *output_of(record)])
            previous_id = record.previous_id
        return [item for link in reversed(links) for item in link]

    async def _submit(self, ready: _Ready, body: ResponseRequest) -> ASGIApp:
        record = ready.record
        if body.background and not body.stream:
            await self._submissions.submit(self._command(ready))
            return json_reply(view_of(record))
        self._streams.check()
        async with AsyncExitStack() as stack:
            reader = await stack.enter_async_context(self._log.follow(record.run_id, after=0))
            if ready.stored:
                await self._submissions.submit(self._command(ready))
            else:
                await self._openai.submit(ready.spec)
            followed = Followed(
                self._sources,
                record,
                reader=reader,
                held=stack.pop_all(),
                stored=ready.stored,
                abandon=None if record.background else self._stopper(ready),
            )
        if body.stream:
            return StreamedResponse(followed, self._streams, None)
        return WholeResponse(followed)

    def _command(self, ready: _Ready) -> SubmitResponse:
        patience_s = self._config.submit_timeout_s - self._config.command_margin_s
        return SubmitResponse(
            record=ready.record,
            spec=ready.spec,
            expires_at_ms=ready.record.created_at_ms + int(patience_s * 1000),
        )

    def _stopper(self, ready: _Ready) -> Callable[[], Awaitable[None]]:
        async def stop() -> None:
            if ready.stored:
                await self._stop(ready.record)
            else:
                await self._openai.canceller.cancel(ready.spec.run_id, ready.spec.pool)

        return stop

    async def _stop(self, record: ResponseRecord) -> None:
        """Have the run stopped; return when it is, or known to be on the way."""
        command = CancelRun(
            run_id=record.run_id, chat_id=record.response_id, user_id=record.user_id
        )
        try:
            await self._submissions.cancel(command)
        except BusUnavailable:
            # Nobody reads it; it ends by itself, within its token limit.
            return

    # reading

    async def _own(self, request: AnyRequest) -> ResponseRecord:
        caller = await self._identity.caller(request)
        record = await self._history.response(path_id(request, "response_id", "resp"))
        if record is None or record.user_id != caller.user_id:
            raise refuse("not_found", "There is no such response.")
        return record

    async def _standing(self, record: ResponseRecord) -> dict[str, Any]:
        """Return the response as it stands now."""
        began = False
        if record.state == "active":
            with suppress(LogGone, BusUnavailable):
                began = (await self._log.read(record.run_id)).started is not None
        return view_of(record, began=began)

    async def read(self, request: AnyRequest) -> ASGIApp:
        """GET /v1/responses/{responseId}."""
        record = await self._own(request)
        after = _starting_after(request)
        if request.query_params.get("stream") in (None, "false"):
            if after is not None:
                raise invalid("starting_after", "needs stream=true")
            return json_reply(await self._standing(record))
        self._streams.check()
        return StreamedResponse(await self._joined(record), self._streams, after)

    async def _joined(self, record: ResponseRecord) -> Followed:
        """Return a stored response to be followed from its log's beginning."""
        async with AsyncExitStack() as stack:
            reader: LogReader | None = None
            if record.state == "active" or await self._logged(record):
                reader = await stack.enter_async_context(self._log.follow(record.run_id, after=0))
            return Followed(self._sources, record, reader=reader, held=stack.pop_all(), stored=True)

    async def _logged(self, record: ResponseRecord) -> bool:
        """Say whether the log of an ended response still has something."""
        try:
            return (await self._log.read(record.run_id)).next_seq > 1
        except (LogGone, BusUnavailable):
            return False

    async def items(self, request: AnyRequest) -> ASGIApp:
        """GET /v1/responses/{responseId}/input_items: newest first unless `order=asc`."""
        record = await self._own(request)
        found: list[dict[str, Any]] = msgspec.json.decode(record.items)
        order = request.query_params.get("order", "desc")
        if order not in ("asc", "desc"):
            raise invalid("order", "must be asc or desc")
        if order == "desc":
            found.reverse()
        after = request.query_params.get("after")
        if after is not None:
            places = [place for place, item in enumerate(found) if item["id"] == after]
            if not places:
                raise invalid("after", "is none of its items")
            found = found[places[0] + 1 :]
        limit = page_limit(request)
        page = found[:limit]
        return json_reply(
            {
                "object": "list",
                "data": page,
                "first_id": page[0]["id"] if page else None,
                "last_id": page[-1]["id"] if page else None,
                "has_more": len(found) > limit,
            }
        )

    # ending

    async def cancel(self, request: AnyRequest) -> ASGIApp:
        """POST /v1/responses/{responseId}/cancel."""
        record = await self._own(request)
        if not record.background:
            raise InvalidRequest("Only a response made with background can be cancelled.")
        if record.state == "active":
            await self._stop(record)
            record = await self._history.response(record.response_id) or record
        return json_reply(await self._standing(record))

    async def delete(self, request: AnyRequest) -> ASGIApp:
        """DELETE /v1/responses/{responseId}: one that runs is stopped first."""
        record = await self._own(request)
        response_id = record.response_id
        if record.state == "active":
            await self._stop(record)
            now = await self._history.response(response_id)
            if now is not None and now.state == "active":
                raise refuse("run_active", "It is being stopped; delete it again.")
        await self._history.delete_response(response_id)
        return json_reply({"id": response_id, "object": "response", "deleted": True})


def _instructions(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "system", "content": [{"text": text}]}


def _starting_after(request: AnyRequest) -> int | None:
    text = request.query_params.get("starting_after")
    if text is None:
        return None
    number = whole_number(text, most=LAST_NUMBER)
    if number is None:
        raise invalid("starting_after", "must be the sequence_number of an event")
    return number

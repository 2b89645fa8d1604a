"""Runs: how one stands, its events, stopping it."""

from typing import Any

from litestar.types import ASGIApp

from contracts.codec import decode, encode
from contracts.errors import BusError, Refused
from contracts.ports.bus import Bus
from contracts.ports.history import History
from contracts.records import RunRecord
from contracts.scheduling import DescribeRun, RunList, RunView
from contracts.session import CancelRun
from contracts.subjects import scheduler_requests
from edge.bodies import path_id, whole_number
from edge.chats import events_url
from edge.config import EdgeConfig
from edge.identity import Identity
from edge.models import Models
from edge.ownership import Ownership
from edge.problems import FieldError, InvalidRequest, problem_document, refuse
from edge.replies import json_reply, rfc3339
from edge.routes import AnyRequest, Route
from edge.run_history import LAST_ID
from edge.run_streams import RunStreams
from edge.submissions import Submissions

_RUN = "/chats/{chat_id:str}/runs/{run_id:str}"


class Runs:
    """The routes of runs."""

    def __init__(
        self,
        config: EdgeConfig,
        *,
        bus: Bus,
        history: History,
        identity: Identity,
        ownership: Ownership,
        models: Models,
        submissions: Submissions,
        run_streams: RunStreams,
    ) -> None:
        self._config = config
        self._bus = bus
        self._history = history
        self._identity = identity
        self._ownership = ownership
        self._models = models
        self._submissions = submissions
        self._run_streams = run_streams

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        return [
            Route("GET", _RUN, self.read, "How a run stands"),
            Route("GET", f"{_RUN}/events", self.events, "Its event stream", query=("after",)),
            Route("POST", f"{_RUN}/cancel", self.cancel, "Stop it"),
        ]

    async def read(self, request: AnyRequest) -> ASGIApp:
        """GET /chats/{chatId}/runs/{runId}."""
        run = await self._owned(request)
        view: dict[str, Any] = {
            "runId": run.run_id,
            "chatId": run.chat_id,
            "messageId": run.answer_id,
            "model": run.model,
            "status": run.state,
            "usage": run.usage,
            "createdAt": rfc3339(run.created_at_ms),
            "eventsUrl": events_url(run.chat_id, run.run_id),
        }
        if run.state == "active":
            live = await self._describe(run)
            if live is not None:
                view.update(
                    status=live.state,
                    position=live.position,
                    etaMs=live.eta_ms,
                    tokens=live.tokens,
                    usage=live.usage,
                )
            return json_reply(view)
        view["finishReason"] = run.finish_reason
        if run.ended_at_ms is not None:
            view["endedAt"] = rfc3339(run.ended_at_ms)
        if run.error is not None:
            view["error"] = problem_document(run.error)
        return json_reply(view)

    async def events(self, request: AnyRequest) -> ASGIApp:
        """GET /chats/{chatId}/runs/{runId}/events."""
        run = await self._owned(request)
        after = event_cursor(request)
        self._run_streams.check()
        return await self._run_streams.join(run, after)

    async def cancel(self, request: AnyRequest) -> ASGIApp:
        """POST /chats/{chatId}/runs/{runId}/cancel. Also of a run that nobody has heard of
        yet: its prompt may be on the way."""
        caller = await self._identity.caller(request)
        chat_id = path_id(request, "chat_id", "chat")
        run_id = path_id(request, "run_id", "run")
        await self._ownership.recent_chat(chat_id, caller.user_id)
        reply = await self._submissions.cancel(
            CancelRun(run_id=run_id, chat_id=chat_id, user_id=caller.user_id)
        )
        if reply is None:
            return json_reply({"runId": run_id, "status": "cancelling"}, status=202)
        if reply.status == "unknown":
            raise _no_run()
        return json_reply({"runId": run_id, "status": reply.state})

    async def _owned(self, request: AnyRequest) -> RunRecord:
        caller = await self._identity.caller(request)
        chat_id = path_id(request, "chat_id", "chat")
        run_id = path_id(request, "run_id", "run")
        await self._ownership.recent_chat(chat_id, caller.user_id)
        run = await self._history.run(chat_id, run_id)
        if run is None:
            raise _no_run()
        return run

    async def _describe(self, run: RunRecord) -> RunView | None:
        """Ask the pool's scheduler; history alone says "active" when it has no answer."""
        try:
            pool = self._models.find(run.model).pool
            data = await self._bus.request(
                scheduler_requests(pool),
                encode(DescribeRun(run_id=run.run_id)),
                timeout_s=self._config.describe_timeout_s,
            )
        except (BusError, Refused):
            return None
        runs = decode(data, RunList).runs
        return runs[0] if runs else None


def event_cursor(request: AnyRequest) -> int | None:
    """Return where the client stands: `Last-Event-ID` (what an EventSource sends when it
    reconnects, to an address that may still say `after`), else `?after=`, else None."""
    text = request.headers.get("last-event-id") or request.query_params.get("after")
    if not text:
        return None
    after = whole_number(text, most=LAST_ID)
    if after is None:
        raise InvalidRequest(
            "The event cursor must be an id that this stream gave.",
            (FieldError(field="after", message="must be a whole number from 0"),),
            code="bad_request",
        )
    return after


def _no_run() -> Refused:
    return refuse("not_found", "There is no such run.")

"""What every request gets: an id, security headers, a line in the log, a count."""

import time
from typing import Any

import structlog
from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import HTTPScope, Message, Receive, Scope, Send

from contracts.ids import ENTROPY_BYTES, make_id
from contracts.ports.clock import Clock
from edge.metrics import REQUESTS
from edge.openai_errors import openai_marks
from edge.page import SECURITY_HEADERS
from edge.streaming import OpenStreams

_log = structlog.get_logger()
_QUIET_ROUTES = frozenset(("/healthz", "/readyz", "/metrics"))


class EdgeApp(Litestar):
    """The application. Wraps the whole of Litestar, so that also what routing refuses has an
    id, the headers and a line in the log."""

    def __init__(self, *, clock: Clock, streams: OpenStreams, **options: Any) -> None:
        super().__init__(**options)
        self._clock = clock
        self.streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Serve one connection (ASGI)."""
        if scope["type"] != ScopeType.HTTP:
            await super().__call__(scope, receive, send)
            return
        request_id = make_id("req", self._clock.now_ms(), self._clock.entropy(ENTROPY_BYTES))
        headers = [*SECURITY_HEADERS, (b"x-request-id", request_id.encode())]
        began = time.monotonic()
        state = {"request_id": request_id, "arrived_s": began}
        scope["state"] = {**scope.get("state", {}), **state}
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                told = scope["state"].get("reply_headers", ())
                marks: list[tuple[bytes, bytes]] = []
                if scope["path"].startswith("/v1/"):
                    marks = openai_marks(round((time.monotonic() - began) * 1000))
                message["headers"] = [*message["headers"], *headers, *told, *marks]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await super().__call__(scope, receive, send_with_headers)
            finally:
                self._record(scope, status, time.monotonic() - began)

    def _record(self, scope: HTTPScope, status: int, took_s: float) -> None:
        route = str(scope.get("path_template") or "unrouted")
        method = scope["method"]
        REQUESTS.labels(method, route, str(status)).inc()
        if route not in _QUIET_ROUTES:
            _log.info(
                "request.done",
                method=method,
                route=route,
                status=status,
                took_ms=round(took_s * 1000, 1),
            )

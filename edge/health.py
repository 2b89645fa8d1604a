"""Is this process alive, would it answer a prompt, what has it counted."""

from litestar.types import ASGIApp
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from contracts.errors import HistoryUnavailable
from contracts.ports.bus import Bus
from contracts.ports.clock import Clock
from contracts.ports.history import History
from edge.models import Models
from edge.problems import UNAVAILABLE_RETRY_MS, refuse
from edge.replies import BytesReply, json_reply
from edge.routes import AnyRequest, Route

_PING_FRESH_MS = 1_000


class Health:
    """The routes of operators and load balancers. They need no proof of who asks: a load
    balancer has none, and the metrics name no user."""

    def __init__(self, bus: Bus, history: History, models: Models, clock: Clock) -> None:
        self._bus = bus
        self._history = history
        self._models = models
        self._clock = clock
        self._pinged_at_ms: int | None = None

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        return [
            Route("GET", "/healthz", self.healthz, "This process is alive", public=True),
            Route("GET", "/readyz", self.readyz, "A prompt would be answered", public=True),
            Route("GET", "/metrics", self.metrics, "Prometheus metrics", public=True),
        ]

    async def healthz(self, request: AnyRequest) -> ASGIApp:  # noqa: ARG002
        """GET /healthz."""
        return json_reply({"status": "alive"})

    async def readyz(self, request: AnyRequest) -> ASGIApp:  # noqa: ARG002
        """GET /readyz: the bus, history, and a ready worker in every pool."""
        missing = []
        if not self._bus.connected:
            missing.append("the message system can't be reached")
        if not await self._history_answers():
            missing.append("history can't be reached")
        missing += [f"pool {pool} has no ready worker" for pool in self._models.missing()]
        if missing:
            raise refuse(
                "unavailable",
                "Not ready: " + "; ".join(missing) + ".",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            )
        return json_reply({"status": "ready"})

    async def metrics(self, request: AnyRequest) -> ASGIApp:  # noqa: ARG002
        """GET /metrics."""
        return BytesReply(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST.encode())

    async def _history_answers(self) -> bool:
        now_ms = self._clock.monotonic_ms()
        if self._pinged_at_ms is not None and now_ms - self._pinged_at_ms < _PING_FRESH_MS:
            return True
        try:
            await self._history.ping()
        except HistoryUnavailable:
            self._pinged_at_ms = None
            return False
        self._pinged_at_ms = now_ms
        return True

"""The models that clients may name, and whether their pools can take a prompt now."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from litestar.types import ASGIApp

from contracts.codec import decode
from contracts.errors import BadMessage, Problem, Refused
from contracts.ports.bus import Bus, Inbound, Subscription
from contracts.ports.clock import Clock
from contracts.runs import Sight, Tier
from contracts.scheduling import PoolStatus
from contracts.subjects import POOL_STATUS_FILTER
from edge.config import EdgeConfig, ModelPool
from edge.identity import Identity
from edge.metrics import BAD_MESSAGES
from edge.problems import UNAVAILABLE_RETRY_MS, refuse
from edge.replies import json_reply
from edge.routes import AnyRequest, Route

_SIGHT = "vision"
"""The ability that is told by the workers, whatever the configuration says."""


@dataclass(frozen=True, slots=True)
class HeardStatus:
    """A pool's status and when it came, on the monotonic clock."""

    status: PoolStatus
    at_ms: int


class PoolBoard:
    """The last status of each pool. Pure: what was heard, and the judgement on it."""

    def __init__(self, pools: Sequence[str], *, silence_ms: int) -> None:
        self._pools = frozenset(pools)
        self._silence_ms = silence_ms
        self._heard: dict[str, HeardStatus] = {}

    def hear(self, status: PoolStatus, now_ms: int) -> None:
        """Take note, unless it comes from a scheduler that another has replaced."""
        if status.pool not in self._pools:
            return
        last = self._heard.get(status.pool)
        if last and status.epoch < last.status.epoch and now_ms - last.at_ms < self._silence_ms:
            return
        self._heard[status.pool] = HeardStatus(status, now_ms)

    def current(self, pool: str, now_ms: int) -> PoolStatus | None:
        """Return the status if it is recent enough to act on."""
        heard = self._heard.get(pool)
        if heard is None or now_ms - heard.at_ms >= self._silence_ms:
            return None
        return heard.status

    def complete(self) -> bool:
        """Say whether every pool has been heard."""
        return len(self._heard) == len(self._pools)

    def last(self, pool: str) -> PoolStatus | None:
        """Return the last status, however old."""
        heard = self._heard.get(pool)
        return heard.status if heard else None

    def obstacle(self, pool: str, now_ms: int) -> Problem | None:
        """Return why no prompt can be taken now, None if some can."""
        status = self.current(pool, now_ms)
        if status is None:
            return Problem(
                code="unavailable",
                detail="The scheduler of this model is silent; it is being replaced.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            )
        if not status.healthy:
            return Problem(
                code="no_worker",
                detail="No worker for this model is ready.",
                retry_after_ms=max(status.retry_after_ms, UNAVAILABLE_RETRY_MS),
            )
        return None

    def full(self, pool: str, tier: Tier, now_ms: int) -> Problem | None:
        """Return why a prompt of `tier` can't be taken though the pool works, None if it can."""
        status = self.current(pool, now_ms)
        if status is None or status.admit.get(tier, True):
            return None
        wait_ms = max(status.retry_after_ms, 1)
        return Problem(
            code="at_capacity",
            detail=f"All places are taken; try again in {-(-wait_ms // 1000)} s.",
            retry_after_ms=wait_ms,
        )

    def asks(self, pool: str, tier: Tier, now_ms: int) -> bool:
        """Say whether the scheduler wants to be asked about this tier's prompts."""
        status = self.current(pool, now_ms)
        return status is not None and tier in status.ask

    def faster(self, pool: str, other: str, tier: Tier, now_ms: int) -> bool:
        """Say whether prompts of `tier` are to be sent to `other` instead: this pool asks for
        it, and a newcomer waits less there."""
        here, there = self.current(pool, now_ms), self.current(other, now_ms)
        if here is None or there is None or tier not in here.downgrade or not there.healthy:
            return False
        wait_ms = (there.waits_ms or {}).get(tier, 0)
        return there.admit.get(tier, True) and wait_ms < (here.waits_ms or {}).get(tier, 0)


class Models:
    """Knows the models, listens to their pools, and refuses prompts that have no chance."""

    def __init__(self, config: EdgeConfig, bus: Bus, identity: Identity, clock: Clock) -> None:
        self._bus = bus
        self._identity = identity
        self._clock = clock
        self._models = {model.model: model for model in config.models}
        self.default = config.default_model or config.models[0].model
        self._board = PoolBoard(
            [model.pool for model in config.models],
            silence_ms=int(config.status_silence_s * 1000),
        )
        self._first_status_s = config.first_status_s
        self._complete = asyncio.Event()

    async def listen(self) -> Subscription:
        """Begin to hear the pools; return once each was heard, or did not speak for
        `first_status_s`: an edge that is started again refuses nobody because it is new."""
        subscription = await self._bus.subscribe(POOL_STATUS_FILTER, self._hear)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._first_status_s):
                await self._complete.wait()
        return subscription

    def _hear(self, message: Inbound) -> None:
        try:
            status = decode(message.data, PoolStatus)
        except BadMessage:
            BAD_MESSAGES.labels("pool_status").inc()
            return
        self._board.hear(status, self._clock.monotonic_ms())
        if self._board.complete():
            self._complete.set()

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        return [Route("GET", "/models", self.list_models, "The models and their health")]

    async def list_models(self, request: AnyRequest) -> ASGIApp:
        """GET /models."""
        await self._identity.caller(request)
        now_ms = self._clock.monotonic_ms()
        data = []
        for model in self._models.values():
            status = self._board.last(model.pool)
            current = self._board.current(model.pool, now_ms)
            healthy = self._bus.connected and current is not None and current.healthy
            calm = current is None or current.level == "normal"
            data.append(
                {
                    "id": model.model,
                    "pool": model.pool,
                    "contextLength": self.context_length(model),
                    "engine": status.engine if status else None,
                    "description": model.description or None,
                    "abilities": self._abilities(model),
                    "demonstration": model.demonstration,
                    "default": model.model == self.default,
                    "healthy": healthy,
                    "health": "ready" if healthy else "no_worker" if current else "unavailable",
                    "level": None if current is None or calm else current.level,
                    "queued": current.queued if current else None,
                    "running": current.running if current else None,
                }
            )
        return json_reply({"data": data})

    def all(self) -> Sequence[ModelPool]:
        """Return every model, in the order of the configuration."""
        return tuple(self._models.values())

    def find(self, name: str) -> ModelPool:
        """Return the model of this name. Raises Refused (404 `unknown_model`)."""
        model = self._models.get(name)
        if model is None:
            known = ", ".join(self._models)
            raise refuse(
                "unknown_model", f"There is no model {name[:100]!r} here; there is {known}."
            )
        return model

    def sight(self, model: ModelPool) -> Sight | None:
        """Return what the model sees of pictures, by what its pool said last; None: nothing."""
        status = self._board.last(model.pool)
        return status.sight if status else None

    def _abilities(self, model: ModelPool) -> dict[str, bool]:
        abilities = {each: True for each in model.abilities if each != _SIGHT}
        return abilities | ({_SIGHT: True} if self.sight(model) is not None else {})

    def engine(self, model: ModelPool) -> str | None:
        """Return what kind of engine serves the model, None while unknown."""
        status = self._board.last(model.pool)
        return status.engine if status else None

    def context_length(self, model: ModelPool) -> int | None:
        """Return the window in tokens, None while unknown."""
        status = self._board.last(model.pool)
        return model.context_length or (status.context_length if status else 0) or None

    def check(self, model: ModelPool, tier: Tier) -> None:
        """Return if a prompt of `tier` might be taken now, judging by what was broadcast: no
        await, nothing stored. Where the scheduler wants to be asked, it judges who gets a
        place. Raises Refused (503)."""
        if not self._bus.connected:
            raise refuse(
                "unavailable",
                "The message system can't be reached just now.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            )
        obstacle = self._board.obstacle(model.pool, self._clock.monotonic_ms())
        if obstacle is not None:
            raise Refused(obstacle)
        if not self.asks(model, tier):
            self.check_place(model, tier)

    def check_place(self, model: ModelPool, tier: Tier) -> None:
        """Return if there was a place for a prompt of `tier` when the pool last said how it
        stands. Raises Refused (503 `at_capacity`)."""
        full = self._board.full(model.pool, tier, self._clock.monotonic_ms())
        if full is not None:
            raise Refused(full)

    def asks(self, model: ModelPool, tier: Tier) -> bool:
        """Say whether the pool's scheduler wants to be asked before a prompt is submitted."""
        return self._board.asks(model.pool, tier, self._clock.monotonic_ms())

    def faster(self, model: ModelPool, tier: Tier) -> ModelPool | None:
        """Return the smaller model that a prompt of `tier` is better sent to now, None if there
        is none: its pool is pressed, may downgrade the tier, and has a fallback that is
        faster."""
        for other in self._models.values():
            if other.pool == model.fallback:
                now_ms = self._clock.monotonic_ms()
                better = self._board.faster(model.pool, other.pool, tier, now_ms)
                return other if better else None
        return None

    def missing(self) -> list[str]:
        """Return the pools that have no ready worker now."""
        now_ms = self._clock.monotonic_ms()
        return [
            model.pool
            for model in self._models.values()
            if not ((status := self._board.current(model.pool, now_ms)) and status.healthy)
        ]

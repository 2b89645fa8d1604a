"""What callers may still do: asked of the pools' schedulers, told in `GET /usage` and headers.

All numbers are the scheduler's own (ADR 0013). It is asked before a prompt is stored wherever
its status says that somebody might be refused; who is not answered in time goes by the status,
and the run is judged once more when it is queued.
"""

import math
from typing import Any

import msgspec
from litestar.types import ASGIApp

from contracts.codec import decode, encode
from contracts.errors import BadMessage, BusError, Refused
from contracts.ports.bus import Bus
from contracts.ports.clock import Clock
from contracts.runs import Tier
from contracts.scheduling import Allowance, AskAllowance, BudgetView
from contracts.session import SubmitPrompt
from contracts.subjects import scheduler_requests
from edge.config import EdgeConfig, ModelPool
from edge.expiring import ExpiringCache
from edge.identity import Caller, Identity
from edge.metrics import BAD_MESSAGES
from edge.models import Models
from edge.problems import UNAVAILABLE_RETRY_MS, refuse
from edge.replies import json_reply, rfc3339
from edge.routes import AnyRequest, Route

_UNIT = "micro-gpu-seconds"
_CHARS_PER_TOKEN = 4
_LAST_MS = 60_000
_USAGE_TIMEOUT_S = 1.0

Headers = list[tuple[bytes, bytes]]


class Allowances:
    """Asks the schedulers for a caller, and remembers the last answers for a minute."""

    def __init__(
        self, config: EdgeConfig, bus: Bus, identity: Identity, models: Models, clock: Clock
    ) -> None:
        self._config = config
        self._bus = bus
        self._identity = identity
        self._models = models
        self._clock = clock
        self._last: ExpiringCache[tuple[str, str], Allowance] = ExpiringCache(
            size=config.lookups_max, ttl_ms=_LAST_MS
        )

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        return [Route("GET", "/usage", self.usage, "What one may still spend and do at once")]

    async def usage(self, request: AnyRequest) -> ASGIApp:
        """GET /usage."""
        caller = await self._identity.caller(request)
        pools = []
        for model in self._models.all():
            allowance = await self._known(caller, model)
            if allowance is not None:
                pools.append({"pool": model.pool, "model": model.model, **self._view(allowance)})
        if not pools:
            raise refuse(
                "unavailable",
                "No scheduler answers just now.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            )
        usual = next((p for p in pools if p["model"] == self._models.default), pools[0])
        figures = {name: usual[name] for name in ("concurrency", "budget")}
        return json_reply({"tier": caller.tier, **figures, "pools": pools})

    async def placed(self, request: AnyRequest, command: SubmitPrompt) -> SubmitPrompt:
        """Return the command as it is to be submitted: with the smaller model where this one is
        pressed, the caller's tier may be downgraded, and it is faster there.

        Raises Refused: the caller has no budget or no place now; nothing was stored.
        """
        model = self._models.find(command.model or self._models.default)
        smaller = self._models.faster(model, command.tier)
        pictures = sum(file.kind == "image" for file in command.attachments)
        if smaller is not None and (not pictures or self._shows(smaller, pictures)):
            model = smaller
            degraded = (*command.degraded, "downgraded")
            command = msgspec.structs.replace(command, model=model.model, degraded=degraded)
        await self.admit(
            request,
            model,
            user_id=command.user_id,
            tier=command.tier,
            prompt_tokens=-(-len(command.content) // _CHARS_PER_TOKEN)
            + pictures * self._picture_tokens(model),
            output_tokens=command.sampling.max_tokens,
            deferrable=command.deferrable,
        )
        return command

    def _shows(self, model: ModelPool, pictures: int) -> bool:
        sight = self._models.sight(model)
        return sight is not None and pictures <= sight.pictures

    def _picture_tokens(self, model: ModelPool) -> int:
        sight = self._models.sight(model)
        return 0 if sight is None else sight.tokens

    async def admit(
        self,
        request: AnyRequest,
        model: ModelPool,
        *,
        user_id: str,
        tier: Tier,
        prompt_tokens: int,
        output_tokens: int,
        deferrable: bool = False,
    ) -> None:
        """Return if a run of this size would be taken now; the answer gets the headers of what
        is left.

        Raises Refused: 429 `over_budget` or `rate_limited`, 503 `at_capacity`, each with the
        time after which it is expected to be taken.
        """
        if not self._models.asks(model, tier):
            return
        ask = AskAllowance(
            user_id=user_id,
            tier=tier,
            wanted=True,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            deferrable=deferrable,
        )
        allowance = await self._ask(model.pool, ask, self._config.ask_timeout_s)
        if allowance is None:
            self._models.check_place(model, tier)
            return
        openai = request.scope["path"].startswith("/v1/")
        headers = openai_headers(allowance) if openai else rate_limit_headers(allowance)
        request.scope["state"]["reply_headers"] = headers
        if allowance.problem is not None:
            raise Refused(allowance.problem)

    async def _known(self, caller: Caller, model: ModelPool) -> Allowance | None:
        ask = AskAllowance(user_id=caller.user_id, tier=caller.tier)
        allowance = await self._ask(model.pool, ask, _USAGE_TIMEOUT_S)
        if allowance is not None:
            return allowance
        return self._last.get((caller.user_id, model.pool), self._clock.monotonic_ms())

    async def _ask(self, pool: str, ask: AskAllowance, seconds: float) -> Allowance | None:
        """Return the scheduler's answer, None if there is none in time."""
        try:
            data = await self._bus.request(scheduler_requests(pool), encode(ask), timeout_s=seconds)
            allowance = decode(data, Allowance)
        except BadMessage:
            BAD_MESSAGES.labels("allowance").inc()
            return None
        except BusError:
            return None
        self._last.put((ask.user_id, pool), allowance, self._clock.monotonic_ms())
        return allowance

    def _view(self, allowance: Allowance) -> dict[str, Any]:
        budget = allowance.budget
        concurrency = {
            "limit": allowance.concurrency or None,
            "running": allowance.running,
            "waiting": allowance.waiting,
        }
        if budget is None:
            return {"concurrency": concurrency, "budget": None}
        return {
            "concurrency": concurrency,
            "budget": {
                "limit": budget.limit,
                "remaining": budget.remaining,
                "unit": _UNIT,
                "refillPerSecond": budget.refill_per_second,
                "fullAt": rfc3339(self._clock.now_ms() + budget.full_in_ms),
            },
        }


def rate_limit_headers(allowance: Allowance) -> Headers:
    """Return `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10): the
    budget in micro-GPU-seconds, and runs at once. Nothing where there is no limit."""
    policies, limits = [], []
    budget = allowance.budget
    if budget is not None:
        window_s = -(-budget.limit // budget.refill_per_second)
        policies.append(f'"budget";q={budget.limit};qu="{_UNIT}";w={window_s}')
        limits.append(f'"budget";r={max(0, budget.remaining)};t={_reset_s(allowance, budget)}')
    if allowance.concurrency:
        free = max(0, allowance.concurrency - allowance.running)
        policies.append(f'"concurrency";q={allowance.concurrency};qu="concurrent-requests"')
        limits.append(f'"concurrency";r={free}')
    if not policies:
        return []
    return [
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(limits).encode()),
    ]


def openai_headers(allowance: Allowance) -> Headers:
    """Return `x-ratelimit-*` as that API's clients know them: the budget as the output tokens
    that it pays for, and runs at once as requests. Nothing where there is no limit."""
    headers: Headers = []
    budget = allowance.budget
    if budget is not None:
        token = max(1, budget.token_cost)
        headers += [
            (b"x-ratelimit-limit-tokens", _number(budget.limit // token)),
            (b"x-ratelimit-remaining-tokens", _number(max(0, budget.remaining) // token)),
            (b"x-ratelimit-reset-tokens", f"{_reset_s(allowance, budget)}s".encode()),
        ]
    if allowance.concurrency:
        free = max(0, allowance.concurrency - allowance.running)
        headers += [
            (b"x-ratelimit-limit-requests", _number(allowance.concurrency)),
            (b"x-ratelimit-remaining-requests", _number(free)),
        ]
    return headers


def _reset_s(allowance: Allowance, budget: BudgetView) -> int:
    """Return after how many seconds to come again, or the budget is full."""
    problem = allowance.problem
    wait_ms = problem.retry_after_ms if problem is not None else None
    return math.ceil((budget.full_in_ms if wait_ms is None else wait_ms) / 1_000)


def _number(value: int) -> bytes:
    return str(value).encode()

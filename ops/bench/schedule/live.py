"""Timed prompts to a running stack over its OpenAI-compatible API: token ids in, so that
lengths are exact; answers of an exact length out."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import httpx
from httpx_sse import EventSource, aconnect_sse

from ops.bench.client import BenchFailed

_T = TypeVar("_T")

_TIMEOUT_S = 300.0
_TRIES_MAX = 20
_TOKENS = range(300, 4_000)
_NO_PLACE = ("at_capacity", "rate_limit_exceeded")


class NoPlace(BenchFailed):
    """A prompt was told to come again, `after_s` seconds later."""

    def __init__(self, detail: str, after_s: float) -> None:
        super().__init__(detail)
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt of `user`'s, `at_s` seconds after the beginning."""

    user: str
    at_s: float
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Answered:
    """When an ask was sent, began to be answered and was answered, in seconds since the
    beginning."""

    ask: Ask
    sent_s: float
    first_s: float
    end_s: float

    @property
    def ttft_s(self) -> float:
        """Seconds to the first token."""
        return self.first_s - self.sent_s

    @property
    def tpot_s(self) -> float:
        """Mean seconds between the tokens after the first."""
        return (self.end_s - self.first_s) / max(1, self.ask.output_tokens - 1)


class Caller:
    """Sends asks to a stack, each user with a key of its own."""

    def __init__(self, base_url: str, model: str, keys: Mapping[str, str], seed: int = 0) -> None:
        self._base_url = base_url
        self._model = model
        self._keys = keys
        self._chance = random.Random(seed)
        self._begun_s = time.monotonic()

    async def play(self, asks: Sequence[Ask]) -> list[Answered]:
        """Send every ask at its time and return the answers in the order of the asks. One that
        is refused for the moment is sent again when told to, and its wait goes on.

        Raises BenchFailed if one is refused for good or breaks off.
        """
        return await self._all(asks, self._answered)

    async def offer(self, asks: Sequence[Ask]) -> list[Answered | None]:
        """As `play`, but who is refused for the moment does not come again: None.

        Raises BenchFailed if one is refused for good or breaks off.
        """
        return await self._all(asks, self._answered_or_not)

    async def _all(
        self,
        asks: Sequence[Ask],
        ask_one: Callable[[httpx.AsyncClient, Ask, list[int]], Awaitable[_T]],
    ) -> list[_T]:
        self._begun_s = time.monotonic()
        limits = httpx.Limits(max_connections=None)

        async def timed(ask: Ask) -> _T:
            prompt = self._chance.choices(_TOKENS, k=ask.prompt_tokens)
            await asyncio.sleep(max(0.0, self._begun_s + ask.at_s - time.monotonic()))
            return await ask_one(http, ask, prompt)

        async with httpx.AsyncClient(
            base_url=self._base_url, timeout=_TIMEOUT_S, limits=limits
        ) as http:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(timed(ask)) for ask in asks]
            return [task.result() for task in tasks]

    async def _answered(self, http: httpx.AsyncClient, ask: Ask, prompt: list[int]) -> Answered:
        sent_s = time.monotonic() - self._begun_s
        for _ in range(_TRIES_MAX):
            try:
                return await self._tried(http, ask, prompt, sent_s)
            except NoPlace as refused:
                await asyncio.sleep(refused.after_s)
        raise BenchFailed(f"A prompt was refused {_TRIES_MAX} times.")

    async def _answered_or_not(
        self, http: httpx.AsyncClient, ask: Ask, prompt: list[int]
    ) -> Answered | None:
        try:
            return await self._tried(http, ask, prompt, time.monotonic() - self._begun_s)
        except NoPlace:
            return None

    async def _tried(
        self, http: httpx.AsyncClient, ask: Ask, prompt: list[int], sent_s: float
    ) -> Answered:
        body = {
            "model": self._model,
            "prompt": prompt,
            "max_tokens": ask.output_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
        }
        headers = {"Authorization": f"Bearer {self._keys[ask.user]}"}
        async with aconnect_sse(
            http, "POST", "/v1/completions", json=body, headers=headers
        ) as source:
            response = source.response
            if response.status_code < 300:
                first_s = await self._first_token_s(source)
                return Answered(ask, sent_s, first_s, time.monotonic() - self._begun_s)
            await response.aread()
            detail = f"A prompt was refused: {response.text[:200]}"
            if response.status_code in (429, 503):
                raise NoPlace(detail, float(response.headers.get("retry-after", "1")))
            raise BenchFailed(detail)

    async def _first_token_s(self, source: EventSource) -> float:
        """Read an answer to its end; return when its first token came. One that gave way while
        it waited may come again."""
        first_s = 0.0
        async for event in source.aiter_sse():
            if event.data == "[DONE]":
                break
            if "error" in (said := event.json()):
                detail = f"An answer failed: {said['error']}"
                if said["error"].get("code") in _NO_PLACE:
                    raise NoPlace(detail, 1.0)
                raise BenchFailed(detail)
            first_s = first_s or time.monotonic() - self._begun_s
        if not first_s:
            raise BenchFailed("An answer ended without a token.")
        return first_s

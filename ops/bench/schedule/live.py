"""Timed prompts to a running stack over its OpenAI-compatible API: token ids in, so that
lengths are exact; answers of an exact length out."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
from httpx_sse import EventSource, aconnect_sse

from ops.bench.client import BenchFailed

_TIMEOUT_S = 300.0
_TRIES_MAX = 20
_TOKENS = range(300, 4_000)


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
        self._begun_s = time.monotonic()
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=self._base_url, timeout=_TIMEOUT_S, limits=limits
        ) as http:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._timed(http, ask)) for ask in asks]
            return [task.result() for task in tasks]

    async def _timed(self, http: httpx.AsyncClient, ask: Ask) -> Answered:
        prompt = self._chance.choices(_TOKENS, k=ask.prompt_tokens)
        await asyncio.sleep(max(0.0, self._begun_s + ask.at_s - time.monotonic()))
        return await self._answered(http, ask, prompt)

    async def _answered(self, http: httpx.AsyncClient, ask: Ask, prompt: list[int]) -> Answered:
        body = {
            "model": self._model,
            "prompt": prompt,
            "max_tokens": ask.output_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
        }
        headers = {"Authorization": f"Bearer {self._keys[ask.user]}"}
        sent_s = time.monotonic() - self._begun_s
        for _ in range(_TRIES_MAX):
            async with aconnect_sse(
                http, "POST", "/v1/completions", json=body, headers=headers
            ) as source:
                status = source.response.status_code
                if status < 300:
                    first_s = await self._first_token_s(source)
                    return Answered(ask, sent_s, first_s, time.monotonic() - self._begun_s)
                await source.response.aread()
                if status not in (429, 503):
                    break
                again_s = float(source.response.headers.get("retry-after", "1"))
            await asyncio.sleep(again_s)
        raise BenchFailed(f"A prompt was refused: {source.response.text[:200]}")

    async def _first_token_s(self, source: EventSource) -> float:
        """Read an answer to its end; return when its first token came."""
        first_s = 0.0
        async for event in source.aiter_sse():
            if event.data == "[DONE]":
                break
            if "error" in (said := event.json()):
                raise BenchFailed(f"An answer failed: {said['error']}")
            first_s = first_s or time.monotonic() - self._begun_s
        if not first_s:
            raise BenchFailed("An answer ended without a token.")
        return first_s

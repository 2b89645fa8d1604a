"""Types a script into a running stack, as a user would, and listens."""

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from httpx_sse import aconnect_sse

from ops.bench.client import BenchFailed
from ops.bench.memory.outcome import Spoken, Told
from ops.bench.memory.script import Line
from ops.bench.memory.tap import Prompts

_ANSWER_TOKENS = 64
_ENDS = ("run.completed", "run.cancelled", "run.failed")
_KILLED = ("session", "summarizer")
_PATIENCE_S = 60.0


@dataclass(slots=True)
class _Answer:
    text: str = ""
    usage: dict[str, int] = field(default_factory=dict)
    ttft_ms: float = 0.0
    run_id: str = ""


class Typist:
    """A user of the stack at `base_url`, in one chat. Kills processes of the stack at `home` with
    `kill_share` before a turn."""

    def __init__(
        self,
        base_url: str,
        home: Path,
        key: str,
        prompts: Prompts,
        *,
        kill_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._prompts = prompts
        self._client = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(_PATIENCE_S),
        )
        self._home = home
        self._kill_share = kill_share
        self._rng = random.Random(seed)
        self._kills = 0

    async def tell(self, memory: str, lines: Sequence[Line]) -> Told:
        """Type every line in turn.

        Raises BenchFailed where an answer fails or does not come.
        """
        async with self._client as client:
            chat = (await client.post("/chats", json={})).raise_for_status().json()["chatId"]
            turns = [await self._turn(f"/chats/{chat}/messages", line) for line in lines]
        return Told(memory, tuple(turns), self._kills)

    async def _turn(self, route: str, line: Line) -> Spoken:
        if self._rng.random() < self._kill_share:
            self._kill(self._rng.choice(_KILLED))
        began = time.monotonic()
        while True:
            try:
                answer = await self._listen(route, line.text)
                break
            except httpx.HTTPStatusError as error:
                # Whoever would take the prompt has been killed and is coming back.
                if error.response.status_code != 503 or time.monotonic() - began > _PATIENCE_S:
                    raise BenchFailed(f"The stack refused a prompt: {error}") from error
        return Spoken(
            text=line.text,
            expected=line.expected,
            answer=answer.text,
            prompt_tokens=answer.usage.get("promptTokens", 0),
            cached_tokens=answer.usage.get("cachedTokens", 0),
            ttft_ms=answer.ttft_ms,
            held=line.expected in self._prompts.of(answer.run_id),
        )

    async def _listen(self, route: str, text: str) -> _Answer:
        """Send one prompt, and follow its events to the end."""
        body = {"content": text, "maxTokens": _ANSWER_TOKENS, "temperature": 0}
        answer = _Answer()
        began = time.monotonic()
        async with aconnect_sse(self._client, "POST", route, json=body) as source:
            source.response.raise_for_status()
            async for event in source.aiter_sse():
                data = json.loads(event.data or "{}")
                if event.event == "message.delta":
                    answer.ttft_ms = answer.ttft_ms or (time.monotonic() - began) * 1000
                    answer.text += data["delta"]
                elif event.event == "message.snapshot":
                    answer.text = data["text"]
                elif event.event in _ENDS:
                    if event.event != "run.completed":
                        raise BenchFailed(f"An answer ended as {event.event}: {event.data}")
                    answer.usage, answer.run_id = data["usage"], data["runId"]
                    return answer
        raise BenchFailed("The stream of an answer ended without an event that says how.")

    def _kill(self, role: str) -> None:
        """Kill a process of a role of this stack."""
        found = []
        for process in psutil.Process().children(recursive=True):
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if role in words and str(self._home) in words:
                found.append(process)
        if found:
            self._rng.choice(found).kill()
            self._kills += 1

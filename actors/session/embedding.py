"""The session's way to the embedding workers: one question for a message, batches for older turns.

Whatever goes wrong costs a search its vectors, never a turn.
"""

import asyncio
from collections.abc import Sequence

from actors.session import metrics
from actors.session.retrieval import Meaning, Passage
from contracts.codec import decode, encode
from contracts.embeddings import EMBEDDING_POOL, Embedded, EmbedInputs, EmbedReply
from contracts.errors import BadMessage, BusUnavailable, NoResponders
from contracts.ports.bus import Bus
from contracts.ports.clock import Clock
from contracts.subjects import embed_requests

QUERY_MS = 50
"""What a prompt waits at most for the vector of its message."""

MISSES_MAX = 3
REST_MS = 2_000
"""After so many messages in a row whose vectors did not come in time, prompts don't wait for
theirs for so long; the next one tells whether they come again."""

_TURNS_MS = 10_000
_TURNS_AT_ONCE = 2
"""Batches of older turns that a host has under way, of all its chats."""

_QUERY_CHARS = 2_000


class TurnEmbedder:
    """Asks the embedding workers; one for all chats of a host."""

    def __init__(
        self, bus: Bus, clock: Clock, *, query_ms: int = QUERY_MS, rest_ms: int = REST_MS
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._query_ms = query_ms
        self._rest_ms = rest_ms
        self._missed = 0
        self._rests_until_ms = 0
        self._turns = asyncio.Semaphore(_TURNS_AT_ONCE)

    async def query(self, text: str) -> Meaning | None:
        """Return the meaning of a new message, None if it does not come in time."""
        now_ms = self._clock.monotonic_ms()
        if now_ms < self._rests_until_ms:
            metrics.QUERIES_EMBEDDED.labels("not asked").inc()
            return None
        found = await self._ask((text[:_QUERY_CHARS],), self._query_ms)
        if found is None:
            self._missed += 1
            if self._missed >= MISSES_MAX:
                self._rests_until_ms = self._clock.monotonic_ms() + self._rest_ms
            metrics.QUERIES_EMBEDDED.labels("no answer").inc()
            return None
        self._missed = 0
        metrics.QUERIES_EMBEDDED.labels("found").inc()
        return found[0]

    async def turns(self, passages: Sequence[Passage]) -> tuple[tuple[Passage, Meaning], ...]:
        """Return the passages with their meanings, none if they can't be had now."""
        texts = tuple(f"{each.user}\n{each.assistant}".strip() for each in passages)
        async with self._turns:
            found = await self._ask(texts, _TURNS_MS)
        if found is None:
            return ()
        metrics.TURNS_EMBEDDED.inc(len(passages))
        return tuple(zip(passages, found, strict=True))

    async def _ask(self, texts: tuple[str, ...], within_ms: int) -> Sequence[Meaning] | None:
        asked = encode(EmbedInputs(inputs=texts, within_ms=within_ms, truncate=True))
        subject = embed_requests(EMBEDDING_POOL)
        try:
            answer = await self._bus.request(subject, asked, timeout_s=within_ms / 1000)
            reply = decode(answer, EmbedReply)
        except (BusUnavailable, NoResponders, BadMessage):
            return None
        if not isinstance(reply, Embedded) or len(reply.vectors) != len(texts):
            return None
        return [Meaning(reply.model, vector) for vector in reply.vectors]

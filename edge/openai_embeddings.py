"""`/v1/embeddings`: vectors of texts, from the embedding workers.

They are asked by NATS requests, a few inputs at a time; nothing is queued or kept.
"""

import asyncio
import base64
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar.types import ASGIApp

from contracts.codec import decode, encode
from contracts.embeddings import BATCH_MAX, Embedded, EmbedInputs, EmbedReply
from contracts.errors import BadMessage, BusUnavailable, NoResponders, Refused
from contracts.ports.bus import Bus
from contracts.subjects import embed_requests
from edge.bodies import read_bytes
from edge.config import EdgeConfig, EmbeddingPool
from edge.identity import Identity
from edge.metrics import EMBEDDINGS
from edge.models import Models
from edge.openai_errors import Unsupported
from edge.openai_requests import EmbeddingRequest, parse
from edge.problems import UNAVAILABLE_RETRY_MS, refuse
from edge.replies import json_reply
from edge.routes import AnyRequest, Route

Input = str | tuple[int, ...]


class OpenAiEmbeddings:
    """The one route. An edge works on `embeddings_at_once` requests; more are refused."""

    def __init__(self, config: EdgeConfig, *, bus: Bus, identity: Identity, models: Models) -> None:
        self._pool = config.embeddings
        self._timeout_s = config.embedding_timeout_s
        self._places = asyncio.Semaphore(config.embeddings_at_once)
        self._bus = bus
        self._identity = identity
        self._models = models

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        summary = "OpenAI: vectors of texts"
        return [Route("POST", "/v1/embeddings", self.embed, summary, EmbeddingRequest)]

    async def embed(self, request: AnyRequest) -> ASGIApp:
        """POST /v1/embeddings."""
        await self._identity.caller(request)
        body = parse(await read_bytes(request), EmbeddingRequest, "embedding")
        pool = self._named(body.model)
        inputs = body.inputs()
        if self._places.locked():
            raise refuse(
                "at_capacity",
                "This edge embeds as much as it may at once.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            )
        data: list[dict[str, Any]] = []
        tokens = 0
        async with self._places:
            for start in range(0, len(inputs), BATCH_MAX):
                found = await self._vectors(pool, inputs[start : start + BATCH_MAX])
                tokens += found.tokens
                for vector in found.vectors:
                    shown = _shown(vector, plain=body.encoding_format != "base64")
                    data.append({"object": "embedding", "index": len(data), "embedding": shown})
        EMBEDDINGS.inc(len(inputs))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return json_reply({"object": "list", "data": data, "model": pool.model, "usage": usage})

    def _named(self, name: str) -> EmbeddingPool:
        """Return the pool of the model of this name. Raises Unsupported, Refused."""
        pool = self._pool
        if pool is not None and pool.model == name:
            return pool
        model = self._models.find(name)
        other = "no model here does" if pool is None else f"{pool.model} does"
        raise Unsupported("model", f"{model.model} makes no embeddings; {other}")

    async def _vectors(self, pool: EmbeddingPool, inputs: Sequence[Input]) -> Embedded:
        """Return a worker's answer. Raises Refused."""
        asked = EmbedInputs(inputs=tuple(inputs), within_ms=int(self._timeout_s * 1000))
        subject = embed_requests(pool.pool)
        try:
            answer = await self._bus.request(subject, encode(asked), timeout_s=self._timeout_s)
            reply = decode(answer, EmbedReply)
        except NoResponders as error:
            raise refuse(
                "no_worker",
                "No worker for this model is ready.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            ) from error
        except (BusUnavailable, BadMessage) as error:
            raise refuse(
                "unavailable",
                "The embedding workers did not answer in time.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            ) from error
        if not isinstance(reply, Embedded):
            raise Refused(reply.problem)
        return reply


def _shown(vector: bytes, *, plain: bool) -> msgspec.Raw | str:
    """Return a vector as its client wants it: numbers, or their bytes (`float32`, little-endian)
    in base64."""
    if not plain:
        return base64.b64encode(vector).decode()
    return msgspec.Raw(msgspec.json.encode(struct.unpack(f"<{len(vector) // 4}f", vector)))

"""An embedding worker: answers requests for vectors of a pool, in turn with the pool's others.

Nothing is kept: who asked and got no answer does without, or asks again.
"""

import asyncio
import itertools
from dataclasses import dataclass, field

import structlog

from actors.gpu import metrics
from actors.runtime.telling import tell
from contracts.base import Wire
from contracts.codec import decode
from contracts.embeddings import BATCH_MAX, Embedded, EmbedInputs, EmbedRefused
from contracts.errors import BadMessage, EngineDead, EngineRefused, ErrorCode, Problem
from contracts.ports.bus import Bus, Inbound, Subscription
from contracts.ports.clock import Clock
from contracts.ports.embedder import Embedder
from contracts.ports.text import TextCodec
from contracts.scheduling import ActorInfo
from contracts.subjects import embed_requests

_log = structlog.get_logger()
_LONG_TEXT_CHARS = 16_384
_BUSY_RETRY_MS = 1_000


class EmbeddingConfig(Wire):
    """`worker` is the actor's id. `at_once` requests are worked on, `waiting_max` more wait;
    those beyond are refused (`at_capacity`). `drain_ms` bounds how long an end waits for them.
    """

    worker: str
    pool: str
    at_once: int = 4
    waiting_max: int = 64
    drain_ms: int = 5_000


@dataclass(frozen=True, slots=True, order=True)
class _Asked:
    """What is due first is answered first: a waiting prompt's message before a client's book."""

    due_ms: int
    number: int
    body: EmbedInputs = field(compare=False)
    reply: str = field(compare=False)


class EmbeddingActor:
    """One embedder as a worker of a pool. `run` once; `stop` answers what was taken, and ends."""

    def __init__(
        self,
        config: EmbeddingConfig,
        *,
        bus: Bus,
        embedder: Embedder,
        codec: TextCodec,
        clock: Clock,
    ) -> None:
        self._config = config
        self._bus = bus
        self._embedder = embedder
        self._codec = codec
        self._clock = clock
        self._waiting: asyncio.PriorityQueue[_Asked] = asyncio.PriorityQueue(config.waiting_max)
        self._numbers = itertools.count()
        self._busy = 0
        self._subscription: Subscription | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()

    def info(self, pid: int, host: str) -> ActorInfo:
        """Return this actor's row of `parley ps`."""
        return ActorInfo(
            role="gpu",
            id=self._config.worker,
            pid=pid,
            host=host,
            state="starting" if self._subscription is None else "embedding",
            running=self._busy,
            waiting=self._waiting.qsize(),
        )

    async def run(self) -> None:
        """Start the embedder, then answer until `stop`.

        Raises:
            EngineDead: the embedder could not start, or died. The process should exit.
        """
        self._ended.clear()
        try:
            async with asyncio.TaskGroup() as group:
                self._tasks.append(group.create_task(self._serve(group), name="embedding"))
                await self._stopped.wait()
                for task in self._tasks:
                    task.cancel()
        except* EngineDead as dead:
            reason = str(dead.exceptions[0])
            _log.error("the embedder is dead", worker=self._config.worker, reason=reason)
            raise EngineDead(reason) from None
        finally:
            await self._embedder.close()
            self._ended.set()

    async def stop(self) -> None:
        """Take no more, answer what was taken for up to `drain_ms`, and end."""
        if self._subscription is not None:
            await self._subscription.stop()
        deadline_ms = self._clock.monotonic_ms() + self._config.drain_ms
        while self._busy or not self._waiting.empty():
            if self._ended.is_set() or self._clock.monotonic_ms() >= deadline_ms:
                break
            await self._clock.sleep(0.02)
        self._stopped.set()
        await self._ended.wait()

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        worker, pool = self._config.worker, self._config.pool
        await self._embedder.start(
            lambda sentence: _log.info(sentence, worker=worker, event_kind="progress")
        )
        for number in range(self._config.at_once):
            self._tasks.append(group.create_task(self._work(), name=f"embed-{number}"))
        self._subscription = await self._bus.subscribe(embed_requests(pool), self._hear, queue=pool)
        raise EngineDead(await self._embedder.died())

    def _hear(self, inbound: Inbound) -> None:
        try:
            body = decode(inbound.data, EmbedInputs)
        except BadMessage as error:
            metrics.BAD_COMMANDS.labels(self._config.worker).inc()
            self._refuse(inbound.reply, "bad_request", str(error))
            return
        if not 1 <= len(body.inputs) <= BATCH_MAX:
            self._refuse(inbound.reply, "bad_request", f"1 to {BATCH_MAX} inputs are taken at once")
            return
        try:
            due_ms = self._clock.monotonic_ms() + body.within_ms
            self._waiting.put_nowait(_Asked(due_ms, next(self._numbers), body, inbound.reply))
        except asyncio.QueueFull:
            self._refuse(inbound.reply, "at_capacity", "The embedding workers are busy.")

    async def _work(self) -> None:
        while True:
            asked = await self._waiting.get()
            if self._clock.monotonic_ms() >= asked.due_ms:
                metrics.EMBED_LATE.labels(self._config.worker).inc()
                continue
            self._busy += 1
            try:
                await self._answer(asked)
            finally:
                self._busy -= 1

    async def _answer(self, asked: _Asked) -> None:
        limit = self._embedder.info.context_length if asked.body.truncate else 0
        inputs = [await self._tokens(each, limit) for each in asked.body.inputs]
        try:
            vectors = await self._embedder.embed(inputs)
        except EngineRefused as error:
            most = self._embedder.info.context_length
            long = any(len(tokens) > most for tokens in inputs)
            self._refuse(asked.reply, "prompt_too_long" if long else "invalid_value", str(error))
            return
        metrics.EMBEDDED.labels(self._config.worker).inc(len(vectors))
        tokens = sum(map(len, inputs))
        model = self._embedder.info.model
        tell(self._bus, asked.reply, Embedded(model=model, vectors=vectors, tokens=tokens))

    async def _tokens(self, given: str | tuple[int, ...], limit: int) -> tuple[int, ...]:
        """Return the tokens of an input, cut to `limit` (0: not). The last one stays: many
        models make the vector of it, or know by it where a text ends."""
        if isinstance(given, str):
            long = len(given) > _LONG_TEXT_CHARS
            encode = self._codec.encode
            tokens = await asyncio.to_thread(encode, given) if long else encode(given)
        else:
            tokens = given
        if limit and len(tokens) > limit:
            return (*tokens[: limit - 1], tokens[-1])
        return tokens

    def _refuse(self, to: str, code: ErrorCode, detail: str) -> None:
        metrics.EMBED_REFUSED.labels(self._config.worker, code).inc()
        wait_ms = _BUSY_RETRY_MS if code == "at_capacity" else None
        problem = Problem(code=code, detail=detail, retry_after_ms=wait_ms)
        tell(self._bus, to, EmbedRefused(problem=problem))

"""Following an API run to its end, and stopping it when its client is gone."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
from litestar.types import Receive, Scope, Send

from contracts.codec import decode, encode
from contracts.errors import BusError, LogGone, Problem
from contracts.events import MessageDelta
from contracts.ports.bus import Bus
from contracts.ports.clock import Clock
from contracts.ports.token_log import LogBatch, LogReader
from contracts.runs import RunOutcome, RunSpec
from contracts.scheduling import CancelQueued, CancelTaken
from contracts.subjects import scheduler_requests
from edge.metrics import EVENTS_SENT, FIRST_TOKEN_S
from edge.openai_chunks import PING, ChunkEncoder
from edge.problems import openai_error, problem_headers
from edge.replies import JSON_TYPE, BytesReply, json_reply
from edge.streaming import EVENT_STREAM_HEADERS, OpenStreams, Stream, unless_gone

_SENT = EVENTS_SENT.labels("openai")
_FIRST_TOKEN = FIRST_TOKEN_S.labels("openai")
_REQUEST_TIMEOUT_S = 1.0
_FIRST_RETRY_S = 0.05

_LOST = RunOutcome(
    finish_reason="error",
    error=Problem(code="worker_lost", detail="The log of this answer is gone; send it again."),
)


class RunCanceller:
    """Tells the scheduler that nobody wants a run any more."""

    def __init__(self, bus: Bus, clock: Clock, *, patience_s: float) -> None:
        self._bus = bus
        self._clock = clock
        self._patience_s = patience_s

    async def cancel(self, run_id: str, pool: str, *, patience_s: float | None = None) -> None:
        """Ask until the scheduler knows the run, or patience ends: then it has ended by
        itself, or it will and nobody reads it."""
        patience_ms = (self._patience_s if patience_s is None else patience_s) * 1000
        until_ms = self._clock.monotonic_ms() + patience_ms
        pause_s = _FIRST_RETRY_S
        while True:
            try:
                data = await self._bus.request(
                    scheduler_requests(pool),
                    encode(CancelQueued(run_id=run_id)),
                    timeout_s=_REQUEST_TIMEOUT_S,
                )
                if decode(data, CancelTaken).known:
                    return
            except BusError:
                pass
            if self._clock.monotonic_ms() >= until_ms:
                return
            await self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, 1.0)


class ApiRun:
    """A submitted run. `held` closes its reader. Unless it was followed to its end, leaving
    its context stops it."""

    def __init__(
        self,
        spec: RunSpec,
        reader: LogReader,
        canceller: RunCanceller,
        *,
        held: AsyncExitStack,
        arrived_s: float,
    ) -> None:
        self._spec = spec
        self._reader = reader
        self._canceller = canceller
        self._held = held
        self._arrived_s: float | None = arrived_s
        self.outcome: RunOutcome | None = None

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Hold the run while its answer is read."""
        async with self._held:
            try:
                yield
            finally:
                if self.outcome is None:
                    await self._canceller.cancel(self._spec.run_id, self._spec.pool)

    async def texts(self) -> AsyncIterator[str]:
        """Yield the text as it comes, everything that waited together; `outcome` is set with
        the last of it."""
        try:
            async for batch in self._reader.batches():
                if batch.end is not None:
                    self.outcome = batch.end
                text = _text(batch)
                if text:
                    if self._arrived_s is not None:
                        _FIRST_TOKEN.observe(time.monotonic() - self._arrived_s)
                        self._arrived_s = None
                    yield text
                if batch.end is not None:
                    return
        except LogGone:
            pass
        self.outcome = _LOST


class StreamedAnswer:
    """The answer in chunks (an ASGI application)."""

    __slots__ = ("_encoder", "_run", "_streams")

    def __init__(self, run: ApiRun, encoder: ChunkEncoder, streams: OpenStreams) -> None:
        self._run = run
        self._encoder = encoder
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Stream until the run's end; stop the run if the client leaves (ASGI)."""
        stream = self._streams.stream("openai", receive, send, ping=PING)

        async def write() -> None:
            await self._write(stream)

        async with self._run.followed():
            await stream.run(write, EVENT_STREAM_HEADERS)

    async def _write(self, stream: Stream) -> None:
        run, encoder = self._run, self._encoder
        async for text in run.texts():
            chunk = encoder.text(text)
            if run.outcome is not None:
                chunk += encoder.end(run.outcome)
                await stream.write(chunk)
                return
            await stream.write(chunk)
            _SENT.inc()
        if run.outcome is not None:
            await stream.write(encoder.end(run.outcome))


class WholeAnswer:
    """The answer in one body (an ASGI application)."""

    __slots__ = ("_encoder", "_run")

    def __init__(self, run: ApiRun, encoder: ChunkEncoder) -> None:
        self._run = run
        self._encoder = encoder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at the run's end; stop the run if the client leaves (ASGI)."""
        async with self._run.followed():
            text = await unless_gone(receive, self._whole_text())
        outcome = self._run.outcome
        if text is None or outcome is None:
            return
        if outcome.error is not None:
            reply = BytesReply(
                msgspec.json.encode(openai_error(outcome.error)),
                status=outcome.error.status,
                media_type=JSON_TYPE,
                headers=[
                    (name.encode(), value.encode())
                    for name, value in problem_headers(outcome.error).items()
                ],
            )
        else:
            reply = json_reply(self._encoder.whole(text, outcome))
        await reply(scope, receive, send)

    async def _whole_text(self) -> str:
        return "".join([text async for text in self._run.texts()])


def _text(batch: LogBatch) -> str:
    events = batch.events
    if len(events) == 1 and type(events[0].event) is MessageDelta:
        return events[0].event.delta
    return "".join(n.event.delta for n in events if type(n.event) is MessageDelta)

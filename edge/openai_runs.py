"""Following an API run to its end, and stopping it when its client is gone."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
from litestar.types import Receive, Scope, Send
from msgspec.structs import replace

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
from edge.openai_chunks import PING, AnswerEncoder, Told
from edge.openai_errors import openai_error, openai_headers, status_of
from edge.replies import JSON_TYPE, BytesReply, json_reply
from edge.streaming import EVENT_STREAM_HEADERS, OpenStreams, Stream, unless_gone

_SENT = EVENTS_SENT.labels("openai")
_FIRST_TOKEN = FIRST_TOKEN_S.labels("openai")
_REQUEST_TIMEOUT_S = 1.0
_FIRST_RETRY_S = 0.05

Headers = Iterable[tuple[bytes, bytes]]

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


Take = Callable[[int, str, Told], Awaitable[None]]


class ApiRun:
    """A submitted run. `outcome` is None until it was followed to its end."""

    def __init__(self, spec: RunSpec, reader: LogReader) -> None:
        self.spec = spec
        self.outcome: RunOutcome | None = None
        self._reader = reader

    async def pieces(self) -> AsyncIterator[tuple[str, Told]]:
        """Yield text and likelihoods as they come, everything that waited together; `outcome`
        is set with the last of it. The first tokens are told also where they say nothing yet; a
        place in the queue is no token."""
        begun = False
        try:
            async for batch in self._reader.batches():
                if batch.end is not None:
                    self.outcome = _told(batch.end)
                text = _text(batch)
                first = bool(batch.tokens) and not (begun or batch.end)
                if text or batch.logprobs or first:
                    yield text, batch.logprobs
                begun = begun or first
                if batch.end is not None:
                    return
        except LogGone:
            pass
        self.outcome = _LOST


class ApiRuns:
    """The runs of one request, a choice each. `held` closes their readers. Those that were not
    followed to their end are stopped when the context is left."""

    def __init__(
        self,
        runs: Sequence[ApiRun],
        canceller: RunCanceller,
        *,
        held: AsyncExitStack,
        arrived_s: float,
    ) -> None:
        self._runs = runs
        self._canceller = canceller
        self._held = held
        self._arrived_s: float | None = arrived_s
        self._taking = asyncio.Lock()

    @property
    def outcomes(self) -> list[RunOutcome]:
        """How those ended that did."""
        return [run.outcome for run in self._runs if run.outcome is not None]

    @property
    def complete(self) -> bool:
        """Whether every choice has ended well."""
        return len(self.outcomes) == len(self._runs) and self.error is None

    @property
    def error(self) -> Problem | None:
        """Why the first choice failed that did."""
        return next((o.error for o in self.outcomes if o.error is not None), None)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Hold the runs while their answers are read."""
        async with self._held:
            try:
                yield
            finally:
                unread = [run.spec for run in self._runs if run.outcome is None]
                if unread:
                    stops = (self._canceller.cancel(s.run_id, s.pool) for s in unread)
                    await asyncio.gather(*stops)

    async def read(self, take: Take, ended: Callable[[int, RunOutcome], Awaitable[None]]) -> None:
        """Give `take` every piece of every choice as it comes, and `ended` each end, one call at
        a time. The first choice that fails ends the reading of all."""
        if len(self._runs) == 1:
            await self._read_one(0, take, ended)
            return
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._read_one(index, take, ended))
                for index in range(len(self._runs))
            ]
            for task in tasks:
                task.add_done_callback(lambda _: self._give_up(tasks))

    def _give_up(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        if self.error is not None:
            for task in tasks:
                task.cancel()

    async def _read_one(
        self, index: int, take: Take, ended: Callable[[int, RunOutcome], Awaitable[None]]
    ) -> None:
        run = self._runs[index]
        async for text, told in run.pieces():
            if self._arrived_s is not None:
                _FIRST_TOKEN.observe(time.monotonic() - self._arrived_s)
                self._arrived_s = None
            async with self._taking:
                await take(index, text, told)
        if run.outcome is not None:
            async with self._taking:
                await ended(index, run.outcome)


class StreamedAnswer:
    """The answer in chunks (an ASGI application)."""

    __slots__ = ("_encoder", "_headers", "_runs", "_streams")

    def __init__(
        self, runs: ApiRuns, encoder: AnswerEncoder, streams: OpenStreams, headers: Headers = ()
    ) -> None:
        self._runs = runs
        self._encoder = encoder
        self._streams = streams
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Stream until the runs' end; stop them if the client leaves (ASGI)."""
        stream = self._streams.stream("openai", receive, send, ping=PING)

        async def write() -> None:
            await self._write(stream)

        async with self._runs.followed():
            await stream.run(write, (*EVENT_STREAM_HEADERS, *self._headers))

    async def _write(self, stream: Stream) -> None:
        runs, encoder = self._runs, self._encoder

        async def take(index: int, text: str, told: Told) -> None:
            chunk = encoder.piece(index, text, told)
            if chunk:
                await stream.write(chunk)
                _SENT.inc()

        async def ended(index: int, outcome: RunOutcome) -> None:
            chunk = encoder.end(index, outcome)
            if runs.complete:
                chunk += encoder.close([outcome.usage for outcome in runs.outcomes])
            await stream.write(chunk)

        await runs.read(take, ended)


class WholeAnswer:
    """The answer in one body (an ASGI application)."""

    __slots__ = ("_encoder", "_headers", "_runs")

    def __init__(self, runs: ApiRuns, encoder: AnswerEncoder, headers: Headers = ()) -> None:
        self._runs = runs
        self._encoder = encoder
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at the runs' end; stop them if the client leaves (ASGI)."""
        async with self._runs.followed():
            heard = await unless_gone(receive, self._read())
        if heard is None:
            return
        if self._runs.error is not None:
            reply = error_reply(self._runs.error)
        else:
            reply = json_reply(self._encoder.whole(self._runs.outcomes), headers=self._headers)
        await reply(scope, receive, send)

    async def _read(self) -> bool:
        async def keep(index: int, text: str, told: Told) -> None:
            self._encoder.keep(index, text, told)

        async def ended(_: int, __: RunOutcome) -> None:
            return

        await self._runs.read(keep, ended)
        return True


def error_reply(problem: Problem) -> BytesReply:
    """Return the answer of a request whose run failed."""
    return BytesReply(
        msgspec.json.encode(openai_error(problem)),
        status=status_of(problem),
        media_type=JSON_TYPE,
        headers=[(n.encode(), value.encode()) for n, value in openai_headers(problem).items()],
    )


def _told(outcome: RunOutcome) -> RunOutcome:
    """Return how the run ended for a client who did not stop it: a cut answer is no whole one."""
    if outcome.finish_reason != "cancelled" or outcome.error is not None:
        return outcome
    problem = Problem(code="unavailable", detail="The run was stopped by the service; try again.")
    return replace(outcome, finish_reason="error", error=problem)


def _text(batch: LogBatch) -> str:
    events = batch.events
    if len(events) == 1 and type(events[0].event) is MessageDelta:
        return events[0].event.delta
    return "".join(n.event.delta for n in events if type(n.event) is MessageDelta)

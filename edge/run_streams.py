"""The event stream of a run: from its log while there is one, else from history."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

from litestar.types import ASGIApp, Receive, Scope, Send

from contracts.errors import BusUnavailable, LogGone
from contracts.events import MessageDelta, MessageSnapshot, NumberedEvent
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.ports.token_log import LogBatch, LogReader, LogState, TokenLog
from contracts.records import RunRecord
from contracts.session import PromptAccepted
from edge.metrics import EVENTS_SENT, FIRST_TOKEN_S
from edge.queue_watch import QueueWatch
from edge.replies import EmptyReply
from edge.run_history import events_from_history
from edge.sse import RETRY, EventEncoder
from edge.streaming import EVENT_STREAM_HEADERS, OpenStreams, Stream

_TERMINAL_DUE_MS = 30_000
_ENDED_S = 5.0
"""How long the log of a run that has ended may say nothing: what is left of it may be dropped
while it is opened."""

_SENT = EVENTS_SENT.labels("run")
_FIRST_TOKEN = FIRST_TOKEN_S.labels("run")


class RunStreams:
    """Opens the event streams of runs for clients that may read them."""

    def __init__(
        self,
        log: TokenLog,
        history: History,
        streams: OpenStreams,
        clock: Clock,
        watch: QueueWatch,
    ) -> None:
        self.watch = watch
        self._log = log
        self._history = history
        self._streams = streams
        self._clock = clock

    def check(self) -> None:
        """Return if there is room for one more stream. Raises Refused."""
        self._streams.check()

    def reader(self, run_id: str) -> LogReader:
        """Return a reader of a run from its very first event: open it before the run is
        submitted, and it misses nothing."""
        return self._log.follow(run_id, after=0)

    def begin(
        self,
        chat_id: str,
        accepted: PromptAccepted,
        *,
        reader: LogReader,
        held: AsyncExitStack,
        arrived_s: float,
    ) -> ASGIApp:
        """Return the stream of a run that was accepted just now; `held` closes the reader."""
        return _RunStream(
            self,
            chat_id=chat_id,
            run_id=accepted.run_id,
            answer_id=accepted.answer_id,
            after=0,
            reader=reader,
            held=held,
            arrived_s=arrived_s,
        )

    async def join(self, run: RunRecord, after: int | None) -> ASGIApp:
        """Return the stream of a run after event `after` (None: from the start, where a
        snapshot may stand for what is old), or 204 when nothing follows any more."""
        if run.state != "active":
            state = await self._state(run)
            if state is None:
                return await self._replay(run, after)
            if state.terminal is not None and after is not None and after >= state.next_seq - 1:
                return EmptyReply(204)
            if state.anew:  # perhaps after the end, which history alone knew of
                return await self._replay(run, after)
        async with AsyncExitStack() as stack:
            reader = await stack.enter_async_context(self._log.follow(run.run_id, after=after))
            held = stack.pop_all()
        return _RunStream(
            self,
            chat_id=run.chat_id,
            run_id=run.run_id,
            answer_id=run.answer_id,
            after=after,
            reader=reader,
            held=held,
            ended=run.state != "active",
        )

    async def _state(self, run: RunRecord) -> LogState | None:
        """Return the log's state if the terminal event is there, or due any moment."""
        try:
            state = await self._log.read(run.run_id)
        except (LogGone, BusUnavailable):
            return None
        if state.terminal is not None:
            return state
        ended_ms_ago = self._clock.now_ms() - (run.ended_at_ms or 0)
        return state if state.next_seq > 1 and ended_ms_ago < _TERMINAL_DUE_MS else None

    async def _replay(self, run: RunRecord, after: int | None) -> ASGIApp:
        answer = await self._history.message(run.chat_id, run.answer_id)
        if not events_from_history(run, answer, after):
            return EmptyReply(204)
        return _RunStream(
            self, chat_id=run.chat_id, run_id=run.run_id, answer_id=run.answer_id, after=after
        )

    def open(self, receive: Receive, send: Send, ping: bytes) -> Stream:
        """Return the response's stream."""
        return self._streams.stream("run", receive, send, ping=ping)

    def rejoining(self, run_id: str) -> LogReader:
        """Return a reader that begins with the run's last snapshot."""
        return self._log.follow(run_id, after=None)

    async def write_history(
        self, stream: Stream, chat_id: str, run_id: str, after: int | None
    ) -> bool:
        """Write what history has of a run whose log is gone, and return True; False for a run
        that is still active: history has nothing of it yet."""
        run = await self._history.run(chat_id, run_id)
        if run is None:
            return True
        if run.state == "active":
            return False
        answer = await self._history.message(chat_id, run.answer_id)
        events = events_from_history(run, answer, after)
        if events:
            await stream.write(EventEncoder(run_id).encode(events), events=len(events))
        return True


class _RunStream:
    """The answer to one client (an ASGI application). Its head names run and message: a client
    may stop the run before its first event, and learns which run its idempotency key has."""

    __slots__ = (
        "_after",
        "_arrived_s",
        "_chat_id",
        "_ended",
        "_headers",
        "_held",
        "_reader",
        "_run_id",
        "_runs",
    )

    def __init__(
        self,
        runs: RunStreams,
        *,
        chat_id: str,
        run_id: str,
        answer_id: str,
        after: int | None,
        reader: LogReader | None = None,
        held: AsyncExitStack | None = None,
        arrived_s: float | None = None,
        ended: bool = False,
    ) -> None:
        self._ended = ended
        self._runs = runs
        self._chat_id = chat_id
        self._run_id = run_id
        self._after = after
        self._reader = reader
        self._held = held or AsyncExitStack()
        self._headers = (
            (b"x-run-id", run_id.encode()),
            (b"x-message-id", answer_id.encode()),
        )
        self._arrived_s = arrived_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Stream until the run's end, or until the client leaves (ASGI)."""
        encoder = EventEncoder(self._run_id)
        stream = self._runs.open(receive, send, encoder.ping)

        async def write() -> None:
            await self._write(stream, encoder)

        async with self._held:
            await stream.run(write, (*EVENT_STREAM_HEADERS, *self._headers))

    async def _write(self, stream: Stream, encoder: EventEncoder) -> None:
        await stream.write(RETRY, events=0)
        last = self._after
        if self._reader is not None:
            try:
                with self._runs.watch.reading(self._run_id) as waiting:
                    batches = self._reader.batches()
                    async for batch in _in_time(batches) if self._ended else batches:
                        if batch.events:
                            waiting.saw(batch.events)
                            last = batch.events[-1].seq
                            await self._write_events(stream, encoder, batch.events)
            except (LogGone, TimeoutError):
                pass
            else:
                return
        if not await self._runs.write_history(stream, self._chat_id, self._run_id, last):
            await self._rejoin(stream, encoder, last or 0)

    async def _rejoin(self, stream: Stream, encoder: EventEncoder, last: int) -> None:
        """Go on from a snapshot where the log has dropped what the client lacks. Without one
        the stream ends without a terminal event, and its client reconnects."""
        joined = False
        try:
            async with self._runs.rejoining(self._run_id) as reader:
                async for batch in reader.batches():
                    events = batch.events if joined else _from_snapshot(batch.events, last)
                    if not joined and not events:
                        return
                    joined = True
                    if events:
                        await self._write_events(stream, encoder, events)
        except LogGone:
            return

    async def _write_events(
        self, stream: Stream, encoder: EventEncoder, events: Sequence[NumberedEvent]
    ) -> None:
        await stream.write(encoder.encode(events), events=len(events))
        _SENT.inc(len(events))
        if self._arrived_s is not None and _has_text(events):
            _FIRST_TOKEN.observe(time.monotonic() - self._arrived_s)
            self._arrived_s = None


async def _in_time(batches: AsyncIterator[LogBatch]) -> AsyncIterator[LogBatch]:
    """Yield what the log of an ended run has. Raises TimeoutError when nothing more comes."""
    while True:
        try:
            async with asyncio.timeout(_ENDED_S):
                batch = await anext(batches)
        except StopAsyncIteration:
            return
        yield batch


def _from_snapshot(events: Sequence[NumberedEvent], last: int) -> Sequence[NumberedEvent]:
    """Return the events from the first snapshot on that stands for more than event `last`."""
    for place, numbered in enumerate(events):
        if isinstance(numbered.event, MessageSnapshot) and numbered.seq > last:
            return events[place:]
    return ()


def _has_text(events: Sequence[NumberedEvent]) -> bool:
    return any(type(numbered.event) is MessageDelta for numbered in events)

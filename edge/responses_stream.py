"""A response as it is written: to one client as events, or whole at its end."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec
from litestar.types import Receive, Scope, Send

from contracts.errors import HistoryUnavailable, LogGone
from contracts.events import (
    MessageSnapshot,
    NumberedEvent,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    Terminal,
)
from contracts.ports.history import History
from contracts.ports.token_log import LogBatch, LogReader, TokenLog
from contracts.responses import ResponseRecord
from contracts.runs import RunOutcome
from edge.openai_chunks import PING
from edge.openai_runs import Headers, error_reply
from edge.replies import json_reply
from edge.responses_story import Event, Story, ended_with, from_history, view_of
from edge.streaming import EVENT_STREAM_HEADERS, OpenStreams, Stream, unless_gone

_TERMINAL = (RunCompleted, RunCancelled, RunFailed)
_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a response is read from."""

    log: TokenLog
    history: History
    streams: OpenStreams


class Followed:
    """A response that one client follows. `held` closes `reader`, which stands at the log's
    beginning, or is None where the log is gone. `abandon` stops the run of a client that
    leaves early."""

    def __init__(
        self,
        sources: Sources,
        record: ResponseRecord,
        *,
        reader: LogReader | None,
        held: AsyncExitStack,
        stored: bool,
        abandon: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._sources = sources
        self._reader = reader
        self._held = held
        self._stored = stored
        self._abandon = abandon
        self.record = record
        self.ended = False

    async def __aenter__(self) -> "Followed":
        await self._held.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            if not self.ended and self._abandon is not None:
                await self._abandon()
        finally:
            await self._held.aclose()

    async def events(self, after: int | None) -> AsyncIterator[list[Event]]:
        """Yield the events that follow number `after`, as they come, until the last;
        `record` is then the response as it ended."""
        last = after
        if self._reader is not None:
            try:
                async for events in self._logged(self._reader, again=after is not None):
                    fresh = [e for e in events if after is None or e["sequence_number"] > after]
                    if fresh:
                        last = fresh[-1]["sequence_number"]
                        yield fresh
            except LogGone:
                pass
        if not self.ended:
            rest = await self._rest(last)
            if rest:
                yield rest

    async def _logged(self, reader: LogReader, *, again: bool) -> AsyncIterator[list[Event]]:
        """Yield what the log tells, from the beginning. Raises LogGone, also where it was begun
        anew for who comes `again`: what that client has counted was in another (ADR 0030)."""
        story = Story(self.record)
        yield story.begin()
        async for batch in reader.batches():
            if again and any(type(each.event) is MessageSnapshot for each in batch.events):
                raise LogGone(f"{self.record.run_id} was begun anew")
            yield await self._heard(story, batch)
            if self.ended:
                return

    async def _heard(self, story: Story, batch: LogBatch) -> list[Event]:
        events: list[Event] = []
        for numbered in batch.events:
            if isinstance(numbered.event, _TERMINAL):
                self.record = await self._final(story, numbered.event)
                self.ended = True
                return events + story.end(self.record)
            events += story.hear(numbered.event)
        if batch.end is not None and not self._stored:
            self.record = ended_with(self.record, _terminal(batch.end), story.text)
            self.ended = True
            events += story.end(self.record)
        return events

    async def _final(self, story: Story, terminal: RunEvent) -> ResponseRecord:
        """Return the response as history has it by now, or as its log says."""
        try:
            stored = await self._sources.history.response(self.record.response_id)
        except HistoryUnavailable:
            stored = None
        if stored is None or stored.state == "active":
            return ended_with(self.record, terminal, story.text)
        return stored

    async def _rest(self, last: int | None) -> list[Event]:
        """Return what history tells after number `last`, once the response has ended."""
        history, response_id = self._sources.history, self.record.response_id
        stored = await history.response(response_id) if self._stored else None
        if stored is not None and stored.state == "active":
            await self._end_of_log()
            stored = await history.response(response_id)
        if stored is None or stored.state == "active":
            return []
        self.record, self.ended = stored, True
        return from_history(stored, last)

    async def _end_of_log(self) -> None:
        """Wait for the end of a run whose log has dropped its beginning."""
        try:
            async with self._sources.log.follow(self.record.run_id, after=None) as reader:
                async for batch in reader.batches():
                    if _ends(batch.events):
                        return
        except LogGone:
            return


def _ends(events: Sequence[NumberedEvent]) -> bool:
    return any(isinstance(numbered.event, _TERMINAL) for numbered in events)


def _terminal(outcome: RunOutcome) -> Terminal:
    """Return the event that a session would write for this end."""
    if outcome.error is not None:
        return RunFailed(error=outcome.error)
    if outcome.finish_reason == "cancelled":
        return RunCancelled(usage=outcome.usage, message_id="")
    reason = "length" if outcome.finish_reason == "length" else "stop"
    return RunCompleted(finish_reason=reason, usage=outcome.usage, message_id="")  # type: ignore[arg-type]


class StreamedResponse:
    """The response as typed events (an ASGI application)."""

    def __init__(
        self, followed: Followed, streams: OpenStreams, after: int | None, headers: Headers = ()
    ) -> None:
        self._followed = followed
        self._streams = streams
        self._after = after
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Stream until the end, or until the client leaves (ASGI)."""
        # Whoever can come back is sent to another edge when this one closes.
        kind = self._followed.record.background
        stream = self._streams.stream("run" if kind else "openai", receive, send, ping=PING)

        async def write() -> None:
            await self._write(stream)

        async with self._followed:
            await stream.run(write, (*EVENT_STREAM_HEADERS, *self._headers))

    async def _write(self, stream: Stream) -> None:
        async for events in self._followed.events(self._after):
            await stream.write(b"".join(map(_line, events)), events=len(events))


class WholeResponse:
    """The response at its end (an ASGI application)."""

    def __init__(self, followed: Followed, headers: Headers = ()) -> None:
        self._followed = followed
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at the end; stop the run if the client leaves (ASGI)."""
        async with self._followed as followed:
            heard = await unless_gone(receive, self._read())
        if heard is None:
            return
        error = followed.record.error
        if error is not None:
            await error_reply(error)(scope, receive, send)
            return
        view = view_of(followed.record)
        await json_reply(view, headers=self._headers)(scope, receive, send)

    async def _read(self) -> bool:
        async for _ in self._followed.events(None):
            continue
        return True


def _line(event: Event) -> bytes:
    kind: str = event["type"]
    return b"event: " + kind.encode() + b"\ndata: " + _json.encode(event) + b"\n\n"

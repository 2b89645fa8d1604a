"""Streaming answers: written as they come, pinged, cut when their reader is gone or slow."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Literal, TypeVar

from litestar.types import Receive, Send

from edge.config import EdgeConfig
from edge.metrics import OPEN_STREAMS, STREAMS_ENDED
from edge.problems import UNAVAILABLE_RETRY_MS, refuse

R = TypeVar("R")

StreamKind = Literal["run", "openai"]
Ending = Literal["done", "gone", "slow", "closing", "adrift"]

EVENT_STREAM_HEADERS: list[tuple[bytes, bytes]] = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]

_BLOCKED_S = 0.05


def _now_s() -> float:
    """Return the time of the event loop, which is also that of its timers."""
    return asyncio.get_running_loop().time()


class OpenStreams:
    """The streams of this process: a bounded number, ended together at shutdown."""

    def __init__(self, config: EdgeConfig) -> None:
        self._config = config
        self._open: set[Stream] = set()
        self._closing = False
        self._letting_go: asyncio.TimerHandle | None = None

    def bus_reached(self, reached: bool) -> None:
        """Take note that the bus can be reached, or can't. Streams wait for a while; then they
        end as they stand, and their readers resume where the log can be read."""
        if self._letting_go is not None:
            self._letting_go.cancel()
            self._letting_go = None
        if not reached:
            loop = asyncio.get_running_loop()
            self._letting_go = loop.call_later(self._config.adrift_s, self._end_runs, "adrift")

    def check(self) -> None:
        """Return if one more may be opened. Raises Refused (503)."""
        if self._closing or len(self._open) >= self._config.streams_max:
            raise refuse(
                "at_capacity",
                "This edge has no room for another stream.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            )

    def stream(self, kind: StreamKind, receive: Receive, send: Send, *, ping: bytes) -> "Stream":
        """Return a new stream; `ping` is what is written every `ping_s`."""
        return Stream(self, self._config, kind=kind, receive=receive, send=send, ping=ping)

    def end_all(self) -> None:
        """End every run's stream as it stands: its readers resume at another edge. Streams of
        the OpenAI API can't be resumed; they may finish within the server's grace."""
        self._closing = True
        self._end_runs("closing")

    def opened(self, stream: "Stream") -> None:
        """Count a stream that begins."""
        self._open.add(stream)
        if self._closing and stream.kind == "run":
            stream.end("closing")

    def closed(self, stream: "Stream") -> None:
        """Forget a stream that ended."""
        self._open.discard(stream)

    def _end_runs(self, why: Ending) -> None:
        for stream in list(self._open):
            if stream.kind == "run":
                stream.end(why)


class Stream:
    """One streaming response.

    The writer writes straight to the socket; the server's own buffer is the only one, and
    while it is full the writer waits. A watcher pings, hears the client leave, and cuts a
    reader that takes nothing for `slow_reader_s`; what comes from the log meanwhile is
    bounded by that time, and by `backlog_max` events when writing goes on.
    """

    def __init__(
        self,
        streams: OpenStreams,
        config: EdgeConfig,
        *,
        kind: StreamKind,
        receive: Receive,
        send: Send,
        ping: bytes,
    ) -> None:
        self._streams = streams
        self._config = config
        self.kind = kind
        self._receive = receive
        self._send = send
        self._ping = ping
        self._ending: Ending | None = None
        self._writer: asyncio.Task[None] | None = None
        self._writing_since: float | None = None
        self._was_blocked = False

    def end(self, why: Ending) -> None:
        """Stop writing as soon as possible; the first reason counts."""
        if self._ending is None:
            self._ending = why
            if self._writer is not None:
                self._writer.cancel()

    async def write(self, chunk: bytes, *, events: int = 1) -> None:
        """Write a chunk that carries `events` events, in one write to the socket."""
        if self._was_blocked:
            self._was_blocked = False
            if events > self._config.backlog_max:
                self.end("slow")
                return
        began = self._writing_since = _now_s()
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        self._writing_since = None
        self._was_blocked = _now_s() - began > _BLOCKED_S

    async def run(
        self, source: Callable[[], Awaitable[None]], headers: Iterable[tuple[bytes, bytes]]
    ) -> Ending:
        """Send the head, let `source` write until it returns, and end the response; return
        why it ended. An exception of `source` is raised, in its group."""
        await self._send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        OPEN_STREAMS.labels(self.kind).inc()
        try:
            async with asyncio.TaskGroup() as group:
                self._writer = group.create_task(self._run(source))
                watcher = group.create_task(self._watch())
                self._writer.add_done_callback(lambda _: watcher.cancel())
                self._streams.opened(self)
        finally:
            self._streams.closed(self)
            OPEN_STREAMS.labels(self.kind).dec()
            ending = self._ending or "done"
            STREAMS_ENDED.labels(self.kind, ending).inc()
        if ending in ("done", "closing", "adrift"):
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        return ending

    async def _run(self, source: Callable[[], Awaitable[None]]) -> None:
        await source()

    async def _watch(self) -> None:
        config = self._config
        opened = next_ping = _now_s()
        tick_s = min(config.ping_s, config.slow_reader_s / 2)
        next_ping += config.ping_s
        while self._ending is None:
            try:
                async with asyncio.timeout(tick_s):
                    message = await self._receive()
                if message["type"] == "http.disconnect":
                    self.end("gone")
                    return
            except TimeoutError:
                pass
            now = _now_s()
            if self._writing_since is not None:
                if now - self._writing_since >= config.slow_reader_s:
                    self.end("slow")
            elif now - opened >= config.stream_max_s:
                self.end("closing")
            elif now >= next_ping:
                next_ping = now + config.ping_s
                await self._write_ping()

    async def _write_ping(self) -> None:
        try:
            async with asyncio.timeout(self._config.slow_reader_s):
                await self._send(
                    {"type": "http.response.body", "body": self._ping, "more_body": True}
                )
        except TimeoutError:
            self.end("slow")


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, R]) -> R | None:
    """Return what `work` returns, None if the client left before: `work` is cancelled then."""
    async with asyncio.TaskGroup() as group:
        working = group.create_task(work)
        hearing = group.create_task(_heard_leaving(receive, working))
        working.add_done_callback(lambda _: hearing.cancel())
    return None if working.cancelled() else working.result()


async def _heard_leaving(receive: Receive, working: asyncio.Task[Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    working.cancel()

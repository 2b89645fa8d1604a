"""Simulated edges: the production rooms that take prompts, stop runs and serve event streams.

What is left out is HTTP itself: an `Exchange` stands for one request's connection, which
breaks when its edge dies and on which the client may hang up.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from contextvars import copy_context
from typing import Any, NamedTuple, TypeVar, cast

from litestar.types import ASGIApp, Scope

from contracts.errors import BusError, HistoryUnavailable, Refused
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.ports.token_log import TokenLog
from contracts.session import CancelReply, CancelRun, PromptAccepted, SubmitPrompt
from edge.config import EdgeConfig, ModelPool, TokenKey
from edge.models import Models
from edge.queue_watch import QueueWatch
from edge.run_streams import RunStreams
from edge.streaming import OpenStreams
from edge.submissions import Submissions
from tests.simulation.faults import FaultyBus

T = TypeVar("T")


class Gone(Exception):
    """The edge can't be reached, or died before it answered."""


class NotServed(Exception):
    """The edge answered with an error (its text says which)."""


class Shown(NamedTuple):
    """One event as a page has it; `text` is that of a delta or a snapshot."""

    seq: int
    kind: str
    text: str


class Exchange:
    """One request's connection, as both of its ends see it."""

    def __init__(self) -> None:
        self.status = 0
        self._left = asyncio.Event()
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()

    # the server's end (ASGI)

    async def receive(self) -> Any:
        """Return when the client hangs up."""
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self._chunks.put_nowait(message["body"])

    def close(self) -> None:
        """Nothing more comes: the answer is whole, or its server is dead."""
        self._chunks.put_nowait(None)

    # the client's end

    def leave(self) -> None:
        """Hang up."""
        self._left.set()

    async def events(self) -> AsyncIterator[Shown]:
        """Yield what comes, until the connection ends."""
        rest = b""
        while (chunk := await self._chunks.get()) is not None:
            *events, rest = (rest + chunk).split(b"\n\n")
            for event in events:
                fields = dict(line.split(b": ", 1) for line in event.splitlines())
                if b"id" in fields:
                    data = json.loads(fields[b"data"])
                    text = data.get("delta", data.get("text", ""))
                    yield Shown(int(fields[b"id"]), fields[b"event"].decode(), text)


class SimulatedEdge:
    """One life of an edge. Requests run as part of its process and end with it."""

    def __init__(
        self,
        bus: FaultyBus,
        log: TokenLog,
        history: History,
        clock: Clock,
        *,
        model: str,
        pool: str,
    ) -> None:
        served = ModelPool(model, pool)
        config = EdgeConfig(models=(served,), token_keys=(TokenKey("key", b"k" * 32),))
        models = cast("Models", _OneModel(served))
        self._bus = bus
        self._history = history
        self._submissions = Submissions(config, bus)
        self._watch = QueueWatch(bus, models)
        self._runs = RunStreams(log, history, OpenStreams(config), clock, self._watch)
        self._group: asyncio.TaskGroup | None = None
        self._context = copy_context()

    async def run(self) -> None:
        """Serve until cancelled."""
        inbox = await self._submissions.listen()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._watch.tell()
        finally:
            self._group = None
            await inbox.stop()

    # requests: called by clients, carried out by the edge's process

    async def prompt(self, command: SubmitPrompt, exchange: Exchange | None) -> PromptAccepted:
        """Submit a prompt; with an exchange its events follow on it.

        Raises Gone, NotServed, Refused (the session's or the edge's refusal).
        """
        return await self._ask(lambda: self._prompt(command, exchange), exchange)

    async def cancel(self, command: CancelRun) -> CancelReply | None:
        """Stop a run. Raises Gone, NotServed."""
        return await self._ask(lambda: self._submissions.cancel(command), None)

    async def append(self, subject: str, data: bytes) -> None:
        """Store a command a second time, as a connection that broke may make it happen."""
        await self._ask(lambda: self._bus.append(subject, data), None)

    async def join(self, exchange: Exchange, chat_id: str, run_id: str, after: int | None) -> None:
        """Serve the events of a run after event `after`. Raises Gone, NotServed."""
        await self._ask(lambda: self._join(exchange, chat_id, run_id, after), exchange)

    async def _prompt(self, command: SubmitPrompt, exchange: Exchange | None) -> PromptAccepted:
        if exchange is None:
            return await self._submissions.submit(command)
        async with AsyncExitStack() as stack:
            reader = self._runs.reader(command.run_id)
            await stack.enter_async_context(reader)
            accepted = await self._submissions.submit(command)
            if accepted.run_id == command.run_id:
                held = stack.pop_all()
                self._serve(
                    self._runs.begin(
                        command.chat_id, accepted, reader=reader, held=held, arrived_s=0.0
                    ),
                    exchange,
                )
                return accepted
        await self._join(exchange, command.chat_id, accepted.run_id, None)
        return accepted

    async def _join(self, exchange: Exchange, chat_id: str, run_id: str, after: int | None) -> None:
        run = await self._history.run(chat_id, run_id)
        if run is None:
            raise NotServed("404")
        self._serve(await self._runs.join(run, after), exchange)

    def _serve(self, app: ASGIApp, exchange: Exchange) -> None:
        async def serve() -> None:
            try:
                await app(cast("Scope", {}), exchange.receive, exchange.send)
            except* (BusError, HistoryUnavailable):
                pass  # the server logs it, and closes the connection

        self._spawn(serve()).add_done_callback(lambda _: exchange.close())

    async def _ask(self, work: Callable[[], Awaitable[T]], exchange: Exchange | None) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def carry_out() -> None:
            try:
                result = await work()
                if not answer.done():
                    answer.set_result(result)
            except (Refused, NotServed) as error:
                fail(error)
            except (BusError, HistoryUnavailable) as error:
                fail(NotServed(f"503 {error}"))

        def fail(error: Exception) -> None:
            if not answer.done():
                answer.set_exception(error)
                if exchange is not None:
                    exchange.close()

        if self._group is None or self._bus.dead:
            raise Gone("nobody listens")
        asked = self._spawn(carry_out())
        asked.add_done_callback(lambda _: fail(Gone("the connection was reset")))
        return await answer

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._group is not None, "the edge serves"
        return self._group.create_task(work, context=self._context)


class _OneModel:
    """All that the watch of queues asks of `Models`."""

    def __init__(self, served: ModelPool) -> None:
        self._served = served

    def all(self) -> tuple[ModelPool, ...]:
        """Return what is served."""
        return (self._served,)

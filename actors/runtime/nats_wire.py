"""One NATS connection, made for many small messages (decision 0009).

nats-py does the protocol, the reconnecting and the authentication. This subclass changes what
costs most on the hot path and what is unsound there:

- a message goes straight to its handler: no queue, no task, no parsed headers a subscription;
- a command goes straight to the transport, so that a PING really follows what was sent before
  it (nats-py writes the PING past its own buffer, and `flush` then proves nothing);
- nothing is buffered for later while disconnected: the sender is told at once, also between the
  loop's closing of a connection and the turn in which the client hears of it;
- a server that is out of reach without a word (a cut network, a dead machine) is noticed within
  seconds, and nothing more is waited for on that connection;
- any error of the server's but a refused permission makes it reconnect, instead of closing.
"""

import asyncio
import itertools
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

from nats import errors as nats_errors
from nats.aio.client import Client

from actors.runtime import metrics
from actors.runtime.raw_headers import status_of
from contracts.errors import BusTimeout, BusUnavailable

WRITE_BUFFER_LIMIT = 16 << 20
"""Bytes that may wait in the socket's buffer before a sender is refused."""

_UNACKNOWLEDGED_MS = 3_000
"""How long the server's machine may acknowledge nothing of what was sent (RFC 5482) before the
connection is given up: its kernel answers also where the server itself is paused."""

_PING_S = 1
"""So that there is always something to acknowledge."""

_PINGS_UNANSWERED = 8
"""How many pings a server that is reachable may leave unanswered: it is paused, or very busy."""

_UNSAFE = re.compile(r"[\s\x00]")

RawHandler = Callable[[str, str, bytes, bytes], None]
"""Takes subject, reply, data and the raw header block (empty if none)."""


class _RoutedClient(Client):
    """nats-py's client with a direct way in and out. See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.routes: dict[int, RawHandler] = {}
        self.ready = False

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        route = self.routes.get(sid)
        if route is not None:
            route(subject.decode(), reply.decode() if reply else "", data, headers or b"")
            return
        await super()._process_msg(sid, subject, reply, data, headers)

    async def _process_connect_init(self) -> None:
        connection = self._writer().get_extra_info("socket")
        if connection is None:
            # uvloop's, of a server that died as it accepted. nats-py tries again after its own.
            raise nats_errors.Error("nats: lost as soon as it was connected")
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; elsewhere the pings have to do
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
        await super()._process_connect_init()

    async def _attempt_reconnect(self) -> None:
        # A connection that is closed in order waits until all was sent, which may be never.
        self._writer().transport.abort()
        while True:
            try:
                return await super()._attempt_reconnect()
            except Exception as error:  # noqa: BLE001 - whoever gave up would be deaf for good
                await self._error_cb(error)
                await asyncio.sleep(self.options["reconnect_time_wait"])

    def _writer(self) -> Any:
        return cast("Any", self._transport)._io_writer

    async def _process_err(self, err_msg: str) -> None:
        error = nats_errors.Error(f"nats: {err_msg}")
        if "permissions violation" in err_msg:
            await self._error_cb(error)
        else:
            await self._process_op_err(error)

    async def _process_pong(self) -> None:
        # A PONG for a flush that gave up must not end the read loop.
        if self._pongs and self._pongs[0].done():
            self._pongs.pop(0)
            self._pings_outstanding = 0
        else:
            await super()._process_pong()

    async def _send_command(self, cmd: bytes, priority: bool = False) -> None:
        if self._open and not self._pending:
            self._transport.write(cmd)  # type: ignore[union-attr]
        else:
            await super()._send_command(cmd, priority)

    def write(self, command: bytes) -> None:
        """Send a whole command now. Raises BusUnavailable: nothing was sent."""
        if not self.usable or self._pending:
            metrics.bus_unsent.inc()
            raise BusUnavailable("disconnected")
        writer = self._writer()
        if writer.transport.get_write_buffer_size() > WRITE_BUFFER_LIMIT:
            metrics.bus_unsent.inc()
            raise BusUnavailable("the connection is congested")
        writer.write(command)

    @property
    def usable(self) -> bool:
        """Whether what is written now is sent to a server that was prepared."""
        return self.ready and self._open

    @property
    def _open(self) -> bool:
        # The loop closes a connection before nats-py is told; uvloop's then raises RuntimeError.
        return self._status == Client.CONNECTED and not self._writer().transport.is_closing()

    @property
    def next_sid(self) -> int:
        """The number that the next subscription will get."""
        return self._sid + 1


class Wire:
    """A connection with routed subscriptions and multiplexed replies."""

    def __init__(self, on_state: Callable[[bool], None], on_error: Callable[[str], None]) -> None:
        self.client = _RoutedClient()
        self._on_state = on_state
        self._on_error = on_error
        self._inbox = ""
        self._tokens = itertools.count(1)
        self._replies: dict[str, Callable[[bytes, bytes], bool]] = {}
        self._lost: dict[str, asyncio.Future[Any]] = {}

    @property
    def connected(self) -> bool:
        """True while the server is reachable."""
        return self.client.usable

    async def open(
        self, servers: list[str], name: str, timeout_s: float, inbox_prefix: str = "_INBOX"
    ) -> None:
        """Connect and prepare the inbox. Raises BusUnavailable, naming the last error."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.client.connect(
                    servers=servers,
                    name=name,
                    inbox_prefix=inbox_prefix,
                    error_cb=self._error,
                    disconnected_cb=self._disconnected,
                    reconnected_cb=self._reconnected,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=cast("int", 0.1),
                    ping_interval=_PING_S,
                    max_outstanding_pings=_PINGS_UNANSWERED,
                    connect_timeout=2,
                )
        except TimeoutError:
            last = self.client.last_error
            await self.client.close()
            places = ", ".join(server.rpartition("@")[2] for server in servers)
            raise BusUnavailable(f"no NATS server at {places}: {last}") from last
        self.client.ready = True
        self._inbox = self.client.new_inbox()
        await self.subscribe(f"{self._inbox}.*", self._answered)

    async def _error(self, error: Exception) -> None:
        metrics.bus_errors.labels(self.client.options.get("name")).inc()
        self._on_error(str(error) or type(error).__name__)

    async def _disconnected(self) -> None:
        self.client.ready = False
        for future in list(self._lost.values()):
            if not future.done():
                future.set_exception(BusUnavailable("disconnected while waiting for an answer"))
        if not self.client.is_closed:
            self._on_state(False)

    async def _reconnected(self) -> None:
        self.client.ready = True
        metrics.bus_reconnects.labels(self.client.options.get("name")).inc()
        self._on_state(True)

    def _answered(self, subject: str, _reply: str, data: bytes, headers: bytes) -> None:
        token = subject[len(self._inbox) + 1 :]
        take = self._replies.get(token)
        if take is not None and take(data, headers):
            self._replies.pop(token, None)

    async def subscribe(
        self, subject: str, route: RawHandler, queue: str = "", *, confirmed: bool = True
    ) -> Callable[[], Awaitable[None]]:
        """Route a subject; return what ends it. The server knows of it when this returns, or, if
        not `confirmed`, before it takes the next command of this connection."""
        if not self.connected:
            raise BusUnavailable("disconnected")
        sid = self.client.next_sid
        self.client.routes[sid] = route
        try:
            subscription = await self.client.subscribe(subject, queue=queue)
        except nats_errors.Error:
            self.client.routes.pop(sid, None)
            raise

        async def end() -> None:
            if self.client.routes.pop(sid, None) is not None and not self.client.is_closed:
                await subscription.unsubscribe()

        if confirmed:
            try:
                await self.flush()
            except BaseException:
                await end()
                raise
        return end

    async def flush(self, timeout_s: float = 5.0) -> None:
        """Return when the server has processed all that was sent before.

        Raises BusUnavailable, BusTimeout.
        """
        if not self.connected:
            raise BusUnavailable("disconnected")
        token = str(next(self._tokens))
        pong: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._lost[token] = pong
        try:
            async with asyncio.timeout(timeout_s):
                await self.client._send_ping(pong)
                await pong
        except TimeoutError as error:
            raise BusTimeout(f"the server answered no ping within {timeout_s} s") from error
        finally:
            pong.cancel()
            self._lost.pop(token, None)

    def publish(self, subject: str, data: bytes, reply: str = "", headers: bytes = b"") -> None:
        """Send one message. Raises BusUnavailable (nothing sent), ValueError (bad subject)."""
        if _UNSAFE.search(subject) or not subject or (reply and _UNSAFE.search(reply)):
            raise ValueError(f"not a legal subject: {subject!r}")
        to = f"{subject} {reply}" if reply else subject
        size = len(headers) + len(data)
        if headers:
            head = f"HPUB {to} {len(headers)} {size}\r\n".encode()
        else:
            head = f"PUB {to} {size}\r\n".encode()
        self.client.write(b"".join((head, headers, data, b"\r\n")))

    async def ask(
        self, subject: str, data: bytes, *, timeout_s: float, headers: bytes = b""
    ) -> tuple[bytes, bytes]:
        """Return data and raw headers of the first answer.

        Raises BusTimeout, BusUnavailable; a status (no responders) is the caller's to read.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[bytes, bytes]] = loop.create_future()

        def take(reply: bytes, raw: bytes) -> bool:
            if not answer.done():
                answer.set_result((reply, raw))
            return True

        await self._send_and_wait(
            subject, data, headers, answer=answer, take=take, timeout_s=timeout_s
        )
        return answer.result()

    async def gather(
        self, subject: str, data: bytes, *, timeout_s: float
    ) -> list[tuple[bytes, bytes]]:
        """Return all answers up to the one that carries a status, that one included."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[tuple[bytes, bytes]]] = loop.create_future()
        parts: list[tuple[bytes, bytes]] = []

        def take(reply: bytes, raw: bytes) -> bool:
            parts.append((reply, raw))
            if not status_of(raw):
                return False
            if not answer.done():
                answer.set_result(parts)
            return True

        await self._send_and_wait(subject, data, b"", answer=answer, take=take, timeout_s=timeout_s)
        return answer.result()

    async def _send_and_wait(
        self,
        subject: str,
        data: bytes,
        headers: bytes,
        *,
        answer: "asyncio.Future[Any]",
        take: Callable[[bytes, bytes], bool],
        timeout_s: float,
    ) -> None:
        token = str(next(self._tokens))

        def expire() -> None:
            if not answer.done():
                answer.set_exception(BusTimeout(f"no answer on {subject} within {timeout_s} s"))

        self._replies[token] = take
        self._lost[token] = answer
        timer = asyncio.get_running_loop().call_later(timeout_s, expire)
        try:
            self.publish(subject, data, f"{self._inbox}.{token}", headers)
            await answer
        finally:
            timer.cancel()
            self._lost.pop(token, None)
            self._replies.pop(token, None)

    async def close(self) -> None:
        """Flush what is buffered and disconnect."""
        if self.client.is_closed:
            return
        if self.connected:
            try:
                await self.flush(timeout_s=1)
            except BusUnavailable:
                self._on_error("closed without a last answer of the server")
        self.client.routes.clear()
        self.client.ready = False
        try:
            await self.client.close()
        except OSError as error:
            # The connection went while its last bytes were written; it is closed all the same.
            self._on_error(str(error))

"""Commands to session actors, and their replies.

A command is appended to the durable stream; its reply comes as a core message to this edge's
one inbox, under a token of the command. So a request costs no subscription of its own.

Where the connection broke, command or reply may be lost: the command is sent again. Sessions
know a command by its run, and answer one that they have carried out as they did before.
"""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec
import structlog

from contracts.codec import decode, encode
from contracts.errors import BadMessage, BusUnavailable, Refused, StreamFull
from contracts.ports.bus import Bus, Inbound, Subscription
from contracts.responses import SubmitResponse
from contracts.session import (
    CancelReply,
    CancelRun,
    PromptAccepted,
    PromptRejected,
    SubmitPrompt,
    SubmitReply,
)
from contracts.subjects import session_commands
from edge.config import EdgeConfig
from edge.metrics import BAD_MESSAGES
from edge.problems import UNAVAILABLE_RETRY_MS, refuse

_log = structlog.get_logger()

C = TypeVar("C", bound=SubmitPrompt | CancelRun | SubmitResponse)

_RESEND_S = 0.2


class Submissions:
    """Sends commands and pairs the replies with them. Awaited replies are as many as requests
    in flight, each for a bounded time."""

    def __init__(self, config: EdgeConfig, bus: Bus) -> None:
        self._config = config
        self._bus = bus
        self._inbox = bus.new_inbox()
        self._tokens = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._connections = 0
        bus.on_connection(self._connection_changed)

    def _connection_changed(self, connected: bool) -> None:
        self._connections += connected

    async def listen(self) -> Subscription:
        """Begin to hear replies."""
        return await self._bus.subscribe(f"{self._inbox}.*", self._hear)

    def _hear(self, message: Inbound) -> None:
        reply = self._waiting.get(message.subject.rpartition(".")[2])
        if reply is not None and not reply.done():
            reply.set_result(message.data)

    async def submit(self, command: SubmitPrompt | SubmitResponse) -> PromptAccepted:
        """Return the acceptance of a prompt, or of a response.

        Raises:
            Refused: the session's refusal, or `unavailable` when no answer came in time: the
                command has expired by then, so it won't be executed late.
        """
        data = await self._ask(command, self._config.submit_timeout_s)
        if data is None:
            raise refuse(
                "unavailable",
                "The prompt was not taken in time. Send it again; with the same"
                " Idempotency-Key it can't be answered twice.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            )
        match self._decoded(data):
            case PromptAccepted() as accepted:
                return accepted
            case PromptRejected(problem=problem):
                raise Refused(problem)

    async def cancel(self, command: CancelRun) -> CancelReply | None:
        """Return how the run ended; None when that was not known within `cancel_wait_s`: the
        command is stored and will be carried out.

        Raises:
            BusUnavailable: nobody knows whether it is stored.
        """
        data = await self._ask(command, self._config.cancel_wait_s)
        return None if data is None else decode(data, CancelReply)

    async def _ask(self, command: C, seconds: float) -> bytes | None:
        """Send the command, again after each break of the connection, and return the reply;
        None if there is none in time. A cancel of which that is not known raises
        BusUnavailable; a prompt has expired by then and is not executed late."""
        with self._reply() as (reply_to, reply):
            command = msgspec.structs.replace(command, reply_to=reply_to)
            stored = False
            try:
                async with asyncio.timeout(seconds):
                    while not reply.done():
                        connections = self._connections
                        if await self._append(command):
                            stored = True
                            await self._await_reply(reply, connections)
                        else:
                            await asyncio.sleep(_RESEND_S)
            except TimeoutError:
                if not stored and isinstance(command, CancelRun):
                    raise BusUnavailable("the cancel could not be stored") from None
                return None
            return reply.result()

    async def _await_reply(self, reply: asyncio.Future[bytes], connections: int) -> None:
        """Return with the reply, or when the connection has been lost and come back."""
        while not reply.done() and connections == self._connections:
            await asyncio.wait([reply], timeout=_RESEND_S)

    @contextmanager
    def _reply(self) -> Iterator[tuple[str, asyncio.Future[bytes]]]:
        token = str(next(self._tokens))
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[token] = reply
        try:
            yield f"{self._inbox}.{token}", reply
        finally:
            del self._waiting[token]

    async def _append(self, command: C) -> bool:
        """Store the command; return False if it may have been stored or not."""
        data = encode(command)
        if len(data) > self._config.command_max_bytes:
            raise refuse(
                "too_large", f"A prompt takes at most {self._config.command_max_bytes} bytes."
            )
        try:
            await self._bus.append(session_commands(command.chat_id), data)
        except StreamFull as error:
            raise refuse(
                "at_capacity", "The command queue is full.", retry_after_ms=UNAVAILABLE_RETRY_MS
            ) from error
        except BusUnavailable:
            _log.warning("command.unacknowledged", run_id=command.run_id, chat_id=command.chat_id)
            return False
        return True

    @staticmethod
    def _decoded(data: bytes) -> SubmitReply:
        try:
            reply: SubmitReply = decode(data, SubmitReply)
        except BadMessage as error:
            BAD_MESSAGES.labels("reply").inc()
            raise refuse("internal", "The session's answer made no sense.") from error
        return reply

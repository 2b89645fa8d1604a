"""Commands to session actors, and their replies.

A command is appended to the durable stream; its reply comes as a core message to this edge's
one inbox, under a token of the command. So a request costs no subscription of its own.
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

C = TypeVar("C", SubmitPrompt, CancelRun)


class Submissions:
    """Sends commands and pairs the replies with them. Awaited replies are as many as requests
    in flight, each for a bounded time."""

    def __init__(self, config: EdgeConfig, bus: Bus) -> None:
        self._config = config
        self._bus = bus
        self._inbox = bus.new_inbox()
        self._tokens = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[bytes]] = {}

    async def listen(self) -> Subscription:
        """Begin to hear replies."""
        return await self._bus.subscribe(f"{self._inbox}.*", self._hear)

    def _hear(self, message: Inbound) -> None:
        reply = self._waiting.get(message.subject.rpartition(".")[2])
        if reply is not None and not reply.done():
            reply.set_result(message.data)

    async def submit(self, command: SubmitPrompt) -> PromptAccepted:
        """Return the acceptance of a prompt.

        Raises:
            Refused: the session's refusal, or `unavailable` when no answer came in time: the
                command has expired by then, so it won't be executed late.
        """
        with self._reply() as (reply_to, reply):
            deadline = asyncio.get_running_loop().time() + self._config.submit_timeout_s
            await self._append(msgspec.structs.replace(command, reply_to=reply_to))
            try:
                async with asyncio.timeout_at(deadline):
                    data = await reply
            except TimeoutError as error:
                raise refuse(
                    "unavailable",
                    "The prompt was not taken in time. Send it again; with the same"
                    " Idempotency-Key it can't be answered twice.",
                    retry_after_ms=UNAVAILABLE_RETRY_MS,
                ) from error
        match self._decoded(data):
            case PromptAccepted() as accepted:
                return accepted
            case PromptRejected(problem=problem):
                raise Refused(problem)

    async def cancel(self, command: CancelRun) -> CancelReply | None:
        """Return how the run ended; None when that was not known within `cancel_wait_s`: the
        command is stored and will be carried out."""
        with self._reply() as (reply_to, reply):
            await self._append(msgspec.structs.replace(command, reply_to=reply_to))
            try:
                async with asyncio.timeout(self._config.cancel_wait_s):
                    return decode(await reply, CancelReply)
            except TimeoutError:
                return None

    @contextmanager
    def _reply(self) -> Iterator[tuple[str, asyncio.Future[bytes]]]:
        token = str(next(self._tokens))
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[token] = reply
        try:
            yield f"{self._inbox}.{token}", reply
        finally:
            del self._waiting[token]

    async def _append(self, command: C) -> None:
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
            if isinstance(command, CancelRun):
                raise
            # It may have been stored: wait for the reply as long as it may be executed, rather
            # than refuse a prompt that is then answered.
            _log.warning("submit.unacknowledged", run_id=command.run_id, chat_id=command.chat_id)

    @staticmethod
    def _decoded(data: bytes) -> SubmitReply:
        try:
            reply: SubmitReply = decode(data, SubmitReply)
        except BadMessage as error:
            BAD_MESSAGES.labels("reply").inc()
            raise refuse("internal", "The session's answer made no sense.") from error
        return reply

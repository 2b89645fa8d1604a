"""What concerns one run's log, performed one thing at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from msgspec.structs import replace

from actors.gpu import metrics
from actors.gpu.config import GpuConfig
from actors.gpu.protocol import (
    Append,
    Appended,
    Claimed,
    ClaimLog,
    Fenced,
    FinishStored,
    LogLost,
    LogRead,
    Message,
    PublishFinished,
    ReadLog,
    WriteSnapshot,
)
from contracts import errors
from contracts.codec import encode
from contracts.errors import InvariantBroken
from contracts.ports.bus import Bus
from contracts.ports.clock import Clock
from contracts.ports.token_log import RunWriter, TokenLog
from contracts.session import RunFinished
from contracts.subjects import session_commands

_TRY_S = 2.0
"""An append that the leader of a stream did not answer is repeated: it may be another by then."""

_log = structlog.get_logger()
T = TypeVar("T")

LogEffect = Append | ClaimLog | ReadLog | WriteSnapshot | PublishFinished


class LogHand:
    """Performs the log's effects of one attempt and reports each to `feed`.

    The machine has at most two of them outstanding (a snapshot and the entry after it), which
    bounds the queue. While the bus is away the present one is offered again and again; the
    engine's output waits in the machine meanwhile.
    """

    def __init__(
        self,
        config: GpuConfig,
        bus: Bus,
        log: TokenLog,
        clock: Clock,
        feed: Callable[[Message], None],
    ) -> None:
        self.task: asyncio.Task[None] | None = None
        self._config = config
        self._bus = bus
        self._token_log = log
        self._clock = clock
        self._feed = feed
        self._queue: asyncio.Queue[LogEffect] = asyncio.Queue(maxsize=4)
        self._writer: RunWriter | None = None
        self._committed = metrics.COMMITTED.labels(config.worker)
        self._entries = metrics.ENTRIES.labels(config.worker)

    def put(self, effect: LogEffect) -> None:
        """Perform this after what was put before."""
        self._queue.put_nowait(effect)

    async def run(self) -> None:
        """Perform until cancelled."""
        while True:
            effect = await self._queue.get()
            try:
                answer = await self._perform(effect)
            except errors.Fenced as error:
                _log.info("fenced", run_id=effect.run_id, error=str(error))
                answer = Fenced(effect.run_id, effect.attempt)
            except errors.LogGone as error:
                _log.warning("the log is gone", run_id=effect.run_id, error=str(error))
                answer = LogLost(effect.run_id, effect.attempt)
            if answer is not None:
                self._feed(answer)

    async def _perform(self, effect: LogEffect) -> Message | None:
        run_id, attempt = effect.run_id, effect.attempt
        match effect:
            case Append(entry=entry):
                seq = await self._offered(lambda: self._claimed().append(entry))
                self._committed.inc(len(entry.tokens))
                self._entries.inc()
                return Appended(run_id, attempt, seq)
            case WriteSnapshot(snapshot=snapshot):
                await self._claimed().snapshot(snapshot)
                return None
            case ClaimLog(expect_epoch=expect_epoch):
                self._writer = await self._offered(
                    lambda: self._token_log.claim(
                        run_id,
                        writer=self._config.worker,
                        attempt=attempt,
                        expect_epoch=expect_epoch,
                    )
                )
                return Claimed(run_id, attempt, self._writer.epoch)
            case ReadLog():
                state = await self._offered(lambda: self._token_log.read(run_id))
                return LogRead(run_id, attempt, state)
            case PublishFinished(finished=told):
                writer = self._claimed()
                finished = replace(told, epoch=writer.epoch, moved=writer.moved)
                await self._offered(lambda: self._store(finished))
                return FinishStored(run_id, attempt)

    async def _store(self, finished: RunFinished) -> int:
        return await self._bus.append(
            session_commands(finished.chat_id),
            encode(finished),
            msg_id=f"{finished.run_id}.finished.{finished.epoch}",
            timeout_s=_TRY_S,
        )

    async def _offered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again until the bus takes it; what it may have taken already it takes once."""
        while True:
            try:
                return await ask()
            except (errors.BusUnavailable, errors.StreamFull) as error:
                metrics.RETRIED.labels(self._config.worker).inc()
                _log.warning("the bus does not take it", error=str(error))
                await self._clock.sleep(self._config.retry_ms / 1000)

    def _claimed(self) -> RunWriter:
        if self._writer is None:
            raise InvariantBroken("nothing may be written before the log is claimed")
        return self._writer

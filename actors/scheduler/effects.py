"""Performs what a scheduler machine decided. Almost no branches."""

from collections import OrderedDict

import structlog

from actors.runtime.telling import tell
from actors.scheduler import metrics
from actors.scheduler.degradation import LEVELS
from actors.scheduler.state import (
    Answer,
    Broadcast,
    CheckClosed,
    ClosedChecked,
    Effect,
    EndFailed,
    EndRun,
    EndStored,
    Notify,
    SchedulerMessage,
    Send,
    Settle,
)
from contracts.codec import encode
from contracts.errors import BusUnavailable, Fenced, LogGone, StreamFull
from contracts.log import CLOSING_ATTEMPT, LogEntry
from contracts.ports.bus import Bus, Delivery
from contracts.ports.clock import Clock
from contracts.ports.token_log import RunWriter, TokenLog
from contracts.scheduling import StartRun
from contracts.session import RunFinished
from contracts.subjects import pool_status, session_commands, worker_commands

_log = structlog.get_logger()
_WRITERS_MAX = 4_096


class EffectRunner:
    """The hands of a scheduler: holds the unacknowledged deliveries of `RUNS` and the claims
    under which it writes queue positions. Requests are answered over `side_bus`."""

    def __init__(
        self,
        pool: str,
        actor_id: str,
        bus: Bus,
        log: TokenLog,
        clock: Clock,
        *,
        side_bus: Bus,
    ) -> None:
        self.deliveries: dict[int, Delivery] = {}
        self._pool = pool
        self._writer_name = f"scheduler/{actor_id}"
        self._bus = bus
        self._side_bus = side_bus
        self._log = log
        self._clock = clock
        self._notices: OrderedDict[str, tuple[RunWriter, int]] = OrderedDict()
        self._writing: dict[str, None] = {}

    def perform_now(self, effect: Effect) -> bool:
        """Do what needs no waiting. Returns False if the effect is for `perform_later`."""
        match effect:
            case Send(worker, command):
                if isinstance(command, StartRun):
                    metrics.DISPATCHED.labels(self._pool).inc()
                    self._notices.pop(command.spec.run_id, None)
                tell(self._bus, worker_commands(worker), command)
            case Settle(delivery):
                metrics.SETTLED.labels(self._pool).inc()
                held = self.deliveries.pop(delivery, None)
                if held is not None:
                    held.ack()
            case Answer(to, body):
                tell(self._side_bus, to, body)
            case Broadcast(status):
                metrics.QUEUED.labels(self._pool).set(status.queued)
                metrics.RUNNING.labels(self._pool).set(status.running)
                metrics.LEVEL.labels(self._pool).set(LEVELS.index(status.level))
                for tier, wait_ms in (status.waits_ms or {}).items():
                    metrics.WAIT_S.labels(self._pool, tier).set(wait_ms / 1000)
                tell(self._bus, pool_status(self._pool), status)
            case _:
                return False
        return True

    async def perform_later(self, effect: Effect) -> SchedulerMessage | None:
        """Do what awaits the server, and return what the machine is to be told."""
        match effect:
            case EndRun():
                return await self._end(effect)
            case CheckClosed(run_id):
                return await self._check(run_id)
            case Notify():
                await self._notify(effect)
        return None

    async def _end(self, effect: EndRun) -> SchedulerMessage:
        spec, outcome = effect.spec, effect.outcome
        metrics.ENDED.labels(self._pool, outcome.finish_reason).inc()
        try:
            if spec.chat_id is None:
                await self._end_api_run(effect)
            else:
                finished = RunFinished(
                    run_id=spec.run_id,
                    chat_id=spec.chat_id,
                    epoch=0,
                    next_seq=1,
                    text="",
                    outcome=outcome,
                    model=spec.model,
                    message_id=spec.message_id,
                )
                await self._bus.append(session_commands(spec.chat_id), encode(finished))
        except (BusUnavailable, StreamFull) as error:
            _log.warning("run not ended yet", run_id=spec.run_id, error=str(error))
            return EndFailed(spec.run_id)
        except Fenced:
            return EndStored(spec.run_id)
        return EndStored(spec.run_id)

    async def _end_api_run(self, effect: EndRun) -> None:
        run_id = effect.spec.run_id
        writer = await self._claim(run_id, effect.attempt)
        try:
            state = await self._log.read(run_id)
        except LogGone:
            return
        if state.end is None:
            now_ms = self._clock.now_ms()
            await writer.append(
                LogEntry(
                    epoch=writer.epoch,
                    seq=state.next_seq,
                    offset=len(state.tokens),
                    at_ms=now_ms,
                    end=effect.outcome,
                )
            )

    async def _check(self, run_id: str) -> SchedulerMessage | None:
        try:
            claim = await self._log.read_claim(run_id)
            if claim is not None and claim[1].attempt >= CLOSING_ATTEMPT:
                return ClosedChecked(run_id, closed=True)
            state = await self._log.read(run_id)
        except LogGone:
            return ClosedChecked(run_id, closed=False)
        except BusUnavailable:
            return None
        return ClosedChecked(run_id, closed=state.terminal is not None)

    async def _notify(self, effect: Notify) -> None:
        """Write one queue position; a newer one follows, so none is repeated."""
        run_id = effect.run_id
        if run_id in self._writing:
            return
        self._writing[run_id] = None
        try:
            if run_id not in self._notices:
                writer = await self._claim(run_id, effect.attempt)
                state = await self._log.read(run_id)
                self._notices[run_id] = (writer, state.next_seq)
                if len(self._notices) > _WRITERS_MAX:
                    self._notices.popitem(last=False)
            writer, seq = self._notices[run_id]
            entry = LogEntry(
                epoch=writer.epoch, seq=seq, events=(effect.event,), at_ms=self._clock.now_ms()
            )
            await writer.append(entry)
            if run_id in self._notices:
                self._notices[run_id] = (writer, entry.next_seq)
        except (Fenced, LogGone):
            self._notices.pop(run_id, None)
        except BusUnavailable as error:
            self._notices.pop(run_id, None)
            _log.warning("queue position not written", run_id=run_id, error=str(error))
        finally:
            del self._writing[run_id]

    async def _claim(self, run_id: str, attempt: int) -> RunWriter:
        return await self._log.claim(
            run_id,
            writer=self._writer_name,
            attempt=attempt,
            expect_epoch=None,
        )

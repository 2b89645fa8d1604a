"""Performs what a fold or a title decided: history, queue, log. Almost no branches."""

import asyncio

import structlog

from actors.runtime.telling import tell
from actors.summarizer import metrics
from actors.summarizer.state import (
    ExchangeRead,
    FoldMessage,
    ReadExchange,
    ReadTurns,
    Rest,
    Rested,
    RunEnded,
    RunLost,
    RunModel,
    SetTitle,
    StepFailed,
    StopRun,
    StoreSummary,
    SummaryConflict,
    SummaryStored,
    TitleMessage,
    TitleSet,
    TurnsRead,
)
from contracts.codec import encode
from contracts.errors import (
    BusUnavailable,
    HistoryConflict,
    HistoryUnavailable,
    LogGone,
    StreamFull,
)
from contracts.events import MessageDelta, MessageSnapshot
from contracts.memory import FoldWanted, TitleWanted
from contracts.ports.bus import Bus
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.ports.token_log import TokenLog
from contracts.runs import RunSpec
from contracts.scheduling import CancelQueued
from contracts.subjects import run_queue, scheduler_requests

_log = structlog.get_logger()


class FoldHands:
    """The hands of all folds and titles of a host."""

    def __init__(self, bus: Bus, log: TokenLog, history: History, clock: Clock) -> None:
        self._bus = bus
        self._token_log = log
        self._history = history
        self._clock = clock

    async def perform(
        self,
        effect: ReadTurns | ReadExchange | RunModel | StopRun | StoreSummary | SetTitle | Rest,
    ) -> FoldMessage | TitleMessage | None:
        """Do it, and return what the fold is to be told, if anything."""
        try:
            match effect:
                case ReadTurns(wish):
                    return await self._read(wish)
                case ReadExchange(wish):
                    return await self._read_exchange(wish)
                case SetTitle(chat_id, title, instead_of):
                    await self._history.update_chat(chat_id, title=title, title_was=instead_of)
                    return TitleSet()
                case StoreSummary(summary, replaces):
                    await self._history.put_summary(summary, replaces=replaces)
                    metrics.STORED.inc()
                    return SummaryStored()
                case RunModel(spec, patience_ms):
                    return await self._run(spec, patience_ms)
                case StopRun(run_id, pool):
                    tell(self._bus, scheduler_requests(pool), CancelQueued(run_id=run_id))
                    return None
                case Rest(pause_ms):
                    await self._clock.sleep(pause_ms / 1000)
                    return Rested()
        except HistoryConflict:
            return SummaryConflict()
        except (StreamFull, LogGone) as error:
            _log.info("fold not run", error=str(error))
            return RunLost()
        except (HistoryUnavailable, BusUnavailable) as error:
            _log.info("fold step failed", error=str(error))
            return StepFailed()

    async def _read(self, wish: FoldWanted) -> TurnsRead:
        record = await self._history.load_session(wish.chat_id, messages=1, runs=1)
        if record is None or record.chat.user_id != wish.user_id:
            return TurnsRead(gone=True)
        span = wish.position - wish.first_position + 1
        messages = await self._history.messages(
            wish.chat_id, start=wish.first_position, limit=span, ascending=True
        )
        return TurnsRead(record.summary, tuple(messages))

    async def _read_exchange(self, wish: TitleWanted) -> ExchangeRead:
        chat = await self._history.chat(wish.chat_id)
        if chat is None or chat.user_id != wish.user_id:
            return ExchangeRead()
        prompt = await self._history.message(wish.chat_id, wish.prompt_id)
        answer = await self._history.message(wish.chat_id, wish.answer_id)
        if prompt is None or answer is None:
            return ExchangeRead()
        return ExchangeRead(chat.title, (prompt, answer))

    async def _run(self, spec: RunSpec, patience_ms: int) -> RunEnded | RunLost:
        try:
            async with asyncio.timeout(patience_ms / 1000):
                return await self._answer(spec)
        except TimeoutError:
            return RunLost(waited=True)

    async def _answer(self, spec: RunSpec) -> RunEnded:
        """Return how the run ended. One that ended before is read; else it is queued, once."""
        state = await self._token_log.read(spec.run_id)
        if state.end is not None:
            return RunEnded(state.text, state.end)
        async with self._token_log.follow(spec.run_id, after=0) as reader:
            await self._bus.append(
                run_queue(spec.pool, spec.run_id), encode(spec), msg_id=spec.run_id
            )
            metrics.RUNS.inc()
            text = ""
            async for batch in reader.batches():
                for numbered in batch.events:
                    match numbered.event:
                        case MessageDelta(delta):
                            text += delta
                        case MessageSnapshot(so_far):
                            text = so_far
                if batch.end is not None:
                    return RunEnded(text, batch.end)
        raise LogGone(f"the log of {spec.run_id} ended without an end")

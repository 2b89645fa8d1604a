"""Performs what a session machine decided: history, log, bus. Almost no branches.

Each effect is awaited and answered with the message that its docstring in `state` names.
An effect whose fate is unknown is answered with `StepFailed`; the machine repeats it.
"""

from dataclasses import replace

import structlog

from actors.runtime.telling import tell
from actors.session import metrics
from actors.session.embedding import TurnEmbedder
from actors.session.responses_state import (
    DropResponse,
    ResponseDropped,
    ResponseEffect,
    ResponseMessage,
    ResponseSaved,
    ResponseStored,
    ResponseTaken,
    SaveResponse,
    StoreResponse,
)
from actors.session.state import (
    AcceptPrompt,
    Acknowledge,
    AnswerSaved,
    AskCancel,
    AskKnown,
    CloseLog,
    DeliveryId,
    Effect,
    EmbedQuery,
    EmbedTurns,
    EnqueueRefused,
    EnqueueRun,
    KeyLookedUp,
    LookUpKey,
    LookUpRun,
    MemoryRead,
    PathRead,
    PromptConflict,
    PromptStored,
    QueryEmbedded,
    ReadMemory,
    ReadPath,
    Reply,
    RunClosed,
    RunEnqueued,
    RunKnown,
    RunLookedUp,
    SaveAnswer,
    SessionMessage,
    Settle,
    Settled,
    StepFailed,
    TerminalWritten,
    TurnsEmbedded,
    Wish,
    WriteTerminal,
)
from actors.session.titles import title_of
from contracts.codec import decode, encode
from contracts.errors import (
    BusUnavailable,
    Fenced,
    HistoryConflict,
    HistoryRefused,
    HistoryUnavailable,
    LogGone,
    NoResponders,
    StreamFull,
)
from contracts.log import CLOSING_ATTEMPT, LogEntry
from contracts.memory import FoldWanted, SummarizerWish
from contracts.ports.bus import Bus, Delivery
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.ports.token_log import RunWriter, TokenLog
from contracts.records import Message
from contracts.scheduling import CancelQueued, DescribeRun, RunList
from contracts.subjects import fold_wishes, run_queue, scheduler_requests

_log = structlog.get_logger()

_ASK_S = 1.0
_TRY_S = 2.0


class EffectRunner:
    """The hands of one chat's session: holds its unacknowledged deliveries and closing
    claims."""

    def __init__(
        self,
        chat_id: str,
        *,
        host_id: str,
        bus: Bus,
        log: TokenLog,
        history: History,
        clock: Clock,
        embedder: TurnEmbedder | None = None,
    ) -> None:
        self._embedder = embedder
        self.deliveries: dict[int, Delivery] = {}
        self._chat_id = chat_id
        self._writer_name = f"session/{host_id}"
        self._bus = bus
        self._log = log
        self._history = history
        self._clock = clock
        self._writers: dict[str, RunWriter] = {}

    async def perform(
        self, effect: Effect | ResponseEffect
    ) -> SessionMessage | ResponseMessage | None:
        """Do it, and return what the machine is to be told, if anything."""
        match effect:
            case Reply(to, body):
                tell(self._bus, to, body)
                return None
            case Acknowledge(delivery):
                held = self.deliveries.pop(delivery, None)
                if held is not None:
                    held.ack()
                return None
            case Settle(run_id, deliveries):
                return await self._settle(run_id, deliveries)
            case AskCancel(run_id, pool):
                tell(self._bus, scheduler_requests(pool), CancelQueued(run_id=run_id))
                return None
            case Wish(wish):
                await self._wish(wish)
                return None
            case ReadMemory():
                return await self._read_memory(effect)
            case EmbedQuery(run_id, text):
                meaning = await self._embedder.query(text) if self._embedder else None
                return QueryEmbedded(run_id, meaning)
            case EmbedTurns(passages):
                found = await self._embedder.turns(passages) if self._embedder else ()
                return TurnsEmbedded(found)
            case LookUpKey() | ReadPath() | LookUpRun() | AcceptPrompt() | SaveAnswer():
                return await self._history_step(effect)
            case EnqueueRun() | CloseLog() | WriteTerminal() | AskKnown():
                return await self._bus_step(effect)
            case StoreResponse() | SaveResponse() | DropResponse():
                return await self._response_step(effect)

    async def _settle(
        self, run_id: str, deliveries: tuple[DeliveryId, ...]
    ) -> Settled | StepFailed:
        try:
            for delivery in deliveries:
                if delivery in self.deliveries:
                    await self.deliveries[delivery].ack_sync(timeout_s=_TRY_S)
                    del self.deliveries[delivery]
        except BusUnavailable:
            return StepFailed(run_id)
        return Settled(run_id, deliveries)

    async def _response_step(self, effect: ResponseEffect) -> ResponseMessage | StepFailed:
        history = self._history
        run_id = effect.run_id if isinstance(effect, DropResponse) else effect.record.run_id
        try:
            match effect:
                case StoreResponse(record):
                    return ResponseStored(await history.create_response(record))
                case SaveResponse(record):
                    await history.finish_response(record)
                    return ResponseSaved(run_id)
                case DropResponse(_, response_id):
                    await history.delete_response(response_id)
                    return ResponseDropped(run_id)
        except HistoryConflict:
            return ResponseTaken(run_id)
        except HistoryUnavailable:
            return StepFailed(run_id)

    async def _wish(self, wish: SummarizerWish) -> None:
        fold = isinstance(wish, FoldWanted)
        try:
            await self._bus.append(fold_wishes(wish.chat_id), encode(wish), msg_id=wish.wish_id)
            (metrics.FOLDS_WANTED if fold else metrics.TITLES_WANTED).inc()
        except (BusUnavailable, StreamFull) as error:
            _log.info("summarizer not asked", wish=wish.wish_id, error=str(error))

    async def _read_memory(self, effect: ReadMemory) -> MemoryRead:
        before = effect.before
        try:
            record = await self._history.load_session(self._chat_id, messages=1, runs=1)
            summary = record.summary if record is not None else None
            older = None if before is None else await self._older(before, effect.limit)
            gone = [f for f in effect.pictures if await self._history.upload(f) is None]
        except HistoryUnavailable as error:
            _log.info("memory not read", chat_id=self._chat_id, error=str(error))
            return MemoryRead(effect.run_id)
        return MemoryRead(effect.run_id, summary, older, tuple(gone))

    async def _older(self, before: Message, limit: int) -> tuple[Message, ...]:
        """Return the newest `limit` messages of the path that leads to `before`, without it."""
        found = await self._history.path(
            self._chat_id,
            leaf_id=before.message_id,
            start=before.position - 1,
            limit=limit,
            ascending=False,
        )
        return tuple(reversed(found))

    async def _history_step(
        self, effect: LookUpKey | ReadPath | LookUpRun | AcceptPrompt | SaveAnswer
    ) -> SessionMessage:
        history, chat_id = self._history, self._chat_id
        run_id = (
            effect.run.run_id if isinstance(effect, AcceptPrompt | SaveAnswer) else effect.run_id
        )
        try:
            match effect:
                case LookUpKey(_, key):
                    return KeyLookedUp(run_id, await history.run_by_key(chat_id, key))
                case LookUpRun():
                    record = await history.run(chat_id, run_id)
                    answer = await history.message(chat_id, record.answer_id) if record else None
                    return RunLookedUp(run_id, record, answer)
                case ReadPath(_, leaf_id, limit):
                    path = await history.path(
                        chat_id, leaf_id=leaf_id, start=None, limit=limit, ascending=False
                    )
                    return PathRead(run_id, tuple(reversed(path)) or None)
                case AcceptPrompt(prompt, answer, run, branch):
                    title = "" if prompt is None else title_of(prompt.content)
                    chat = await history.accept_prompt(
                        chat_id, prompt=prompt, answer=answer, run=run, title=title, branch=branch
                    )
                    return PromptStored(run_id, chat)
                case SaveAnswer(answer, run):
                    applied = await history.finish_run(chat_id, answer=answer, run=run)
                    return AnswerSaved(run_id, applied)
        except HistoryConflict:
            return PromptConflict(run_id)
        except HistoryUnavailable as error:
            return StepFailed(run_id, certain=isinstance(error, HistoryRefused))

    async def _bus_step(
        self, effect: EnqueueRun | CloseLog | WriteTerminal | AskKnown
    ) -> SessionMessage:
        run_id = effect.spec.run_id if isinstance(effect, EnqueueRun) else effect.run_id
        try:
            match effect:
                case EnqueueRun(spec):
                    metrics.count_left_out(spec.left_out)
                    subject = run_queue(spec.pool, run_id)
                    await self._bus.append(subject, encode(spec), msg_id=run_id, timeout_s=_TRY_S)
                    return RunEnqueued(run_id)
                case AskKnown(_, pool):
                    asked = encode(DescribeRun(run_id=run_id))
                    subject = scheduler_requests(pool)
                    answer = await self._bus.request(subject, asked, timeout_s=_ASK_S)
                    return RunKnown(run_id, bool(decode(answer, RunList).runs))
                case CloseLog():
                    return await self._close(effect)
                case WriteTerminal(_, seq, event):
                    writer = self._writers[run_id]
                    entry = LogEntry(
                        epoch=writer.epoch, seq=seq, events=(event,), at_ms=self._clock.now_ms()
                    )
                    await writer.append(entry)
                    self._writers.pop(run_id, None)
                    return TerminalWritten(run_id)
        except StreamFull:
            return EnqueueRefused(run_id)
        except Fenced:
            return StepFailed(run_id, fenced=True)
        except LogGone:
            return TerminalWritten(run_id)
        except (BusUnavailable, NoResponders):
            return StepFailed(run_id)

    async def _close(self, effect: CloseLog) -> RunClosed:
        run_id, finished = effect.run_id, effect.finished
        as_told = RunClosed(
            run_id,
            text=finished.text,
            tokens=finished.outcome.usage.completion_tokens,
            next_seq=finished.next_seq,
        )
        if finished.epoch and run_id not in self._writers:
            try:
                self._writers[run_id] = await self._claim(
                    run_id, finished.epoch, moved=finished.moved
                )
            except Fenced:
                pass
            else:
                return as_told
        writer = self._writers[run_id] = await self._claim(run_id, None)
        try:
            state = await self._log.read(run_id)
        except LogGone:
            return as_told
        if finished.text and not state.tokens:
            if state.next_seq > 1:
                # Begun anew, and nothing said since: a number left out sends readers to history.
                as_told = replace(as_told, next_seq=state.next_seq + 1)
            return as_told
        return RunClosed(
            run_id,
            text=state.text,
            tokens=len(state.tokens),
            next_seq=writer.first_seq if state.next_seq == 1 else state.next_seq,
            terminal=state.terminal,
        )

    async def _claim(
        self, run_id: str, expect_epoch: int | None, *, moved: bool = False
    ) -> RunWriter:
        return await self._log.claim(
            run_id,
            writer=self._writer_name,
            attempt=CLOSING_ATTEMPT,
            expect_epoch=expect_epoch,
            moved=moved,
        )

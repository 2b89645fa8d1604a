"""The shell of all session actors of a host: partitions, activation, mailboxes, timers."""

import asyncio
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from actors.runtime.partitions import PartitionOwner
from actors.runtime.telling import tell
from actors.session import metrics
from actors.session.config import SessionConfig
from actors.session.effects import EffectRunner
from actors.session.embedding import TurnEmbedder
from actors.session.machine import SessionMachine
from actors.session.responses import ResponseMachine
from actors.session.retrieval import Retrieval
from actors.session.state import Command, EmbedTurns, SessionMessage, Tick, TurnsEmbedded
from contracts.codec import decode
from contracts.errors import (
    BadMessage,
    BusUnavailable,
    HistoryUnavailable,
    IllegalMessage,
    InvariantBroken,
    Problem,
)
from contracts.ports.bus import Bus, Consumer, Delivery
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.ports.token_log import TokenLog
from contracts.responses import ResponseCommand, SubmitResponse, is_response
from contracts.scheduling import ActorInfo
from contracts.session import (
    CancelReply,
    CancelRun,
    PromptRejected,
    RunFinished,
    SessionCommand,
    SubmitPrompt,
)
from contracts.subjects import (
    SESSION_PARTITIONS,
    SESSION_STREAM,
    session_durable,
    session_partition,
    session_partition_filter,
)

_log = structlog.get_logger()
AnyCommand = SessionCommand | SubmitResponse
_TICK_S = 0.05
_RELOAD_S = 0.5
_LOOKED_AT = 64
"""Chats of which each tick asks whether they are idle."""


class _Session:
    """One activated chat: its inbox, its machine, its hands."""

    __slots__ = ("chat_id", "hands", "inbox", "machine", "reload_at_ms", "task", "used_at_ms")

    def __init__(self, chat_id: str, hands: EffectRunner) -> None:
        self.chat_id = chat_id
        self.hands = hands
        self.machine: SessionMachine | ResponseMachine | None = None
        self.inbox: deque[SessionMessage] = deque()
        self.task: asyncio.Task[None] | None = None
        self.reload_at_ms = 0
        self.used_at_ms = 0


class SessionHost:
    """Runs the session actors of the partitions that this host owns.

    A chat is activated by its first command and handles one message at a time. A full inbox
    refuses prompts (`rate_limited`), takes one cancel of a run, and ends of runs always: there
    are no more of those than runs in flight. `new_index` makes the index of a chat's older
    turns; None: they are not looked for. `embedder` is for an index that works with vectors.
    """

    def __init__(
        self,
        config: SessionConfig,
        *,
        bus: Bus,
        log: TokenLog,
        history: History,
        clock: Clock,
        host_id: str,
        new_index: Callable[[], Retrieval] | None = None,
        embedder: TurnEmbedder | None = None,
    ) -> None:
        self._config = config
        self._new_index = new_index
        self._embedder = embedder
        self._bus = bus
        self._token_log = log
        self._history = history
        self._clock = clock
        self._host_id = host_id
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._timers: dict[str, _Session] = {}
        self._consumers: dict[int, Consumer] = {}
        self._gained_ms: dict[int, int] = {}
        self._numbers = itertools.count(1)
        self._group: asyncio.TaskGroup | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._owner = PartitionOwner(
            bus,
            clock,
            host_id,
            SESSION_PARTITIONS,
            on_gained=self._gained,
            on_lost=self._lost,
            ttl_s=config.lease_ttl_s,
        )

    def info(self, pid: int, host: str) -> ActorInfo:
        """Return this host's row of `parley ps`; `running` counts the chats in progress."""
        busy = sum(1 for s in self._sessions.values() if s.machine and not s.machine.idle)
        return ActorInfo(
            role="session",
            id=self._host_id,
            pid=pid,
            host=host,
            state=f"{len(self._consumers)}/{SESSION_PARTITIONS} partitions",
            running=busy,
            waiting=sum(len(s.inbox) for s in self._sessions.values()),
        )

    async def run(self) -> None:
        """Serve until `stop`; a broken invariant ends it with the error."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            ticker = group.create_task(self._tick())
            await self._owner.run()
            for task in (ticker, *self._background):
                task.cancel()

    async def stop(self) -> None:
        """Hand all partitions over, after what is being handled is done."""
        await self._owner.stop()

    # --- partitions --------------------------------------------------------------------------

    async def _gained(self, partition: int, _epoch: int) -> None:
        self._gained_ms[partition] = self._clock.now_ms()
        self._consumers[partition] = await self._bus.consume(
            SESSION_STREAM,
            session_durable(partition),
            session_partition_filter(partition),
            self._receive,
            redeliver_all=True,
        )

    async def _lost(self, partition: int) -> None:
        consumer = self._consumers.pop(partition, None)
        if consumer is not None:
            await consumer.stop()
        leaving = [s for s in self._sessions.values() if self._partition(s.chat_id) == partition]
        busy = [s.task for s in leaving if s.task is not None]
        if busy:
            await asyncio.wait(busy, timeout=self._config.lease_ttl_s)
        for session in leaving:
            if session.task is not None:
                session.task.cancel()
            self._forget(session)

    @staticmethod
    def _partition(chat_id: str) -> int:
        return session_partition(chat_id)

    # --- commands ----------------------------------------------------------------------------

    def _receive(self, delivery: Delivery) -> None:
        chat_id = delivery.stored.subject.rpartition(".")[2]
        try:
            body = _decoded(chat_id, delivery)
        except BadMessage as error:
            _log.error("command does not decode", chat_id=chat_id, error=str(error))
            delivery.ack()
            return
        metrics.COMMANDS.labels(type(body).__name__).inc()
        session = self._activate(chat_id)
        if len(session.inbox) >= self._config.mailbox_max:
            metrics.REFUSED_FULL.inc()
            if not self._takes_when_full(session, body, delivery):
                return
        number = next(self._numbers)
        session.hands.deliveries[number] = delivery
        session.inbox.append(Command(body, number))
        self._wake(session)

    def _takes_when_full(self, session: _Session, body: AnyCommand, delivery: Delivery) -> bool:
        """Whether a full inbox takes one command more; if not, the command is seen to."""
        match body:
            case SubmitPrompt() | SubmitResponse():
                self._in_background(self._turn_away(session, body, delivery))
                return False
            case CancelRun():
                waiting = (m.body for m in session.inbox if isinstance(m, Command))
                if any(isinstance(b, CancelRun) and b.run_id == body.run_id for b in waiting):
                    delivery.ack()
                    return False
                return len(session.inbox) < 2 * self._config.mailbox_max
            case RunFinished():
                return True

    async def _turn_away(
        self, session: _Session, submit: SubmitPrompt | SubmitResponse, delivery: Delivery
    ) -> None:
        """Refuse a prompt for which there is no room, as soon as it comes to nobody any more. One
        that an earlier owner may have stored stays, unanswered: it comes again."""
        if submit.submitted_at_ms < self._gained_ms.get(self._partition(session.chat_id), 0):
            return
        try:
            await delivery.ack_sync()
        except BusUnavailable:
            return
        if self._owns(session):
            self._reject(submit, Problem(code="rate_limited", detail="Too many prompts at once."))

    def _reject(self, submit: SubmitPrompt | SubmitResponse, problem: Problem) -> None:
        tell(self._bus, submit.reply_to, PromptRejected(problem=problem))

    def _activate(self, chat_id: str) -> _Session:
        session = self._sessions.get(chat_id)
        if session is None:
            hands = EffectRunner(
                chat_id,
                host_id=self._host_id,
                bus=self._bus,
                log=self._token_log,
                history=self._history,
                clock=self._clock,
                embedder=self._embedder,
            )
            session = self._sessions[chat_id] = _Session(chat_id, hands)
            metrics.ACTIVE.set(len(self._sessions))
        self._sessions.move_to_end(chat_id)
        session.used_at_ms = self._clock.monotonic_ms()
        return session

    def _wake(self, session: _Session) -> None:
        if session.task is None and self._group is not None:
            session.task = self._group.create_task(self._work(session))

    async def _work(self, session: _Session) -> None:
        with structlog.contextvars.bound_contextvars(chat_id=session.chat_id):
            try:
                while session.inbox and self._owns(session):
                    machine = session.machine or await self._load(session)
                    if machine is None:
                        break
                    await self._handle(session, machine, session.inbox.popleft())
            except (InvariantBroken, IllegalMessage, AssertionError):
                metrics.BROKEN.inc()
                _log.exception("chat set aside: its commands wait for redelivery")
                self._forget(session)
                return
            finally:
                session.task = None
        due = session.machine.next_due_ms if session.machine else None
        if due is not None or session.inbox:
            self._timers[session.chat_id] = session
        else:
            self._timers.pop(session.chat_id, None)

    async def _handle(
        self,
        session: _Session,
        machine: SessionMachine | ResponseMachine,
        message: SessionMessage,
    ) -> None:
        pending: deque[Any] = deque((message,))
        while pending:
            if not self._owns(session):
                session.inbox.extendleft(reversed(pending))
                return
            for effect in machine.handle(pending.popleft(), self._clock.now_ms()):
                if isinstance(effect, EmbedTurns):
                    self._embed(session, machine, effect)
                    continue
                result = await session.hands.perform(effect)
                if result is not None:
                    pending.append(result)
        if machine.stale:
            self._close(session)
            again = sorted(session.hands.deliveries.items())
            session.inbox.clear()
            session.inbox.extend(
                Command(_decoded(session.chat_id, held), number) for number, held in again
            )

    def _embed(
        self, session: _Session, machine: SessionMachine | ResponseMachine, effect: EmbedTurns
    ) -> None:
        """Have older turns embedded while the chat goes on. A machine that is gone by then is
        not told: its successor asks by itself."""

        async def work() -> None:
            result = await session.hands.perform(effect)
            if isinstance(result, TurnsEmbedded) and session.machine is machine:
                session.inbox.append(result)
                self._wake(session)

        self._in_background(work())

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._group is not None, "commands come while it runs"
        task = self._group.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _owns(self, session: _Session) -> bool:
        """Whether this host may decide for the chat now. What it may not handle waits: for the
        lease to be confirmed, or to be forgotten with the chat, and given to the next owner."""
        return self._owner.holds(self._partition(session.chat_id))

    async def _load(self, session: _Session) -> SessionMachine | ResponseMachine | None:
        """Rebuild the chat, or the response, from history. Without history all commands wait
        (the edge refuses new prompts by itself; one that waits too long expires); commands to
        a chat that is gone are answered and done."""
        try:
            if is_response(session.chat_id):
                kept = await self._history.response(session.chat_id)
                metrics.ACTIVATIONS.inc()
                session.machine = ResponseMachine(self._config, kept)
                return session.machine
            record = await self._history.load_session(
                session.chat_id,
                messages=self._config.messages_loaded,
                runs=self._config.runs_loaded,
            )
        except HistoryUnavailable:
            session.reload_at_ms = self._clock.monotonic_ms() + int(_RELOAD_S * 1000)
            return None
        if record is None:
            self._answer_gone(session)
            return None
        metrics.ACTIVATIONS.inc()
        index = self._new_index() if self._new_index is not None else None
        begun_ms = self._gained_ms.get(self._partition(session.chat_id), 0)
        session.machine = SessionMachine(self._config, record, index, begun_ms=begun_ms)
        return session.machine

    def _answer_gone(self, session: _Session) -> None:
        for message in session.inbox:
            if not isinstance(message, Command):
                continue
            match message.body:
                case SubmitPrompt() as submit:
                    self._reject(submit, Problem(code="not_found", detail="No such chat."))
                case CancelRun(reply_to=to):
                    tell(self._bus, to, CancelReply(status="unknown"))
            session.hands.deliveries.pop(message.delivery).ack()
        session.inbox.clear()
        self._forget(session)

    # --- time --------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(_TICK_S)
            now_ms, mono_ms = self._clock.now_ms(), self._clock.monotonic_ms()
            for session in list(self._timers.values()):
                machine = session.machine
                if machine is None:
                    if session.inbox and session.reload_at_ms <= mono_ms:
                        self._wake(session)
                elif session.inbox:
                    self._wake(session)
                elif (machine.next_due_ms or now_ms + 1) <= now_ms:
                    session.inbox.append(Tick())
                    self._wake(session)
            self._passivate(mono_ms)

    def _passivate(self, mono_ms: int) -> None:
        """Forget idle chats, those used longest ago first. A busy one makes way for the next
        to be looked at, so that it can't keep others from being forgotten."""
        over = len(self._sessions) - self._config.active_max
        for session in list(itertools.islice(self._sessions.values(), _LOOKED_AT)):
            busy = session.task is not None or session.inbox or session.hands.deliveries
            if busy or (session.machine is not None and not session.machine.idle):
                self._sessions.move_to_end(session.chat_id)
            elif over > 0 or mono_ms - session.used_at_ms >= self._config.idle_ms:
                over -= 1
                metrics.PASSIVATIONS.inc()
                self._forget(session)

    def _forget(self, session: _Session) -> None:
        self._sessions.pop(session.chat_id, None)
        self._close(session)
        self._timers.pop(session.chat_id, None)
        metrics.ACTIVE.set(len(self._sessions))

    @staticmethod
    def _close(session: _Session) -> None:
        if session.machine is not None:
            session.machine.close()
            session.machine = None


def _decoded(session_id: str, delivery: Delivery) -> AnyCommand:
    """Return a command: whose it is says which kinds there are. Raises BadMessage."""
    kinds = ResponseCommand if is_response(session_id) else SessionCommand
    command: AnyCommand = decode(delivery.stored.data, kinds)
    return command

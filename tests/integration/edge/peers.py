"""What stands behind the edge in its tests: a session and a scheduler that do as they are
told, on a real bus and a real token log, with history in memory."""

import asyncio
from dataclasses import dataclass, field

from msgspec.structs import replace

from actors.runtime.memory_bus import MemoryBus
from contracts.codec import decode, encode
from contracts.errors import HistoryConflict, Problem
from contracts.events import (
    MessageDelta,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunStarted,
)
from contracts.log import LogEntry
from contracts.ports.bus import Delivery, Inbound
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.ports.token_log import RunWriter, TokenLog
from contracts.records import Chat, Message, RunRecord
from contracts.runs import RunOutcome, RunSpec, Usage
from contracts.scheduling import (
    Allowance,
    AskAllowance,
    CancelQueued,
    CancelTaken,
    DescribeRun,
    PoolStatus,
    RunList,
    RunView,
    SchedulerRequest,
)
from contracts.session import (
    CancelReply,
    CancelRun,
    PromptAccepted,
    PromptRejected,
    SessionCommand,
    SubmitPrompt,
)
from contracts.subjects import (
    RUNS_STREAM,
    SESSION_STREAM,
    pool_status,
    scheduler_requests,
)

USAGE = Usage(prompt_tokens=7, completion_tokens=3, cached_tokens=2)


class ScriptedRun:
    """Writes the log of one run, as worker and session would."""

    def __init__(self, log: TokenLog, clock: Clock, run_id: str) -> None:
        self._log = log
        self._clock = clock
        self._writer: RunWriter | None = None
        self.run_id = run_id
        self.next_seq = 1
        self.text = ""

    async def write(self, *events: RunEvent, end: RunOutcome | None = None) -> None:
        """Append one entry."""
        if self._writer is None:
            self._writer = await self._log.claim(
                self.run_id,
                writer="scripted",
                attempt=1,
                expect_epoch=0,
            )
        entry = LogEntry(epoch=self._writer.epoch, seq=self.next_seq, events=events, end=end)
        await self._writer.append(entry)
        self.next_seq = entry.next_seq
        self.text += "".join(e.delta for e in events if isinstance(e, MessageDelta))

    async def say(self, *words: str) -> None:
        """Append a delta entry for each word."""
        for word in words:
            await self.write(MessageDelta(delta=word))


@dataclass
class Peers:
    """Session and scheduler of one pool. What they were told is kept in order; what they
    answer can be set."""

    bus: MemoryBus
    log: TokenLog
    history: History
    clock: Clock
    pool: str = "default"
    model: str = "tiny"
    context_length: int = 64
    refuse: Problem | None = None
    mute: bool = False
    status: PoolStatus | None = None
    cancel_reply: CancelReply | None = None
    view: RunView | None = None
    allowance: Allowance | None = None
    asked: list[AskAllowance] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)
    submitted: list[SubmitPrompt] = field(default_factory=list)
    cancelled: list[CancelRun] = field(default_factory=list)
    cancelled_queued: list[str] = field(default_factory=list)
    specs: list[RunSpec] = field(default_factory=list)
    _commands: asyncio.Queue[SessionCommand] = field(default_factory=asyncio.Queue)

    async def start(self) -> None:
        """Begin to hear and answer."""
        await self.bus.consume(SESSION_STREAM, "session-all", "sess.>", self._command)
        await self.bus.consume(RUNS_STREAM, "runs-all", "run.q.>", self._spec)
        await self.bus.subscribe(scheduler_requests(self.pool), self._request)
        self.status = PoolStatus(
            pool=self.pool,
            model=self.model,
            healthy=True,
            admit={},
            context_length=self.context_length,
            engine="sim",
        )

    async def run(self) -> None:
        """Carry out commands; say how the pool stands."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._broadcast())
            while True:
                await self._carry_out(await self._commands.get())

    def say_status(self) -> None:
        """Broadcast the pool's status once."""
        if self.status is not None and self.bus.connected:
            self.bus.publish(pool_status(self.pool), encode(self.status))
            for pool, model in self.others.items():
                calm = PoolStatus(pool=pool, model=model, healthy=True, admit={})
                self.bus.publish(pool_status(pool), encode(calm))

    def open(self, run_id: str) -> ScriptedRun:
        """Return the pen of a run."""
        return ScriptedRun(self.log, self.clock, run_id)

    async def begin(self, index: int = -1) -> ScriptedRun:
        """Start the answer to a prompt that was submitted."""
        submit = self.submitted[index]
        run = self.open(submit.run_id)
        await run.write(RunStarted(model=self.model, message_id=submit.answer_id))
        return run

    async def finish(self, run: ScriptedRun, state: str = "completed", index: int = -1) -> None:
        """End a chat's run: history first, then the terminal event."""
        submit = self.submitted[index]
        record = await self.history.run(submit.chat_id, run.run_id)
        answer = await self.history.message(submit.chat_id, submit.answer_id)
        assert record is not None and answer is not None
        problem = Problem(code="worker_lost", detail="three workers died")
        terminals: dict[str, tuple[RunEvent, RunRecord, Message]] = {
            "completed": (
                RunCompleted(finish_reason="stop", usage=USAGE, message_id=submit.answer_id),
                replace(record, state="completed", finish_reason="stop"),
                replace(answer, status="complete", content=run.text, finish_reason="stop"),
            ),
            "cancelled": (
                RunCancelled(usage=USAGE, message_id=submit.answer_id),
                replace(record, state="cancelled", finish_reason="cancelled"),
                replace(answer, status="cancelled", content=run.text),
            ),
            "failed": (
                RunFailed(error=problem, message_id=submit.answer_id),
                replace(record, state="failed", finish_reason="error", error=problem),
                replace(answer, status="failed", content=run.text),
            ),
        }
        event, record, answer = terminals[state]
        record = replace(record, usage=USAGE, ended_at_ms=self.clock.now_ms())
        assert await self.history.finish_run(submit.chat_id, answer=answer, run=record)
        await run.write(event)

    def _command(self, delivery: Delivery) -> None:
        self._commands.put_nowait(decode(delivery.stored.data, SessionCommand))
        delivery.ack()

    def _spec(self, delivery: Delivery) -> None:
        self.specs.append(decode(delivery.stored.data, RunSpec))
        delivery.ack()

    def _request(self, message: Inbound) -> None:
        request: object = decode(message.data, SchedulerRequest)
        match request:
            case CancelQueued(run_id=run_id):
                self.cancelled_queued.append(run_id)
                self.bus.publish(message.reply, encode(CancelTaken(known=True, state="running")))
            case AskAllowance():
                self.asked.append(request)
                if self.allowance is not None:
                    self.bus.publish(message.reply, encode(self.allowance))
            case DescribeRun():
                runs = (self.view,) if self.view is not None else ()
                self.bus.publish(message.reply, encode(RunList(runs=runs)))

    async def _broadcast(self) -> None:
        while True:
            self.say_status()
            await asyncio.sleep(0.1)

    async def _carry_out(self, command: SessionCommand) -> None:
        match command:
            case SubmitPrompt():
                self.submitted.append(command)
                if not self.mute:
                    reply = await self._accept(command)
                    self.bus.publish(command.reply_to, encode(reply))
            case CancelRun():
                self.cancelled.append(command)
                if self.cancel_reply is not None:
                    self.bus.publish(command.reply_to, encode(self.cancel_reply))

    async def _accept(self, submit: SubmitPrompt) -> PromptAccepted | PromptRejected:
        if self.refuse is not None:
            return PromptRejected(problem=self.refuse)
        if submit.idempotency_key:
            known = await self.history.run_by_key(submit.chat_id, submit.idempotency_key)
            if known is not None:
                return self._replay(submit, known)
        prompt, answer, run = _records(submit, await self.history.chat(submit.chat_id))
        branch = submit.regenerate or submit.parent_id is not None
        try:
            await self.history.accept_prompt(
                submit.chat_id, prompt=prompt, answer=answer, run=run, branch=branch
            )
        except HistoryConflict:
            chat = await self.history.chat(submit.chat_id)
            active = chat.active_run_id if chat else None
            problem = Problem(code="run_active", detail="one at a time", active_run_id=active)
            return PromptRejected(problem=problem)
        return PromptAccepted(
            run_id=submit.run_id, prompt_id=submit.prompt_id, answer_id=submit.answer_id
        )

    @staticmethod
    def _replay(submit: SubmitPrompt, known: RunRecord) -> PromptAccepted | PromptRejected:
        if known.body_hash != submit.body_hash:
            problem = Problem(code="idempotency_mismatch", detail="another body")
            return PromptRejected(problem=problem)
        return PromptAccepted(
            run_id=known.run_id,
            prompt_id=known.prompt_id,
            answer_id=known.answer_id,
            replayed=True,
        )


def _records(submit: SubmitPrompt, chat: Chat | None) -> tuple[Message | None, Message, RunRecord]:
    position = chat.next_position if chat is not None else 0
    shown = chat.leaf_id if chat is not None else None
    prompt = Message(
        message_id=submit.prompt_id,
        chat_id=submit.chat_id,
        position=position,
        role="user",
        content=submit.content,
        created_at_ms=submit.submitted_at_ms,
        run_id=submit.run_id,
        parent_id=(shown or "") if submit.parent_id is None else submit.parent_id,
        attachments=submit.attachments,
    )
    answer = Message(
        message_id=submit.answer_id,
        chat_id=submit.chat_id,
        position=position + (not submit.regenerate),
        role="assistant",
        content="",
        created_at_ms=submit.submitted_at_ms,
        status="pending",
        run_id=submit.run_id,
        parent_id=submit.prompt_id,
    )
    run = RunRecord(
        run_id=submit.run_id,
        chat_id=submit.chat_id,
        user_id=submit.user_id,
        prompt_id=submit.prompt_id,
        answer_id=submit.answer_id,
        created_at_ms=submit.submitted_at_ms,
        model="tiny",
        idempotency_key=submit.idempotency_key,
        body_hash=submit.body_hash,
    )
    return (None if submit.regenerate else prompt), answer, run

"""The session machine: every decision about one conversation. Pure and synchronous.

One `SessionMachine` a chat. `handle` takes a message and the time and returns what is to be
done, in order; the shell performs it and reports back with further messages. Commands may
come twice, late and in any order; every step may be repeated.
"""

from actors.session import outcomes
from actors.session.config import ModelContext, SessionConfig
from actors.session.context import build_context
from actors.session.state import (
    AcceptPrompt,
    Acknowledge,
    AnswerSaved,
    AskCancel,
    CloseLog,
    Command,
    EarlyCancel,
    Effect,
    EnqueueRefused,
    EnqueueRun,
    KeyLookedUp,
    LookUpKey,
    LookUpRun,
    Phase,
    Progress,
    PromptConflict,
    PromptStored,
    Reply,
    RunClosed,
    RunEnqueued,
    RunLookedUp,
    SaveAnswer,
    SessionMessage,
    StepFailed,
    TerminalWritten,
    Tick,
    WriteTerminal,
)
from contracts.errors import ErrorCode, IllegalMessage, Problem, Refused
from contracts.records import Message, RunRecord, SessionRecord
from contracts.runs import RunOutcome, RunSpec
from contracts.session import (
    CancelReply,
    CancelRun,
    PromptAccepted,
    PromptRejected,
    RunFinished,
    SubmitPrompt,
)

Effects = tuple[Effect, ...]
_BEFORE_QUEUE = (Phase.KEYING, Phase.STORING, Phase.RESOLVING)


class SessionMachine:
    """The conversation of one chat, rebuilt from `record`.

    `stale` becomes true when history shows that somebody else moved the chat on: the shell
    then rebuilds the machine and gives it the unacknowledged commands again.
    """

    def __init__(self, config: SessionConfig, record: SessionRecord) -> None:
        self.stale = False
        self._config = config
        self._chat = record.chat
        self._messages = list(record.messages)
        self._done: dict[str, RunRecord] = {}
        self._keys: dict[str, RunRecord] = {}
        self._inherited: dict[str, None] = {}
        self._older_runs = len(record.recent_runs) >= config.runs_loaded
        self._runs: dict[str, Progress] = {}
        self._early: dict[str, EarlyCancel] = {}
        for run in reversed(record.recent_runs):
            self._inherit(run)
        active = record.active_run
        if active is not None:
            self._runs[active.run_id] = Progress(
                active.run_id,
                Phase.RUNNING,
                record=active,
                answer=self._message(active.answer_id),
            )
            self._remember_key(active)

    @property
    def idle(self) -> bool:
        """True when nothing is in progress and nothing would be lost by forgetting it all."""
        return not self._runs and not self._early

    @property
    def next_due_ms(self) -> int | None:
        """When a `Tick` is wanted, None if never."""
        due = [p.retry_at_ms for p in self._runs.values() if p.retry_at_ms is not None]
        due += [early.expires_at_ms for early in self._early.values()]
        return min(due, default=None)

    def handle(self, message: SessionMessage, now_ms: int) -> Effects:
        """Decide. Messages about runs that ended meanwhile have no effect."""
        match message:
            case Command(SubmitPrompt() as submit, delivery):
                return self._submit(submit, delivery, now_ms)
            case Command(CancelRun() as cancel, delivery):
                return self._cancel(cancel, delivery, now_ms)
            case Command(RunFinished() as finished, delivery):
                return self._finished(finished, delivery)
            case Tick():
                return self._tick(now_ms)
            case Command():
                raise IllegalMessage("unreachable: every command is matched above")
        progress = self._runs.get(message.run_id)
        if progress is None:
            return ()
        match message:
            case KeyLookedUp(earlier=earlier) if progress.phase is Phase.KEYING:
                return self._key_known(progress, earlier, now_ms)
            case PromptStored() if progress.phase is Phase.STORING:
                return self._prompt_stored(progress, message)
            case PromptConflict() if progress.phase is Phase.STORING:
                self.stale = True
                return self._reject(progress, "conflict", "The chat moved on; send it again.")
            case RunEnqueued():
                return self._enqueued(progress, now_ms)
            case EnqueueRefused() if progress.phase is Phase.QUEUEING:
                problem = Problem(code="at_capacity", detail="The queue is full.")
                return self._end_unqueued(
                    progress, RunOutcome(finish_reason="error", error=problem)
                )
            case RunLookedUp() if progress.phase in (Phase.LOOKING, Phase.RESOLVING):
                return self._looked_up(progress, message, now_ms)
            case RunClosed() if progress.phase is Phase.CLOSING:
                return self._closed(progress, message, now_ms)
            case AnswerSaved() if progress.phase is Phase.SAVING:
                return self._saved(progress)
            case TerminalWritten() if progress.phase is Phase.ENDING:
                return self._end(progress)
            case StepFailed():
                return self._failed(progress, message, now_ms)
        return ()

    # --- submitting --------------------------------------------------------------------------

    def _submit(self, submit: SubmitPrompt, delivery: int, now_ms: int) -> Effects:
        progress = self._runs.get(submit.run_id)
        if submit.user_id != self._chat.user_id:
            return self._refuse(submit, delivery, "not_found", "There is no such chat.")
        if progress is not None:
            return self._submit_again(progress, submit, delivery)
        if submit.run_id in self._done:
            return self._submit_ended(submit, self._done[submit.run_id], delivery)
        if now_ms > submit.expires_at_ms:
            return self._refuse(submit, delivery, "expired", "The prompt came too late.")
        key = submit.idempotency_key
        if key is not None and key in self._keys:
            return self._same_key(submit, self._keys[key], delivery)
        blocking = self._active()
        if blocking is not None:
            problem = Problem(
                code="run_active",
                detail="The chat is answering; wait for it or stop it.",
                active_run_id=blocking,
            )
            return (Reply(submit.reply_to, PromptRejected(problem=problem)), Acknowledge(delivery))
        progress = Progress(submit.run_id, Phase.KEYING, submit=submit, submits=[delivery])
        self._runs[submit.run_id] = progress
        early = self._early.pop(submit.run_id, None)
        if early is not None:
            progress.cancel_wanted = True
            progress.cancels += early.deliveries
            progress.waiting += early.waiting
        if key is not None and self._older_runs:
            return (LookUpKey(submit.run_id, key),)
        return self._store(progress, now_ms)

    def _submit_ended(self, submit: SubmitPrompt, record: RunRecord, delivery: int) -> Effects:
        """A run that an earlier owner ended before it was queued may lack its terminal event:
        its prompt is acknowledged last, so that it comes again."""
        if record.run_id not in self._inherited:
            return self._accepted_before(submit, record, delivery)
        del self._inherited[record.run_id]
        answer = self._message(record.answer_id)
        progress = Progress(record.run_id, Phase.CLOSING, record=record, answer=answer)
        progress.submits.append(delivery)
        self._runs[record.run_id] = progress
        accepted = Reply(submit.reply_to, self._acceptance(record, replayed=False))
        return (accepted, *self._end_unqueued(progress, RunOutcome(finish_reason="stop")))

    def _submit_again(self, progress: Progress, submit: SubmitPrompt, delivery: int) -> Effects:
        if progress.phase is Phase.LOOKING and progress.finished is None:
            progress.held.append((submit, delivery))
            return ()
        if progress.phase in _BEFORE_QUEUE or progress.phase is Phase.QUEUEING:
            progress.submits.append(delivery)
            return ()
        if progress.phase is Phase.RUNNING and progress.spec is None and progress.record:
            progress.submits.append(delivery)
            progress.submit = submit
            accepted = self._acceptance(progress.record, replayed=False)
            return (Reply(submit.reply_to, accepted), *self._enqueue(progress))
        record = progress.record
        if record is None:
            progress.submits.append(delivery)
            return ()
        return self._accepted_before(submit, record, delivery)

    def _key_known(self, progress: Progress, earlier: RunRecord | None, now_ms: int) -> Effects:
        submit = progress.submit
        assert submit is not None
        if earlier is None:
            return self._store(progress, now_ms)
        del self._runs[progress.run_id]
        unknown = tuple(Reply(to, CancelReply(status="unknown")) for to in progress.waiting)
        return (
            *self._same_key(submit, earlier, *progress.submits, *progress.cancels),
            *unknown,
        )

    def _same_key(self, submit: SubmitPrompt, earlier: RunRecord, *deliveries: int) -> Effects:
        if earlier.body_hash == submit.body_hash:
            return self._accepted_before(submit, earlier, *deliveries)
        return self._refuse(
            submit,
            deliveries,
            "idempotency_mismatch",
            "This Idempotency-Key came with another body before.",
        )

    def _store(self, progress: Progress, now_ms: int) -> Effects:
        submit = progress.submit
        assert submit is not None
        try:
            model = self._model(submit)
            progress.spec = self._spec(submit, model)
        except Refused as refusal:
            return self._reject(progress, refusal.problem.code, refusal.problem.detail)
        first = self._chat.next_position
        prompt = Message(
            message_id=submit.prompt_id,
            chat_id=submit.chat_id,
            position=first,
            role="user",
            content=submit.content,
            created_at_ms=submit.submitted_at_ms,
            run_id=submit.run_id,
        )
        answer = Message(
            message_id=submit.answer_id,
            chat_id=submit.chat_id,
            position=first + 1,
            role="assistant",
            content="",
            created_at_ms=now_ms,
            status="pending",
            run_id=submit.run_id,
            parent_id=submit.prompt_id,
            model=model.model,
        )
        run = RunRecord(
            run_id=submit.run_id,
            chat_id=submit.chat_id,
            user_id=submit.user_id,
            prompt_id=submit.prompt_id,
            answer_id=submit.answer_id,
            created_at_ms=now_ms,
            model=model.model,
            idempotency_key=submit.idempotency_key,
            body_hash=submit.body_hash,
        )
        progress.phase = Phase.STORING
        progress.prompt = prompt
        progress.answer = answer
        progress.record = run
        self._messages.append(prompt)
        return (AcceptPrompt(prompt, answer, run),)

    def _prompt_stored(self, progress: Progress, stored: PromptStored) -> Effects:
        assert progress.submit is not None and progress.record is not None
        self._chat = stored.chat
        self._remember_key(progress.record)
        accepted = Reply(
            progress.submit.reply_to, self._acceptance(progress.record, replayed=False)
        )
        if progress.finished is not None:
            return (accepted, *self._close(progress))
        if progress.cancel_wanted:
            return (accepted, *self._end_unqueued(progress, RunOutcome(finish_reason="cancelled")))
        return (accepted, *self._enqueue(progress))

    def _enqueue(self, progress: Progress) -> Effects:
        if progress.spec is None:
            assert progress.submit is not None
            try:
                progress.spec = self._spec(progress.submit, self._model(progress.submit))
            except Refused as refusal:
                outcome = RunOutcome(finish_reason="error", error=refusal.problem)
                return self._end_unqueued(progress, outcome)
        progress.phase = Phase.QUEUEING
        progress.retry_at_ms = None
        return (EnqueueRun(progress.spec),)

    def _enqueued(self, progress: Progress, now_ms: int) -> Effects:
        acks = tuple(Acknowledge(delivery) for delivery in progress.submits)
        progress.submits.clear()
        if progress.phase is not Phase.QUEUEING:
            return acks
        progress.phase = Phase.RUNNING
        return (*acks, *self._ask_cancel(progress, now_ms))

    def _end_unqueued(self, progress: Progress, outcome: RunOutcome) -> Effects:
        record = progress.record
        assert record is not None
        progress.finished = RunFinished(
            run_id=progress.run_id,
            chat_id=self._chat.chat_id,
            epoch=0,
            next_seq=1,
            text="",
            outcome=outcome,
            model=record.model,
            message_id=record.answer_id,
        )
        return self._close(progress)

    # --- cancelling --------------------------------------------------------------------------

    def _cancel(self, cancel: CancelRun, delivery: int, now_ms: int) -> Effects:
        if cancel.user_id != self._chat.user_id:
            return (Reply(cancel.reply_to, CancelReply(status="unknown")), Acknowledge(delivery))
        done = self._done.get(cancel.run_id)
        progress = self._runs.get(cancel.run_id)
        if progress is None and done is not None:
            return (Reply(cancel.reply_to, outcomes.cancel_reply(done)), Acknowledge(delivery))
        effects: Effects = ()
        if progress is None:
            progress = Progress(cancel.run_id, Phase.LOOKING)
            self._runs[cancel.run_id] = progress
            effects = (LookUpRun(cancel.run_id),)
        progress.cancel_wanted = True
        progress.cancels.append(delivery)
        if cancel.reply_to:
            progress.waiting.append(cancel.reply_to)
        if progress.phase is Phase.RUNNING:
            return self._ask_cancel(progress, now_ms)
        return effects

    def _ask_cancel(self, progress: Progress, now_ms: int) -> Effects:
        if not progress.cancel_wanted or progress.record is None:
            return ()
        progress.retry_at_ms = now_ms + self._config.cancel_retry_ms
        model = self._config.models.get(progress.record.model)
        return (AskCancel(progress.run_id, model.pool),) if model else ()

    def _looked_up(self, progress: Progress, found: RunLookedUp, now_ms: int) -> Effects:
        if progress.phase is Phase.RESOLVING:
            return self._resolved(progress, found.record)
        held, progress.held = progress.held, []
        effects = self._found(progress, found, now_ms)
        for submit, delivery in held:
            effects += self._submit(submit, delivery, now_ms)
        return effects

    def _found(self, progress: Progress, found: RunLookedUp, now_ms: int) -> Effects:
        record = found.record
        if record is None and progress.finished is None:
            del self._runs[progress.run_id]
            return self._hold_early(progress, now_ms)
        progress.record = record
        progress.answer = found.answer
        if progress.finished is not None:
            return self._close(progress)
        assert record is not None
        if record.state == "active":
            progress.phase = Phase.RUNNING
            return self._ask_cancel(progress, now_ms)
        self._inherit(record)
        return self._end(progress)

    def _resolved(self, progress: Progress, record: RunRecord | None) -> Effects:
        if record is None:
            return self._reject(progress, "unavailable", "History was away; try again.")
        self.stale = True
        problem = Problem(code="unavailable", detail="History was away for too long.")
        outcome = RunOutcome(finish_reason="error", error=problem)
        return self._end_unqueued(progress, outcome)

    def _hold_early(self, progress: Progress, now_ms: int) -> Effects:
        if len(self._early) >= self._config.early_cancels_max:
            replies = tuple(Reply(to, CancelReply(status="unknown")) for to in progress.waiting)
            return (*replies, *self._acks(progress))
        self._early[progress.run_id] = EarlyCancel(
            now_ms + self._config.early_cancel_ms, progress.cancels, progress.waiting
        )
        return ()

    # --- ending ------------------------------------------------------------------------------

    def _finished(self, finished: RunFinished, delivery: int) -> Effects:
        progress = self._runs.get(finished.run_id)
        if progress is None:
            progress = Progress(finished.run_id, Phase.LOOKING, finished=finished)
            progress.finishes.append(delivery)
            self._runs[finished.run_id] = progress
            return (LookUpRun(finished.run_id),)
        progress.finishes.append(delivery)
        if progress.finished is None:
            progress.finished = finished
        if progress.phase in (Phase.RUNNING, Phase.QUEUEING):
            return self._close(progress)
        return ()

    def _close(self, progress: Progress) -> Effects:
        assert progress.finished is not None
        progress.phase = Phase.CLOSING
        progress.retry_at_ms = None
        return (CloseLog(progress.run_id, progress.finished),)

    def _closed(self, progress: Progress, closed: RunClosed, now_ms: int) -> Effects:
        assert progress.finished is not None
        progress.closed = closed
        record = progress.record
        if record is None or progress.answer is None or record.state != "active":
            return self._write_terminal(progress)
        ended = outcomes.ended(record, progress.answer, progress.finished, closed, now_ms)
        progress.record, progress.answer = ended
        progress.phase = Phase.SAVING
        return (SaveAnswer(progress.answer, progress.record),)

    def _saved(self, progress: Progress) -> Effects:
        assert progress.record is not None and progress.answer is not None
        if self._chat.active_run_id == progress.run_id:
            self._chat = outcomes.without_active_run(self._chat)
        self._messages = [m for m in self._messages if m.message_id != progress.answer.message_id]
        self._messages.append(progress.answer)
        del self._messages[: -self._config.messages_loaded]
        self._remember(progress.record)
        return self._write_terminal(progress)

    def _write_terminal(self, progress: Progress) -> Effects:
        closed = progress.closed
        assert closed is not None
        if closed.terminal is not None or self._log_is_gone(progress, closed):
            return self._end(progress)
        progress.phase = Phase.ENDING
        progress.retry_at_ms = None
        event = outcomes.terminal_event(progress.record)
        return (WriteTerminal(progress.run_id, closed.next_seq, event),)

    @staticmethod
    def _log_is_gone(progress: Progress, closed: RunClosed) -> bool:
        """An empty log of an answer that has text: readers have history by now, and a terminal
        event alone would tell them another story."""
        answer = progress.answer
        return closed.next_seq == 1 and answer is not None and bool(answer.content)

    def _end(self, progress: Progress) -> Effects:
        del self._runs[progress.run_id]
        reply = (
            CancelReply(status="unknown")
            if progress.record is None
            else outcomes.cancel_reply(progress.record)
        )
        return (*(Reply(to, reply) for to in progress.waiting), *self._acks(progress))

    # --- failing and waiting -----------------------------------------------------------------

    def _failed(self, progress: Progress, failure: StepFailed, now_ms: int) -> Effects:
        if progress.phase is Phase.KEYING:
            return self._reject(progress, "unavailable", "History is away; try again soon.")
        if progress.phase is Phase.STORING:
            assert progress.submit is not None
            if failure.certain and not progress.doubtful:
                return self._reject(progress, "unavailable", "History is away; try again soon.")
            progress.doubtful = True
            if now_ms > progress.submit.expires_at_ms:
                progress.phase = Phase.RESOLVING
        if failure.fenced:
            return self._close(progress)
        if progress.phase is not Phase.RUNNING:
            progress.retry_at_ms = now_ms + self._config.retry_ms
        return ()

    def _tick(self, now_ms: int) -> Effects:
        effects: list[Effect] = []
        for progress in list(self._runs.values()):
            if progress.retry_at_ms is not None and progress.retry_at_ms <= now_ms:
                progress.retry_at_ms = None
                effects += self._retry(progress, now_ms)
        for run_id, early in list(self._early.items()):
            if early.expires_at_ms <= now_ms:
                del self._early[run_id]
                effects += [Reply(to, CancelReply(status="unknown")) for to in early.waiting]
                effects += [Acknowledge(delivery) for delivery in early.deliveries]
        return tuple(effects)

    def _retry(self, progress: Progress, now_ms: int) -> Effects:
        match progress.phase:
            case Phase.RESOLVING | Phase.LOOKING:
                return (LookUpRun(progress.run_id),)
            case Phase.STORING:
                assert progress.prompt and progress.answer and progress.record
                return (AcceptPrompt(progress.prompt, progress.answer, progress.record),)
            case Phase.QUEUEING:
                return self._enqueue(progress)
            case Phase.RUNNING:
                return self._ask_cancel(progress, now_ms)
            case Phase.CLOSING | Phase.ENDING:
                return self._close(progress)
            case Phase.SAVING:
                assert progress.answer is not None and progress.record is not None
                return (SaveAnswer(progress.answer, progress.record),)
        return ()

    # --- small things ------------------------------------------------------------------------

    def _active(self) -> str | None:
        if self._chat.active_run_id is not None:
            return self._chat.active_run_id
        return next((r for r, p in self._runs.items() if p.phase in _BEFORE_QUEUE), None)

    def _model(self, submit: SubmitPrompt) -> ModelContext:
        name = submit.model or self._chat.model or self._config.default_model
        model = self._config.models.get(name)
        if model is None:
            raise Refused(Problem(code="unknown_model", detail=f"There is no model {name!r}."))
        return model

    def _spec(self, submit: SubmitPrompt, model: ModelContext) -> RunSpec:
        earlier = []
        for message in self._messages:
            if message.message_id == submit.prompt_id:
                break
            earlier.append(message)
        context = build_context(model, earlier, submit.content, submit.sampling)
        return RunSpec(
            run_id=submit.run_id,
            pool=model.pool,
            model=model.model,
            user_id=submit.user_id,
            tier=submit.tier,
            chat_id=submit.chat_id,
            message_id=submit.answer_id,
            prompt_tokens=context.tokens,
            sampling=context.sampling,
            submitted_at_ms=submit.submitted_at_ms,
        )

    def _message(self, message_id: str) -> Message | None:
        return next((m for m in self._messages if m.message_id == message_id), None)

    def _remember(self, record: RunRecord) -> None:
        self._done[record.run_id] = record
        self._remember_key(record)
        while len(self._done) > self._config.runs_loaded:
            oldest = next(iter(self._done))
            forgotten = self._done.pop(oldest)
            self._inherited.pop(oldest, None)
            self._older_runs = True
            if forgotten.idempotency_key is not None:
                self._keys.pop(forgotten.idempotency_key, None)

    def _inherit(self, record: RunRecord) -> None:
        """Remember a run that somebody else ended, perhaps by halves."""
        self._inherited[record.run_id] = None
        self._remember(record)

    def _remember_key(self, record: RunRecord) -> None:
        if record.idempotency_key is not None:
            self._keys[record.idempotency_key] = record

    def _acceptance(self, record: RunRecord, *, replayed: bool) -> PromptAccepted:
        return PromptAccepted(
            run_id=record.run_id,
            prompt_id=record.prompt_id,
            answer_id=record.answer_id,
            replayed=replayed,
        )

    def _accepted_before(
        self, submit: SubmitPrompt, record: RunRecord, *deliveries: int
    ) -> Effects:
        replayed = record.run_id != submit.run_id
        reply = Reply(submit.reply_to, self._acceptance(record, replayed=replayed))
        return (reply, *(Acknowledge(delivery) for delivery in deliveries))

    def _rejection(self, submit: SubmitPrompt, code: ErrorCode, detail: str) -> Reply:
        return Reply(submit.reply_to, PromptRejected(problem=Problem(code=code, detail=detail)))

    def _refuse(
        self, submit: SubmitPrompt, deliveries: int | tuple[int, ...], code: ErrorCode, detail: str
    ) -> Effects:
        ids = (deliveries,) if isinstance(deliveries, int) else deliveries
        return (self._rejection(submit, code, detail), *(Acknowledge(i) for i in ids))

    def _reject(self, progress: Progress, code: ErrorCode, detail: str) -> Effects:
        assert progress.submit is not None
        del self._runs[progress.run_id]
        if progress.prompt is not None:
            self._messages.remove(progress.prompt)
        waiting = tuple(Reply(to, CancelReply(status="unknown")) for to in progress.waiting)
        return (self._rejection(progress.submit, code, detail), *waiting, *self._acks(progress))

    @staticmethod
    def _acks(progress: Progress) -> Effects:
        held = (*progress.submits, *progress.cancels, *progress.finishes)
        return tuple(Acknowledge(delivery) for delivery in held)

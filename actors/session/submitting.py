"""How a prompt is taken: refused, or stored, answered and queued, in this order. Pure."""

from actors.session.cancelling import Cancelling
from actors.session.config import ModelContext
from actors.session.conversation import (
    BEFORE_QUEUE,
    Conversation,
    Effects,
    acceptance,
    unknown_to,
)
from actors.session.ending import Ending
from actors.session.exchanges import without
from actors.session.retrieval import Meaning
from actors.session.state import (
    AcceptPrompt,
    Acknowledge,
    EmbedQuery,
    EnqueueRun,
    LookUpKey,
    MemoryRead,
    Phase,
    Progress,
    PromptStored,
    QueryEmbedded,
    ReadMemory,
    ReadPath,
    Reply,
)
from contracts.block_keys import prompt_keys
from contracts.branches import ROOT
from contracts.errors import ErrorCode, Problem, Refused
from contracts.records import Message, RunRecord
from contracts.runs import LeftOut, RunOutcome, RunSpec
from contracts.session import SubmitPrompt


class Submitting:
    """The transitions of a run from `SubmitPrompt` to its place in the queue."""

    def __init__(self, conversation: Conversation, ending: Ending, cancelling: Cancelling) -> None:
        self._conversation = conversation
        self._ending = ending
        self._cancelling = cancelling

    def submit(self, submit: SubmitPrompt, delivery: int, now_ms: int) -> Effects:
        """A prompt came, perhaps not for the first time."""
        progress = self._conversation.runs.get(submit.run_id)
        if submit.user_id != self._conversation.chat.user_id:
            return self._refuse(submit, delivery, "not_found", "There is no such chat.")
        if progress is not None:
            return self._submit_again(progress, submit, delivery)
        if submit.run_id in self._conversation.done:
            return self._submit_ended(submit, self._conversation.done[submit.run_id], delivery)
        refused = self._conversation.refused.get(submit.run_id)
        if refused is not None:
            return self._reject(submit, delivery, refused)
        if now_ms > submit.expires_at_ms:
            return self._refuse(submit, delivery, "expired", "The prompt came too late.")
        key = submit.idempotency_key
        if key is not None and key in self._conversation.keys:
            return self._same_key(submit, self._conversation.keys[key], delivery)
        blocking = self._conversation.active()
        if blocking is not None:
            problem = Problem(
                code="run_active",
                detail="The chat is answering; wait for it or stop it.",
                active_run_id=blocking,
            )
            return self._reject(submit, delivery, problem)
        progress = Progress(submit.run_id, Phase.KEYING, submit=submit, submits=[delivery])
        progress.doubtful = submit.submitted_at_ms < self._conversation.begun_ms
        self._conversation.runs[submit.run_id] = progress
        early = self._conversation.early.pop(submit.run_id, None)
        if early is not None:
            progress.cancel_wanted = True
            progress.cancels += early.deliveries
            progress.waiting += early.waiting
        return self.begin(progress, now_ms)

    def begin(self, progress: Progress, now_ms: int) -> Effects:
        """Ask history what must be known before the prompt is stored, as often as it takes."""
        submit = progress.submit
        assert submit is not None
        progress.phase = Phase.KEYING
        if submit.idempotency_key is not None and self._conversation.older_runs:
            return (LookUpKey(submit.run_id, submit.idempotency_key),)
        return self._find_path(progress, now_ms)

    def _submit_ended(self, submit: SubmitPrompt, record: RunRecord, delivery: int) -> Effects:
        """A run that an earlier owner ended before it was queued may lack its terminal event:
        its prompt is acknowledged last, so that it comes again."""
        if record.run_id not in self._conversation.inherited:
            return self._accepted_before(submit, record, delivery)
        del self._conversation.inherited[record.run_id]
        answer = self._conversation.message(record.answer_id)
        progress = Progress(record.run_id, Phase.CLOSING, record=record, answer=answer)
        progress.submits.append(delivery)
        self._conversation.runs[record.run_id] = progress
        accepted = Reply(submit.reply_to, acceptance(record, replayed=False))
        return (accepted, *self._ending.end_unqueued(progress, RunOutcome(finish_reason="stop")))

    def _submit_again(self, progress: Progress, submit: SubmitPrompt, delivery: int) -> Effects:
        if progress.phase is Phase.LOOKING and progress.finished is None:
            progress.held.append((submit, delivery))
            return ()
        if progress.phase in BEFORE_QUEUE or progress.phase is Phase.QUEUEING:
            progress.submits.append(delivery)
            return ()
        if progress.phase is Phase.RUNNING and progress.spec is None and progress.record:
            progress.submits.append(delivery)
            progress.submit = submit
            accepted = acceptance(progress.record, replayed=False)
            return (Reply(submit.reply_to, accepted), *self.enqueue(progress))
        record = progress.record
        if record is None:
            progress.submits.append(delivery)
            return ()
        return self._accepted_before(submit, record, delivery)

    def key_known(self, progress: Progress, earlier: RunRecord | None, now_ms: int) -> Effects:
        """History knows who used the idempotency key before; None: nobody."""
        submit = progress.submit
        assert submit is not None
        if earlier is None:
            return self._find_path(progress, now_ms)
        del self._conversation.runs[progress.run_id]
        return (
            *self._same_key(submit, earlier, *progress.submits, *progress.cancels),
            *unknown_to(progress.waiting),
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

    def _find_path(self, progress: Progress, now_ms: int) -> Effects:
        """Go on where the shown path ends, or read the path that the prompt branches off."""
        submit = progress.submit
        assert submit is not None
        leaf_id = submit.prompt_id if submit.regenerate else submit.parent_id
        if leaf_id is None:
            return self._recall(progress, now_ms)
        if leaf_id == ROOT:
            return self.path_read(progress, (), now_ms)
        progress.phase = Phase.BRANCHING
        return (ReadPath(submit.run_id, leaf_id, self._conversation.config.messages_loaded),)

    def path_read(
        self, progress: Progress, path: tuple[Message, ...] | None, now_ms: int
    ) -> Effects:
        """History has the path that the turn is to follow; None: it has not."""
        submit = progress.submit
        assert submit is not None
        follows = "user" if submit.regenerate else "assistant"
        if path is None or (path and path[-1].role != follows):
            problem = Problem(code="not_found", detail="There is no such message.")
            return self._ending.reject(progress, problem)
        progress.branch = True
        self._conversation.messages = list(path)
        return self._recall(progress, now_ms)

    def _recall(self, progress: Progress, now_ms: int) -> Effects:
        """Read what the chat's memory lacks, if anything: older messages after an activation,
        a summary that was asked for."""
        submit, memory = progress.submit, self._conversation.memory
        assert submit is not None
        messages = self._conversation.messages
        model = self._conversation.config.models.get(self._model_name(submit))
        older = model is not None and memory.reads_older(model, messages)
        pictures = self._unseen_pictures(progress)
        if not older and not memory.awaits_summary and not pictures:
            return self._understand(progress, now_ms)
        progress.phase = Phase.RECALLING
        limit = self._conversation.config.messages_max - len(messages)
        return (ReadMemory(submit.run_id, messages[0] if older else None, limit, pictures),)

    def recalled(self, progress: Progress, read: MemoryRead, now_ms: int) -> Effects:
        """History told what it has; where it could not, the prompt does without."""
        messages = self._conversation.messages
        messages[:] = [*(read.older or ()), *(without(m, read.gone) for m in messages)]
        beginning = messages[0].message_id if read.older is not None else None
        self._conversation.memory.read(read.summary, beginning=beginning)
        pictures = self._unseen_pictures(progress)
        if pictures:
            return (ReadMemory(progress.run_id, None, 0, pictures),)
        return self._understand(progress, now_ms)

    def _unseen_pictures(self, progress: Progress) -> tuple[str, ...]:
        """Return the files of earlier pictures that the prompt may show and that were not asked
        for yet, which they then have been."""
        assert progress.submit is not None
        conversation = self._conversation
        shown = conversation.memory.shown_pictures(conversation.messages, progress.submit.sight)
        new = tuple(file for file in shown if file not in progress.looked)
        progress.looked |= {*new}
        return new

    def _understand(self, progress: Progress, now_ms: int) -> Effects:
        """Ask what the message means, where that helps to find what it refers to."""
        submit = progress.submit
        assert submit is not None
        model = self._conversation.config.models.get(self._model_name(submit))
        if model is None or not self._conversation.memory.understands(model):
            return self._store(progress, now_ms)
        again = self._conversation.message(submit.prompt_id)
        text = again.content if again is not None else submit.content
        progress.phase = Phase.UNDERSTANDING
        return (EmbedQuery(submit.run_id, text),)

    def understood(self, progress: Progress, told: QueryEmbedded, now_ms: int) -> Effects:
        """The message's meaning is known, or is not waited for any longer."""
        progress.meaning = told.meaning
        return self._store(progress, now_ms)

    def _store(self, progress: Progress, now_ms: int) -> Effects:
        submit = progress.submit
        assert submit is not None
        try:
            model = self._model(submit)
            progress.spec = self._spec(submit, model, progress.meaning)
        except Refused as refusal:
            return self._ending.reject(progress, refusal.problem)
        path, position = self._conversation.messages, self._conversation.chat.next_position
        if not submit.regenerate:
            progress.prompt = Message(
                message_id=submit.prompt_id,
                chat_id=submit.chat_id,
                position=position,
                role="user",
                content=submit.content,
                created_at_ms=submit.submitted_at_ms,
                run_id=submit.run_id,
                parent_id=path[-1].message_id if path else ROOT,
                attachments=submit.attachments,
            )
            path.append(progress.prompt)
            position += 1
        progress.answer = Message(
            message_id=submit.answer_id,
            chat_id=submit.chat_id,
            position=position,
            role="assistant",
            content="",
            created_at_ms=now_ms,
            status="pending",
            run_id=submit.run_id,
            parent_id=submit.prompt_id,
            model=model.model,
        )
        progress.record = RunRecord(
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
        return self.accept(progress)

    def accept(self, progress: Progress) -> Effects:
        """Store the turn, as often as it takes."""
        assert progress.answer is not None and progress.record is not None
        return (AcceptPrompt(progress.prompt, progress.answer, progress.record, progress.branch),)

    def conflicted(self, progress: Progress, now_ms: int) -> Effects:
        """The chat moved on under another owner, or another path is shown by now: the machine
        is built anew, and the prompt, which is not acknowledged, comes to it again."""
        assert progress.submit is not None
        self._conversation.stale = True
        if now_ms > progress.submit.expires_at_ms:
            problem = Problem(code="expired", detail="The prompt came too late.")
            return self._ending.reject(progress, problem)
        del self._conversation.runs[progress.run_id]
        return ()

    def prompt_stored(self, progress: Progress, stored: PromptStored, now_ms: int) -> Effects:
        """The prompt is durable: say so, and queue its run, unless its client was refused
        meanwhile for want of an answer."""
        assert progress.submit is not None and progress.record is not None
        self._conversation.chat = stored.chat
        self._conversation.remember_key(progress.record)
        if now_ms > progress.submit.expires_at_ms:
            return self._too_late(progress)
        accepted = Reply(progress.submit.reply_to, acceptance(progress.record, replayed=False))
        if progress.finished is not None:
            return (accepted, *self._ending.close(progress))
        if progress.cancel_wanted:
            outcome = RunOutcome(finish_reason="cancelled")
            return (accepted, *self._ending.end_unqueued(progress, outcome))
        return (accepted, *self.enqueue(progress))

    def enqueue(self, progress: Progress) -> Effects:
        """Queue the run, as often as it takes."""
        if progress.spec is None:
            assert progress.submit is not None
            try:
                model = self._model(progress.submit)
                progress.spec = self._spec(progress.submit, model, progress.meaning)
            except Refused as refusal:
                outcome = RunOutcome(finish_reason="error", error=refusal.problem)
                return self._ending.end_unqueued(progress, outcome)
        progress.phase = Phase.QUEUEING
        progress.retry_at_ms = None
        return (EnqueueRun(progress.spec),)

    def enqueued(self, progress: Progress, now_ms: int) -> Effects:
        """The run is in the queue: its prompt needs to come no more."""
        done = tuple(Acknowledge(delivery) for delivery in progress.submits)
        progress.submits.clear()
        if progress.phase is not Phase.QUEUEING:
            return done
        progress.phase = Phase.RUNNING
        progress.watch_at_ms = None
        return (*done, *self._cancelling.ask_cancel(progress, now_ms))

    def resolved(self, progress: Progress, record: RunRecord | None) -> Effects:
        """History says whether a doubtful store took effect; the client has given up by now.
        What an earlier owner stored goes on: the machine is built anew, with the run."""
        if record is None:
            problem = Problem(code="unavailable", detail="History was away; try again.")
            return self._ending.reject(progress, problem)
        self._conversation.stale = True
        ours = progress.record
        if ours is not None and record.created_at_ms == ours.created_at_ms:
            return self._too_late(progress)
        del self._conversation.runs[progress.run_id]
        return ()

    def _too_late(self, progress: Progress) -> Effects:
        """The client was refused, and the prompt is stored: it stays, and its run failed."""
        problem = Problem(code="unavailable", detail="History was away for too long.")
        outcome = RunOutcome(finish_reason="error", error=problem)
        return self._ending.end_unqueued(progress, outcome)

    def _model_name(self, submit: SubmitPrompt) -> str:
        chat, config = self._conversation.chat, self._conversation.config
        return submit.model or chat.model or config.default_model

    def _model(self, submit: SubmitPrompt) -> ModelContext:
        name = self._model_name(submit)
        model = self._conversation.config.models.get(name)
        if model is None:
            raise Refused(Problem(code="unknown_model", detail=f"There is no model {name!r}."))
        return model

    def _spec(self, submit: SubmitPrompt, model: ModelContext, meaning: Meaning | None) -> RunSpec:
        earlier, content, attachments = [], submit.content, submit.attachments
        for message in self._conversation.messages:
            if message.message_id == submit.prompt_id:
                content, attachments = message.content, message.attachments
                break
            earlier.append(message)
        context = self._conversation.memory.context(
            model,
            earlier,
            content,
            attachments,
            submit.sampling,
            submit.user_prompt,
            meaning,
            submit.sight,
        )
        marks = tuple((picture.at, picture.digest) for picture in context.pictures)
        return RunSpec(
            run_id=submit.run_id,
            pool=model.pool,
            model=model.model,
            user_id=submit.user_id,
            tier=submit.tier,
            deferrable=submit.deferrable,
            degraded=submit.degraded,
            chat_id=submit.chat_id,
            message_id=submit.answer_id,
            prompt_tokens=context.tokens,
            sampling=context.sampling,
            submitted_at_ms=submit.submitted_at_ms,
            block_keys=prompt_keys(context.tokens, marks),
            home=self._conversation.home,
            left_out=context.left_out if context.left_out != LeftOut() else None,
            pictures=context.pictures,
        )

    def _accepted_before(
        self, submit: SubmitPrompt, record: RunRecord, *deliveries: int
    ) -> Effects:
        replayed = record.run_id != submit.run_id
        reply = Reply(submit.reply_to, acceptance(record, replayed=replayed))
        return (reply, *(Acknowledge(delivery) for delivery in deliveries))

    def _reject(self, submit: SubmitPrompt, delivery: int, problem: Problem) -> Effects:
        """Refuse a prompt that a later owner might take."""
        progress = Progress(submit.run_id, Phase.REFUSING, submit=submit, submits=[delivery])
        self._conversation.runs[submit.run_id] = progress
        return self._ending.reject(progress, problem)

    def _refuse(
        self, submit: SubmitPrompt, deliveries: int | tuple[int, ...], code: ErrorCode, detail: str
    ) -> Effects:
        ids = (deliveries,) if isinstance(deliveries, int) else deliveries
        reply = self._conversation.refuse(submit, Problem(code=code, detail=detail))
        return (reply, *(Acknowledge(i) for i in ids))

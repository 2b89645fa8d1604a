"""The session machine: every decision about one conversation. Pure and synchronous.

One `SessionMachine` a chat. `handle` takes a message and the time and returns what is to be
done, in order; the shell performs it and reports back with further messages. Commands may
come twice, late and in any order; every step may be repeated.

Here are the way in, failures and time; `submitting`, `cancelling` and `ending` have the
transitions, on one `conversation`.
"""

from actors.session.cancelling import Cancelling
from actors.session.config import SessionConfig
from actors.session.conversation import Conversation, Effects
from actors.session.ending import Ending
from actors.session.folding import Folding
from actors.session.learning import Learning
from actors.session.retrieval import Retrieval
from actors.session.state import (
    AnswerSaved,
    Command,
    Effect,
    EnqueueRefused,
    KeyLookedUp,
    LookUpRun,
    MemoryRead,
    PathRead,
    Phase,
    Progress,
    PromptConflict,
    PromptStored,
    QueryEmbedded,
    RunClosed,
    RunEnqueued,
    RunKnown,
    RunLookedUp,
    SaveAnswer,
    SessionMessage,
    Settled,
    StepFailed,
    TerminalWritten,
    Tick,
    TurnsEmbedded,
)
from actors.session.submitting import Submitting
from actors.session.titling import Titling
from actors.session.watching import Watching
from contracts.errors import IllegalMessage, Problem
from contracts.records import SessionRecord
from contracts.runs import RunOutcome
from contracts.session import CancelRun, RunFinished, SubmitPrompt


class SessionMachine:
    """The conversation of one chat, rebuilt from `record`. `index` finds its older turns; None:
    they are not looked for. `begun_ms`: since when its owner has the chat."""

    def __init__(
        self,
        config: SessionConfig,
        record: SessionRecord,
        index: Retrieval | None = None,
        *,
        begun_ms: int = 0,
    ) -> None:
        self._conversation = Conversation(config, record, index, begun_ms=begun_ms)
        self._ending = Ending(self._conversation)
        self._cancelling = Cancelling(self._conversation, self._ending)
        self._submitting = Submitting(self._conversation, self._ending, self._cancelling)
        self._folding = Folding(self._conversation)
        self._titling = Titling(self._conversation)
        self._learning = Learning(self._conversation)
        self._watching = Watching(self._conversation, self._ending)

    @property
    def stale(self) -> bool:
        """True once history showed that somebody else moved the chat on: the shell then
        rebuilds the machine and gives it the unacknowledged commands again."""
        return self._conversation.stale

    @property
    def idle(self) -> bool:
        """True when nothing is in progress and nothing would be lost by forgetting it all."""
        return not self._conversation.runs and not self._conversation.early

    def close(self) -> None:
        """Give back what its memory holds; no message follows."""
        self._conversation.memory.close()

    @property
    def next_due_ms(self) -> int | None:
        """When a `Tick` is wanted, None if never."""
        runs = self._conversation.runs.values()
        due = [p.retry_at_ms for p in runs if p.retry_at_ms is not None]
        due += [p.watch_at_ms for p in runs if p.watch_at_ms is not None]
        due += [early.expires_at_ms for early in self._conversation.early.values()]
        return min(due, default=None)

    def handle(self, message: SessionMessage, now_ms: int) -> Effects:
        """Decide. Messages about runs that ended meanwhile have no effect."""
        match message:
            case Command():
                return self._command(message, now_ms)
            case Tick():
                return self._tick(now_ms)
            case TurnsEmbedded():
                return self._learning.told(message)
        progress = self._conversation.runs.get(message.run_id)
        if progress is None:
            return ()
        match message:
            case KeyLookedUp() | PathRead() | MemoryRead() | QueryEmbedded():
                return self._told(progress, message, now_ms)
            case PromptStored() if progress.phase is Phase.STORING:
                return self._submitting.prompt_stored(progress, message, now_ms)
            case PromptConflict() if progress.phase is Phase.STORING:
                return self._submitting.conflicted(progress, now_ms)
            case RunEnqueued():
                return (*self._submitting.enqueued(progress, now_ms), *self._learning.go_on())
            case EnqueueRefused() if progress.phase is Phase.QUEUEING:
                problem = Problem(code="at_capacity", detail="The queue is full.")
                return self._ending.end_unqueued(
                    progress, RunOutcome(finish_reason="error", error=problem)
                )
            case RunLookedUp() if progress.phase in (Phase.LOOKING, Phase.RESOLVING):
                return self._looked_up(progress, message, now_ms)
            case RunKnown() if progress.phase is Phase.RUNNING:
                return self._watching.told(progress, message)
            case RunClosed() if progress.phase is Phase.CLOSING:
                return self._ending.closed(progress, message, now_ms)
            case AnswerSaved() if progress.phase is Phase.SAVING:
                return self._ending.saved(progress)
            case TerminalWritten() if progress.phase is Phase.ENDING:
                return (
                    *self._ending.end(progress),
                    *self._titling.after(progress, now_ms),
                    *self._folding.after(progress, now_ms),
                )
            case Settled() if progress.phase is Phase.REFUSING:
                return self._ending.settled(progress, message)
            case StepFailed():
                return self._failed(progress, message, now_ms)
        return ()

    def _command(self, command: Command, now_ms: int) -> Effects:
        match command.body:
            case SubmitPrompt() as submit:
                return self._submitting.submit(submit, command.delivery, now_ms)
            case CancelRun() as cancel:
                return self._cancelling.cancel(cancel, command.delivery, now_ms)
            case RunFinished() as finished:
                return self._ending.finished(finished, command.delivery)
            case _:
                raise IllegalMessage("a response is no business of a chat's")

    def _told(
        self,
        progress: Progress,
        told: KeyLookedUp | PathRead | MemoryRead | QueryEmbedded,
        now_ms: int,
    ) -> Effects:
        """A question was answered that a prompt waits for."""
        if isinstance(told, KeyLookedUp) and progress.phase is Phase.KEYING:
            return self._submitting.key_known(progress, told.earlier, now_ms)
        if isinstance(told, PathRead) and progress.phase is Phase.BRANCHING:
            return self._submitting.path_read(progress, told.messages, now_ms)
        if isinstance(told, MemoryRead) and progress.phase is Phase.RECALLING:
            return self._submitting.recalled(progress, told, now_ms)
        if isinstance(told, QueryEmbedded) and progress.phase is Phase.UNDERSTANDING:
            return self._submitting.understood(progress, told, now_ms)
        return ()

    def _looked_up(self, progress: Progress, found: RunLookedUp, now_ms: int) -> Effects:
        if progress.phase is Phase.RESOLVING:
            return self._submitting.resolved(progress, found.record)
        held, progress.held = progress.held, []
        effects = self._cancelling.found(progress, found, now_ms)
        for submit, delivery in held:
            effects += self._submitting.submit(submit, delivery, now_ms)
        return effects

    def _failed(self, progress: Progress, failure: StepFailed, now_ms: int) -> Effects:
        away = "History is away; try again soon."
        if progress.phase in (Phase.KEYING, Phase.BRANCHING, Phase.STORING):
            assert progress.submit is not None
            no_effect = failure.certain or progress.phase is not Phase.STORING
            if no_effect and not progress.doubtful:
                return self._ending.reject(progress, Problem(code="unavailable", detail=away))
            progress.doubtful = True
            if now_ms > progress.submit.expires_at_ms:
                progress.phase = Phase.RESOLVING
        if failure.fenced:
            return self._ending.close(progress)
        if progress.phase is not Phase.RUNNING:
            progress.retry_at_ms = now_ms + self._conversation.config.retry_ms
        return ()

    def _tick(self, now_ms: int) -> Effects:
        effects: list[Effect] = []
        for progress in list(self._conversation.runs.values()):
            if progress.retry_at_ms is not None and progress.retry_at_ms <= now_ms:
                progress.retry_at_ms = None
                effects += self._retry(progress, now_ms)
            effects += self._watching.ask(progress, now_ms)
        return (*effects, *self._cancelling.expire_early(now_ms))

    def _retry(self, progress: Progress, now_ms: int) -> Effects:
        match progress.phase:
            case Phase.RESOLVING | Phase.LOOKING:
                return (LookUpRun(progress.run_id),)
            case Phase.KEYING | Phase.BRANCHING:
                return self._submitting.begin(progress, now_ms)
            case Phase.STORING:
                return self._submitting.accept(progress)
            case Phase.REFUSING:
                return self._ending.settle(progress)
            case Phase.QUEUEING:
                return self._submitting.enqueue(progress)
            case Phase.RUNNING:
                return self._cancelling.ask_cancel(progress, now_ms)
            case Phase.CLOSING | Phase.ENDING:
                return self._ending.close(progress)
            case Phase.SAVING:
                assert progress.answer is not None and progress.record is not None
                return (SaveAnswer(progress.answer, progress.record),)
        return ()

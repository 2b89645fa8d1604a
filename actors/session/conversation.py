"""What the rooms of a session machine share: the chat as it stands, its runs, its past. Pure."""

from actors.session.config import SessionConfig
from actors.session.memory import Memory
from actors.session.retrieval import Retrieval
from actors.session.state import Acknowledge, EarlyCancel, Effect, Phase, Progress, Reply
from contracts.errors import Problem
from contracts.records import Message, RunRecord, SessionRecord
from contracts.session import CancelReply, PromptAccepted, PromptRejected, SubmitPrompt

Effects = tuple[Effect, ...]
BEFORE_QUEUE = (
    Phase.KEYING,
    Phase.BRANCHING,
    Phase.RECALLING,
    Phase.UNDERSTANDING,
    Phase.STORING,
    Phase.RESOLVING,
    Phase.REFUSING,
)

_REFUSED_MAX = 64


class Conversation:
    """The memory of one chat's machine, rebuilt from `record`.

    `runs` are in progress, `early` are cancels of runs that nobody knows (yet), `done` the
    newest ended runs, `refused` the newest prompts that were refused, `keys` who used which
    idempotency key. `inherited` names the ended runs
    that somebody else ended, perhaps by halves. `older_runs`: history has more than `done`.
    `memory` is what the chat remembers beyond the window, `home` the worker that answered last:
    its cache has the chat ('' after a restart: the scheduler finds out by itself). Prompts that
    were submitted before `begun_ms` another owner may have stored, or may be storing still.
    """

    def __init__(
        self,
        config: SessionConfig,
        record: SessionRecord,
        index: Retrieval | None = None,
        *,
        begun_ms: int = 0,
    ) -> None:
        self.stale = False
        self.begun_ms = begun_ms
        self.config = config
        self.chat = record.chat
        self.messages = list(record.messages)
        self.memory = Memory(config, record, index)
        self.home = ""
        self.done: dict[str, RunRecord] = {}
        self.keys: dict[str, RunRecord] = {}
        self.inherited: dict[str, None] = {}
        self.older_runs = len(record.recent_runs) >= config.runs_loaded
        self.runs: dict[str, Progress] = {}
        self.early: dict[str, EarlyCancel] = {}
        self.refused: dict[str, Problem] = {}
        for run in reversed(record.recent_runs):
            self.inherit(run)
        active = record.active_run
        if active is not None:
            self.runs[active.run_id] = Progress(
                active.run_id,
                Phase.RUNNING,
                record=active,
                answer=self.message(active.answer_id),
                watch_at_ms=1,
            )
            self.remember_key(active)

    def active(self) -> str | None:
        """Return the run that keeps a new prompt out, None if there is none."""
        if self.chat.active_run_id is not None:
            return self.chat.active_run_id
        return next((r for r, p in self.runs.items() if p.phase in BEFORE_QUEUE), None)

    def message(self, message_id: str) -> Message | None:
        """Return a message of those loaded."""
        return next((m for m in self.messages if m.message_id == message_id), None)

    def remember(self, record: RunRecord) -> None:
        """Remember an ended run; the oldest beyond the limit are left to history."""
        self.done[record.run_id] = record
        self.remember_key(record)
        while len(self.done) > self.config.runs_loaded:
            oldest = next(iter(self.done))
            forgotten = self.done.pop(oldest)
            self.inherited.pop(oldest, None)
            self.older_runs = True
            if forgotten.idempotency_key is not None:
                self.keys.pop(forgotten.idempotency_key, None)

    def inherit(self, record: RunRecord) -> None:
        """Remember a run that somebody else ended, perhaps by halves."""
        self.inherited[record.run_id] = None
        self.remember(record)

    def refuse(self, submit: SubmitPrompt, problem: Problem) -> Reply:
        """Return the answer to a prompt of which nothing is stored, and remember it: another
        copy of the prompt is answered alike, however things are by then."""
        self.refused[submit.run_id] = problem
        if len(self.refused) > _REFUSED_MAX:
            del self.refused[next(iter(self.refused))]
        return Reply(submit.reply_to, PromptRejected(problem=problem))

    def remember_key(self, record: RunRecord) -> None:
        """Remember who used an idempotency key."""
        if record.idempotency_key is not None:
            self.keys[record.idempotency_key] = record


def acceptance(record: RunRecord, *, replayed: bool) -> PromptAccepted:
    """Return the answer to a prompt that is in history."""
    return PromptAccepted(
        run_id=record.run_id,
        prompt_id=record.prompt_id,
        answer_id=record.answer_id,
        replayed=replayed,
    )


def acknowledgements(progress: Progress) -> Effects:
    """Return what makes every command of a run done for good."""
    held = (*progress.submits, *progress.cancels, *progress.finishes)
    return tuple(Acknowledge(delivery) for delivery in held)


def unknown_to(waiting: list[str]) -> Effects:
    """Return the answers to cancels of a run that does not exist."""
    return tuple(Reply(to, CancelReply(status="unknown")) for to in waiting)

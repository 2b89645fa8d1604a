"""What a session actor is told and what it answers.

Commands arrive on the durable stream `SESS`, at least once and possibly late; replies go to
the `reply` subject of the request, at most once.
"""

from typing import Literal

from contracts.base import Tagged, Wire
from contracts.errors import Problem
from contracts.records import Attachment
from contracts.runs import Degradation, RunOutcome, Sampling, Sight, Tier


class SubmitPrompt(Tagged, tag="submit_prompt"):
    """Store this prompt and answer it.

    The edge draws all ids, so that a repeated command is the same command. After
    `expires_at_ms` it is refused (`expired`): its client was told so already.
    `idempotency_key` is the client's, `body_hash` tells whether it came with the same body.
    `sampling` is complete: the edge fills the defaults; `max_tokens` 0 means "what fits".
    `parent_id` None goes on where the chat's shown path ends; else the prompt begins a branch
    after that answer ('' : at the root). `regenerate` makes another answer to the prompt
    `prompt_id`, which is in history; `content` and `attachments` are then empty.
    `user_prompt` is added to the system prompt. `deferrable` and `degraded` are the run's
    (`RunSpec`). `sight` is what the model sees of the chat's pictures (None: nothing).
    """

    run_id: str
    chat_id: str
    user_id: str
    prompt_id: str
    answer_id: str
    content: str
    sampling: Sampling
    submitted_at_ms: int
    expires_at_ms: int
    tier: Tier = "free"
    model: str | None = None
    idempotency_key: str | None = None
    body_hash: str = ""
    reply_to: str = ""
    parent_id: str | None = None
    regenerate: bool = False
    attachments: tuple[Attachment, ...] = ()
    user_prompt: str = ""
    deferrable: bool = False
    degraded: tuple[Degradation, ...] = ()
    sight: Sight | None = None


class CancelRun(Tagged, tag="cancel_run"):
    """Stop this run, in whatever state it is, also before it is known."""

    run_id: str
    chat_id: str
    user_id: str
    reply_to: str = ""


class RunFinished(Tagged, tag="run_finished"):
    """The worker committed its end entry (or the scheduler ended a run without a worker).

    `epoch` is the worker's claim (0: none was made), `next_seq` the place of the event that
    follows its last entry, `text` the whole answer. If the claim is no longer the run's
    last, the log is right and this text is not: read it again. `worker` wrote the answer and
    has its prompt cached ("": nobody, or not told). `moved`: the claim is one of the log's
    sibling (ADR 0028).
    """

    run_id: str
    chat_id: str
    epoch: int
    next_seq: int
    text: str
    outcome: RunOutcome
    model: str
    message_id: str
    worker: str = ""
    moved: bool = False


SessionCommand = SubmitPrompt | CancelRun | RunFinished


class PromptAccepted(Tagged, tag="accepted"):
    """The prompt is in history and its run is queued. `replayed`: it already was, under the
    ids given here."""

    run_id: str
    prompt_id: str
    answer_id: str
    replayed: bool = False


class PromptRejected(Tagged, tag="rejected"):
    """Nothing was stored."""

    problem: Problem


SubmitReply = PromptAccepted | PromptRejected


class CancelReply(Wire):
    """`ended`: the run has reached its end (the engine has freed it), `state` says which;
    `unknown`: no such run of this user."""

    status: Literal["ended", "unknown"]
    state: Literal["completed", "cancelled", "failed", ""] = ""

"""What scheduler and gpu actors say to each other, and what both tell the world.

Core NATS messages: any of them may be lost, doubled or late; the periodic `WorkerReport`
repairs what was lost.
"""

from typing import Literal

from contracts.base import Tagged, Wire
from contracts.errors import Problem
from contracts.runs import Degradation, RunOutcome, RunSpec, Sight, Tier, Usage

WorkerState = Literal["starting", "ready", "draining", "stopped"]
RunState = Literal["queued", "dispatched", "running", "cancelling"]
DegradationLevel = Literal["normal", "capped", "downgraded", "deferred", "shed"]


# --- scheduler -> gpu actor -----------------------------------------------------------------


class StartRun(Tagged, tag="start_run"):
    """Write this answer. `attempt` grows with every dispatch of a run, across scheduler
    restarts. `expect_epoch` 0 promises that nobody has claimed the log yet; None says that
    somebody may have: read the claim, and go on from the last committed token. `degraded`
    goes into the outcome's usage."""

    spec: RunSpec
    attempt: int
    expect_epoch: int | None = None
    degraded: tuple[Degradation, ...] = ()


class AbortRun(Tagged, tag="abort_run"):
    """Free the sequence of this run and end it as cancelled."""

    run_id: str
    attempt: int


class DropRun(Tagged, tag="drop_run"):
    """Free the sequence without ending the run: it is another worker's now."""

    run_id: str
    attempt: int


class ResendPrefixes(Tagged, tag="resend_prefixes"):
    """Say again all that the prefix cache holds: messages about it were lost."""


class Drain(Tagged, tag="drain"):
    """Take no new run; finish or hand back what runs."""


WorkerCommand = StartRun | AbortRun | DropRun | ResendPrefixes | Drain


# --- gpu actor -> scheduler -----------------------------------------------------------------


class RunningRun(Wire):
    """A run on a worker: `tokens` is the cumulative count of committed output tokens."""

    run_id: str
    attempt: int
    tokens: int = 0
    started: bool = False


class WorkerReport(Tagged, tag="worker_report"):
    """The whole truth about a worker, every 100 ms and at every change of state.

    `incarnation` (milliseconds at start) tells a restarted worker of the same id from its
    predecessor; `number` grows within an incarnation, so a late report is recognised.
    `slots` is the most runs it takes at once; `kv_used` a share from 0 to 1. `seen` is the
    highest attempt that it has received, so that a report older than a dispatch isn't taken
    for a loss. `waiting` counts runs that the engine has not begun, `pending_prefill` prompt
    tokens that are neither computed nor, as far as is known, cached; `kv_tokens` is what the
    engine's memory holds (0: not known), `prefixes` the number of the last `PrefixChanged`,
    `sight` what its model sees (None: nothing, or not known yet).
    """

    worker: str
    pool: str
    model: str
    incarnation: int
    number: int
    state: WorkerState
    slots: int
    context_length: int
    engine: Literal["vllm", "sim"]
    pid: int = 0
    host: str = ""
    runs: tuple[RunningRun, ...] = ()
    seen: int = 0
    waiting: int = 0
    kv_used: float = 0.0
    prefill_tokens_s: float = 0.0
    decode_tokens_s: float = 0.0
    kv_tokens: int = 0
    pending_prefill: int = 0
    prefixes: int = 0
    sight: Sight | None = None


class PrefixChanged(Tagged, tag="prefix_changed"):
    """What a worker's prefix cache holds has changed. `stored` and `removed` are block keys
    (`contracts.block_keys`), no key in both.

    `number` counts these messages within an incarnation, from 1: a missing one shows. `cleared`:
    forget all that was said before, then take this in; a cache that is sent again begins so.
    """

    worker: str
    incarnation: int
    number: int
    stored: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    cleared: bool = False


class RunRejected(Tagged, tag="run_rejected"):
    """The worker can't take the run now (full, draining, starting); it has no effect."""

    run_id: str
    attempt: int
    worker: str
    reason: str


class RunBegan(Tagged, tag="run_began"):
    """The first token is committed."""

    run_id: str
    attempt: int
    worker: str
    cached_tokens: int = 0


class RunSettled(Tagged, tag="run_settled"):
    """The end entry is committed and, for a chat, `RunFinished` is stored: forget the run.
    `outcome` None: it was already closed or belongs to a newer attempt."""

    run_id: str
    attempt: int
    worker: str
    outcome: RunOutcome | None = None


class WorkerGone(Tagged, tag="worker_gone"):
    """The worker's process is known to be dead (its parent saw it exit, or it said goodbye):
    detection faster than a missed report."""

    worker: str
    incarnation: int = 0
    reason: str = ""


WorkerMessage = WorkerReport | PrefixChanged | RunRejected | RunBegan | RunSettled | WorkerGone


# --- edge, session, operator -> scheduler (request and reply) -------------------------------


class CancelQueued(Tagged, tag="cancel"):
    """Stop a run. The reply is a `CancelTaken`; the end itself comes as `RunFinished` (a
    chat's run) or as the log's end entry (an API run)."""

    run_id: str


class DescribeRun(Tagged, tag="describe_run"):
    """Ask for one run; the reply is `RunList` with one or no run."""

    run_id: str


class DescribePool(Tagged, tag="describe_pool"):
    """Ask for the pool: the reply is a `RunList`."""

    limit: int = 100


class WatchRuns(Tagged, tag="watch_runs"):
    """Somebody reads the logs of these runs: tell them their places in the queue for the next
    seconds. Said again while it is true; no reply. Runs that wait elsewhere, or nowhere yet,
    are no error."""

    run_ids: tuple[str, ...]


class AskAllowance(Tagged, tag="ask_allowance"):
    """Ask what a user may do now; the reply is an `Allowance`. With `wanted` the answer says
    whether a run of about `prompt_tokens` and at most `output_tokens` new ones (0: as many as
    usual) would be taken; nothing is reserved by it. `deferrable`: it may wait for a calmer
    time."""

    user_id: str
    tier: Tier = "free"
    wanted: bool = False
    prompt_tokens: int = 0
    output_tokens: int = 0
    deferrable: bool = False


SchedulerRequest = WatchRuns | CancelQueued | DescribeRun | DescribePool | AskAllowance


class BudgetView(Wire):
    """A user's budget in a pool, in micro-GPU-seconds: the size of the bucket, what is left
    (below zero: in debt), what is added a second, and when it is full. `token_cost` is what
    one token of output takes from it."""

    limit: int
    remaining: int
    refill_per_second: int
    full_in_ms: int = 0
    token_cost: int = 0


class Allowance(Wire):
    """What a user may do in a pool. `concurrency` is how many of their runs are worked on at
    once (0: no limit), `running` and `waiting` how many there are. `budget` None: there is no
    limit to what they spend. `problem` says why the run that was asked about would be refused,
    None that it would be taken; `wait_ms` how long it would then wait, by estimate."""

    tier: str
    concurrency: int = 0
    running: int = 0
    waiting: int = 0
    budget: BudgetView | None = None
    problem: Problem | None = None
    wait_ms: int | None = None


class CancelTaken(Wire):
    """`known` False: this scheduler has no such run (ended long ago, or not yet queued)."""

    known: bool
    state: RunState | None = None


class RunView(Wire):
    """A run as the scheduler sees it; `position` 1 is next, 0 once dispatched."""

    run_id: str
    state: RunState
    user_id: str
    tier: str
    chat_id: str | None = None
    attempt: int = 0
    epoch: int = 0
    worker: str | None = None
    position: int = 0
    eta_ms: int | None = None
    tokens: int = 0
    submitted_at_ms: int = 0
    usage: Usage = Usage()


class WorkerView(Wire):
    """A worker as the scheduler sees it; for `quarantined_ms` it is given nothing more, since it
    died again and again."""

    worker: str
    model: str
    engine: str
    state: WorkerState
    slots: int
    running: int
    waiting: int
    kv_used: float
    pid: int
    host: str
    incarnation: int
    silent_ms: int = 0
    quarantined_ms: int = 0


class RunList(Wire):
    """Runs in the order in which they will be or were dispatched, and the workers. `level` is
    how far degradation has gone, `why` what took it there, `waits_ms` what a newcomer of each
    tier would wait."""

    runs: tuple[RunView, ...] = ()
    workers: tuple[WorkerView, ...] = ()
    queued: int = 0
    running: int = 0
    level: DegradationLevel = "normal"
    why: str = ""
    waits_ms: dict[str, int] | None = None


class PoolStatus(Wire):
    """Broadcast by a pool's scheduler twice a second and at every change of admission.

    `admit` per tier False: a prompt of that tier is refused at once, with `retry_after_ms`.
    `healthy`: at least one worker is ready. `level` is how far degradation has gone and `why`
    says what took it there; prompts of the tiers in `downgrade` are better sent to the
    fallback model, those of the tiers in `ask` are asked for (`AskAllowance`) before they are
    submitted. `waits_ms` is the expected wait of a tier's user who has nothing waiting.
    `sight` is what every ready worker's model sees (None: nothing).
    """

    pool: str
    model: str
    healthy: bool
    admit: dict[str, bool]
    retry_after_ms: int = 0
    queued: int = 0
    running: int = 0
    slots: int = 0
    context_length: int = 0
    engine: str = "vllm"
    at_ms: int = 0
    epoch: int = 0
    level: DegradationLevel = "normal"
    why: str = ""
    downgrade: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    waits_ms: dict[str, int] | None = None
    sight: Sight | None = None


class ActorInfo(Wire):
    """One row of `parley ps`, published as `$SRV` metadata and in `actor.<role>.<id>`."""

    role: str
    id: str
    pid: int
    host: str
    state: str
    epoch: int = 0
    running: int = 0
    waiting: int = 0
    kv_used: float | None = None

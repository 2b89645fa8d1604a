"""An example of every wire struct, with every field set to something but its default.

The golden files hold the encoded forms. They are a promise to programs that still run and
to bytes that are already stored, so nothing ever changes in them: a new struct or a new
field appends. `python -m tests.unit.contracts.examples` writes what they lack, never more.
"""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import msgspec

from contracts import (
    accounts,
    embeddings,
    errors,
    events,
    log,
    memory,
    records,
    responses,
    runs,
    scheduling,
    session,
)
from contracts.base import Tagged, Wire
from contracts.codec import encode

GOLDEN = Path(__file__).parent / "golden"
MODULES: tuple[ModuleType, ...] = (
    embeddings,
    errors,
    runs,
    events,
    log,
    session,
    scheduling,
    memory,
    records,
    responses,
    accounts,
)

S = TypeVar("S", bound=msgspec.Struct)

PROBLEM = errors.Problem(
    code="at_capacity",
    detail="Try again in 2 s.",
    retry_after_ms=2_000,
    active_run_id="run_1",
)
USAGE = runs.Usage(prompt_tokens=70, completion_tokens=9, cached_tokens=64, degraded=("shortened",))
GUIDE = runs.Guide(kind="json_schema", json_schema='{"type": "object"}')
SAMPLING = runs.Sampling(
    max_tokens=256,
    min_tokens=2,
    temperature=0.7,
    top_p=0.9,
    top_k=40,
    min_p=0.05,
    presence_penalty=0.1,
    frequency_penalty=0.2,
    repetition_penalty=1.1,
    seed=7,
    stop=("\n\n", "END"),
    ignore_eos=True,
    logit_bias=((5, -100.0), (9, 1.5)),
    logprobs=2,
    guide=GUIDE,
)
LEFT_OUT = runs.LeftOut(exchanges=9, attachments=1, summary=True, passages=True, pictures=2)
SIGHT = runs.Sight(pictures=4, tokens=576)
PICTURE = runs.Picture(at=1, name="file_1.data", digest="ab12", tokens=576)
SPEC = runs.RunSpec(
    run_id="run_1",
    pool="default",
    model="parley-small",
    user_id="user_1",
    prompt_tokens=(1, 15, 2),
    sampling=SAMPLING,
    submitted_at_ms=1_700_000_000_000,
    tier="paid",
    chat_id="chat_1",
    message_id="msg_2",
    block_keys=("b1", "b2"),
    home="gpu_1",
    deferrable=True,
    reader="edge_1",
    degraded=("downgraded",),
    left_out=LEFT_OUT,
    pictures=(PICTURE,),
)
OUTCOME = runs.RunOutcome(finish_reason="length", usage=USAGE, error=PROBLEM)
DELTA = events.MessageDelta(delta="Grüße, 世界 🏺")
STARTED = events.RunStarted(
    model="parley-small", message_id="msg_2", cached_tokens=64, left_out=LEFT_OUT
)
RUNNING = scheduling.RunningRun(run_id="run_1", attempt=1048577, tokens=9, started=True)
RUN_VIEW = scheduling.RunView(
    run_id="run_1",
    state="running",
    user_id="user_1",
    tier="paid",
    chat_id="chat_1",
    attempt=1048577,
    epoch=12,
    worker="gpu_1",
    position=3,
    eta_ms=900,
    tokens=9,
    submitted_at_ms=1_700_000_000_000,
    usage=USAGE,
)
BUDGET_VIEW = scheduling.BudgetView(
    limit=60_000_000,
    remaining=41_000_000,
    refill_per_second=100_000,
    full_in_ms=190_000,
    token_cost=200,
)
WORKER_VIEW = scheduling.WorkerView(
    worker="gpu_1",
    model="parley-small",
    engine="sim",
    state="draining",
    slots=32,
    running=2,
    waiting=1,
    kv_used=0.5,
    pid=4242,
    host="node-1",
    incarnation=1_700_000_000_001,
    silent_ms=130,
    quarantined_ms=10_000,
)
CHAT = records.Chat(
    chat_id="chat_1",
    user_id="user_1",
    created_at_ms=1_700_000_000_000,
    active_at_ms=1_700_000_000_900,
    title="Pots",
    model="parley-small",
    pinned=True,
    active_run_id="run_1",
    next_position=2,
    leaf_id="msg_2",
    branched=True,
)
ATTACHMENT = records.Attachment(
    file_id="file_1",
    name="pots.py",
    media_type="text/x-python",
    kind="code",
    size_bytes=12,
    text="print('clay')",
    digest="ab12",
)
SETTINGS = records.UserSettings(system_prompt="Be brief.", temperature=0.5, model="parley-small")
MESSAGE = records.Message(
    message_id="msg_2",
    chat_id="chat_1",
    position=1,
    role="assistant",
    content="Clay.",
    created_at_ms=1_700_000_000_000,
    status="cancelled",
    run_id="run_1",
    parent_id="msg_1",
    model="parley-small",
    finish_reason="cancelled",
    usage=USAGE,
    attachments=(ATTACHMENT,),
)
RUN_RECORD = records.RunRecord(
    run_id="run_1",
    chat_id="chat_1",
    user_id="user_1",
    prompt_id="msg_1",
    answer_id="msg_2",
    created_at_ms=1_700_000_000_000,
    state="failed",
    model="parley-small",
    idempotency_key="key",
    body_hash="ab12",
    finish_reason="error",
    usage=USAGE,
    error=PROBLEM,
    ended_at_ms=1_700_000_000_900,
)
SUMMARY = records.Summary(
    chat_id="chat_1",
    position=7,
    text="Pots and clay.",
    created_at_ms=1_700_000_000_000,
    upto_id="msg_8",
)
SHARED_MESSAGE = records.SharedMessage(
    role="assistant",
    content="Clay.",
    created_at_ms=1_700_000_000_000,
    model="parley-small",
    attachments=(ATTACHMENT,),
)

RESPONSE = responses.ResponseRecord(
    response_id="resp_1",
    user_id="user_1",
    run_id="run_1",
    model="parley-small",
    created_at_ms=1_700_000_000_000,
    request='{"temperature":0.5}',
    items='[{"type":"message"}]',
    previous_id="resp_0",
    background=True,
    idempotency_key="k1",
    body_hash="cd34",
    state="failed",
    text="so far",
    finish_reason="error",
    usage=USAGE,
    error=PROBLEM,
    ended_at_ms=1_700_000_000_900,
)
EXAMPLES: tuple[msgspec.Struct, ...] = (
    PROBLEM,
    # runs
    GUIDE,
    SAMPLING,
    USAGE,
    LEFT_OUT,
    SIGHT,
    PICTURE,
    SPEC,
    OUTCOME,
    # events
    events.RunQueued(position=3, eta_ms=900, degraded=("deferred", "shortened")),
    STARTED,
    DELTA,
    events.MessageSnapshot(text="Grüße"),
    events.RunRecovered(gap_ms=420),
    events.RunCompleted(finish_reason="stop", usage=USAGE, message_id="msg_2"),
    events.RunCancelled(usage=USAGE, message_id="msg_2"),
    events.RunFailed(error=PROBLEM, message_id="msg_2"),
    events.NumberedEvent(seq=4, event=DELTA),
    # log
    log.Claim(
        writer="gpu_1",
        attempt=1048577,
        first=40,
        at_ms=1_700_000_000_000,
        claim_id="9f8e7d6c5b4a3921",
    ),
    log.LogEntry(
        epoch=41,
        seq=4,
        events=(STARTED, DELTA),
        tokens=(5, 6),
        offset=2,
        at_ms=1_700_000_000_000,
        end=OUTCOME,
        logprobs=(runs.TokenLogprob(-0.5, ((5, -0.5), (7, -2.25))), runs.TokenLogprob(-1.0)),
    ),
    log.LogSnapshot(
        seq=5,
        stream_seq=43,
        text="Grüße",
        tokens=(5, 6),
        marks=((1, 42), (4, 43)),
        started=STARTED,
        started_seq=1,
        at_ms=1_700_000_000_000,
    ),
    # session
    session.SubmitPrompt(
        run_id="run_1",
        chat_id="chat_1",
        user_id="user_1",
        prompt_id="msg_1",
        answer_id="msg_2",
        content="What is a pot made of?",
        sampling=SAMPLING,
        submitted_at_ms=1_700_000_000_000,
        expires_at_ms=1_700_000_010_000,
        tier="paid",
        model="parley-small",
        idempotency_key="key",
        body_hash="ab12",
        reply_to="_INBOX.x",
        parent_id="msg_0",
        regenerate=True,
        attachments=(ATTACHMENT,),
        user_prompt="Be brief.",
        deferrable=True,
        degraded=("downgraded",),
        sight=SIGHT,
    ),
    session.CancelRun(run_id="run_1", chat_id="chat_1", user_id="user_1", reply_to="_INBOX.x"),
    session.RunFinished(
        run_id="run_1",
        chat_id="chat_1",
        epoch=41,
        next_seq=6,
        text="Clay.",
        outcome=OUTCOME,
        model="parley-small",
        message_id="msg_2",
        worker="gpu_1",
        moved=True,
    ),
    session.PromptAccepted(run_id="run_1", prompt_id="msg_1", answer_id="msg_2", replayed=True),
    session.PromptRejected(problem=PROBLEM),
    session.CancelReply(status="ended", state="cancelled"),
    # scheduling
    scheduling.StartRun(spec=SPEC, attempt=1048577, expect_epoch=0, degraded=("shortened",)),
    scheduling.AbortRun(run_id="run_1", attempt=1048577),
    scheduling.DropRun(run_id="run_1", attempt=1048577),
    scheduling.ResendPrefixes(),
    scheduling.Drain(),
    RUNNING,
    scheduling.WorkerReport(
        worker="gpu_1",
        pool="default",
        model="parley-small",
        incarnation=1_700_000_000_001,
        number=17,
        state="ready",
        slots=32,
        context_length=2_048,
        engine="vllm",
        pid=4242,
        host="node-1",
        runs=(RUNNING,),
        seen=1048577,
        waiting=1,
        kv_used=0.25,
        prefill_tokens_s=9_000.5,
        decode_tokens_s=4_000.5,
        kv_tokens=65_536,
        pending_prefill=512,
        prefixes=3,
        sight=SIGHT,
    ),
    scheduling.PrefixChanged(
        worker="gpu_1",
        incarnation=1_700_000_000_001,
        number=3,
        stored=("0123456789abcdef",),
        removed=("fedcba9876543210",),
        cleared=True,
    ),
    scheduling.RunRejected(run_id="run_1", attempt=1048577, worker="gpu_1", reason="full"),
    scheduling.RunBegan(run_id="run_1", attempt=1048577, worker="gpu_1", cached_tokens=64),
    scheduling.RunSettled(run_id="run_1", attempt=1048577, worker="gpu_1", outcome=OUTCOME),
    scheduling.WorkerGone(worker="gpu_1", incarnation=1_700_000_000_001, reason="exit 9"),
    scheduling.CancelQueued(run_id="run_1"),
    scheduling.DescribeRun(run_id="run_1"),
    scheduling.DescribePool(limit=5),
    scheduling.WatchRuns(run_ids=("run_1", "run_2")),
    scheduling.CancelTaken(known=True, state="queued"),
    scheduling.AskAllowance(
        user_id="user_1",
        tier="paid",
        wanted=True,
        prompt_tokens=70,
        output_tokens=256,
        deferrable=True,
    ),
    BUDGET_VIEW,
    scheduling.Allowance(
        tier="free",
        concurrency=2,
        running=1,
        waiting=3,
        budget=BUDGET_VIEW,
        problem=PROBLEM,
        wait_ms=1_500,
    ),
    RUN_VIEW,
    WORKER_VIEW,
    scheduling.RunList(
        runs=(RUN_VIEW,),
        workers=(WORKER_VIEW,),
        queued=1,
        running=2,
        level="capped",
        why="the best tier waited 1.1 s",
        waits_ms={"paid": 1_100},
    ),
    scheduling.PoolStatus(
        pool="default",
        model="parley-small",
        healthy=True,
        admit={"paid": True, "free": False},
        retry_after_ms=800,
        queued=12,
        running=32,
        slots=32,
        context_length=2_048,
        engine="sim",
        at_ms=1_700_000_000_000,
        epoch=12,
        level="downgraded",
        why="the best tier waits 1.7 s",
        downgrade=("free",),
        ask=("free",),
        waits_ms={"paid": 1_700, "free": 20_000},
        sight=SIGHT,
    ),
    scheduling.ActorInfo(
        role="gpu",
        id="gpu_1",
        pid=4242,
        host="node-1",
        state="ready",
        epoch=12,
        running=2,
        waiting=1,
        kv_used=0.5,
    ),
    accounts.IdentityChanged(user_id="user_1", session_id="login_1", key_hash="ab12"),
    accounts.LoginTried(edge="ab12", account="cd34", address="ef56", right=True),
    # records
    records.User(
        user_id="user_1",
        created_at_ms=1_700_000_000_000,
        tier="paid",
        email="ada@example.org",
        password_hash="$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA",
        sessions_from_ms=1_700_000_000_500,
        settings=SETTINGS,
    ),
    SETTINGS,
    ATTACHMENT,
    records.ApiKey(
        key_id="key_1",
        user_id="user_1",
        name="laptop",
        secret_hash="ab12",
        created_at_ms=1_700_000_000_000,
        last_used_at_ms=1_700_000_000_900,
        scope="chat models:read",
    ),
    CHAT,
    MESSAGE,
    records.MessageNode(
        message_id="msg_2",
        position=1,
        role="assistant",
        created_at_ms=1_700_000_000_000,
        status="cancelled",
        parent_id="msg_1",
        model="parley-small",
    ),
    RUN_RECORD,
    SUMMARY,
    SHARED_MESSAGE,
    records.Share(
        share_id="share_1",
        chat_id="chat_1",
        user_id="user_1",
        created_at_ms=1_700_000_000_000,
        title="Pots",
        model="parley-small",
        messages=(SHARED_MESSAGE,),
    ),
    records.Upload(
        file_id="file_1",
        user_id="user_1",
        created_at_ms=1_700_000_000_000,
        name="pots.py",
        media_type="text/x-python",
        kind="code",
        size_bytes=12,
        text_chars=13,
    ),
    records.SessionRecord(
        chat=CHAT,
        messages=(MESSAGE,),
        active_run=RUN_RECORD,
        recent_runs=(RUN_RECORD,),
        summary=SUMMARY,
    ),
    # memory
    memory.FoldWanted(
        fold_id="run_1-fold",
        chat_id="chat_1",
        user_id="user_1",
        message_ids=("msg_3", "msg_4"),
        first_position=2,
        position=3,
        tokens_max=300,
        wanted_at_ms=1_700_000_000_000,
        replaces=1,
        based_on="msg_2",
    ),
    memory.TitleWanted(
        title_id="run_1-title",
        chat_id="chat_1",
        user_id="user_1",
        prompt_id="msg_1",
        answer_id="msg_2",
        instead_of="please tell me",
        wanted_at_ms=1_700_000_000_000,
    ),
    # embeddings
    embeddings.EmbedInputs(inputs=("tea", (1, 2)), within_ms=50, truncate=True),
    embeddings.Embedded(model="tiny", vectors=(b"\x00\x00\x80?",), tokens=3),
    embeddings.EmbedRefused(problem=PROBLEM),
    # responses
    RESPONSE,
    responses.SubmitResponse(
        record=RESPONSE, spec=SPEC, expires_at_ms=1_700_000_009_500, reply_to="_INBOX.1"
    ),
)


def structs(module: ModuleType) -> list[type[msgspec.Struct]]:
    """Return the wire structs that a module defines, in its order."""
    return [
        kind
        for kind in vars(module).values()
        if inspect.isclass(kind)
        and issubclass(kind, Wire | Tagged)
        and kind.__module__ == module.__name__
    ]


def optional_fields(kind: type[msgspec.Struct]) -> list[msgspec.structs.FieldInfo]:
    """Return the fields that an older form may lack."""
    return [field for field in msgspec.structs.fields(kind) if not field.required]


def bare(example: S) -> S:
    """Return the example with its required fields alone, as the oldest program sent it."""
    required = (f.name for f in msgspec.structs.fields(example) if f.required)
    return type(example)(**{name: getattr(example, name) for name in required})


def golden_forms() -> Iterator[tuple[Path, str, msgspec.Struct]]:
    """Yield each golden file, the key in it, and the struct whose form stands there."""
    for example in EXAMPLES:
        kind = type(example)
        path = GOLDEN / f"{kind.__module__.rpartition('.')[2]}.json"
        yield path, kind.__name__, example
        if optional_fields(kind):
            yield path, f"{kind.__name__}, bare", bare(example)


def load(path: Path) -> dict[str, Any]:
    """Return a golden file's forms by key."""
    forms: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return forms


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for path, key, struct in golden_forms():
        forms = load(path)
        if key not in forms:
            forms[key] = json.loads(encode(struct))
            path.write_text(json.dumps(forms, indent=1, ensure_ascii=False) + "\n", "utf-8")

"""The streams of the system, as every role declares and expects them."""

from contracts.ports.bus import Bus, StreamSpec
from contracts.subjects import (
    FOLD_STREAM,
    JOURNAL_STREAM,
    LEASE_BUCKET,
    RUNS_STREAM,
    SESSION_STREAM,
    TOKEN_PARTITIONS,
    token_stream,
)

MEBIBYTE = 1 << 20

LOG_MAX_AGE_S = 15 * 60.0
LOG_MAX_BYTES = 64 * MEBIBYTE
"""Of each of the token streams: 1 GiB of the server's memory, or disk, in all."""

JOURNAL_MAX_AGE_S = 24 * 3600.0
JOURNAL_MAX_BYTES = 128 * MEBIBYTE
"""A scheduler writes all it has anew every few seconds: what is older is never read."""

QUEUE_MAX_BYTES = 1024 * MEBIBYTE
QUEUE_MAX_MESSAGES = 1_000_000

FOLD_MAX_AGE_S = 60 * 60.0
"""A fold that waited longer is asked for again by its chat's next turn."""


def stream_specs(replicas: int = 1) -> tuple[StreamSpec, ...]:
    """Return all stream declarations; `replicas` is 1 on one node, 3 in a cluster.

    The token log lives in the memory of a cluster, whose quorum keeps it. On one node it is a
    file: as quick (0.10 ms an append, 35,000/s at 50 at once, both ways), and a server that
    was killed comes back with every entry that a reader has seen.
    """
    logs = tuple(
        StreamSpec(
            name=token_stream(partition),
            subjects=tuple(f"tok.{partition}.*.{kind}" for kind in ("claim", "d", "snap")),
            description="Token logs of runs: claims, entries, snapshots",
            storage="memory" if replicas > 1 else "file",
            replicas=replicas,
            max_age_s=LOG_MAX_AGE_S,
            max_bytes=LOG_MAX_BYTES,
            republish=(f"tok.{partition}.*.d", "live.{{wildcard(1)}}"),
            duplicate_window_s=1.0,
            metadata={"parley": "token-log", "partition": str(partition)},
        )
        for partition in range(TOKEN_PARTITIONS)
    )
    return (
        *logs,
        StreamSpec(
            name=RUNS_STREAM,
            subjects=("run.q.*.*",),
            description="Runs that are queued or running; deleted when settled",
            retention="work",
            replicas=replicas,
            max_bytes=QUEUE_MAX_BYTES,
            max_msgs=QUEUE_MAX_MESSAGES,
            discard_new=True,
            duplicate_window_s=120.0,
            metadata={"parley": "run-queue"},
        ),
        StreamSpec(
            name=SESSION_STREAM,
            subjects=("sess.*.*",),
            description="Commands to session actors; deleted when done",
            retention="work",
            replicas=replicas,
            max_bytes=QUEUE_MAX_BYTES,
            max_msgs=QUEUE_MAX_MESSAGES,
            discard_new=True,
            duplicate_window_s=120.0,
            metadata={"parley": "session-commands"},
        ),
        StreamSpec(
            name=FOLD_STREAM,
            subjects=("fold.*.*",),
            description="Turns to be folded into summaries; deleted when done, the oldest dropped",
            retention="work",
            replicas=replicas,
            max_age_s=FOLD_MAX_AGE_S,
            max_bytes=64 * MEBIBYTE,
            duplicate_window_s=120.0,
            metadata={"parley": "folds"},
        ),
        StreamSpec(
            name=JOURNAL_STREAM,
            subjects=("journal.*",),
            description="Tags, charges and budgets of the schedulers; the last minute counts",
            replicas=replicas,
            max_age_s=JOURNAL_MAX_AGE_S,
            max_bytes=JOURNAL_MAX_BYTES,
            metadata={"parley": "scheduler-journal"},
        ),
        StreamSpec(
            name=f"KV_{LEASE_BUCKET}",
            subjects=(f"$KV.{LEASE_BUCKET}.>",),
            description="Leases: who owns a partition or a pool, with a time to live",
            replicas=replicas,
            discard_new=True,
            metadata={"parley": "leases"},
        ),
    )


async def declare_streams(bus: Bus, replicas: int = 1) -> None:
    """Create or update every stream; may run twice, and concurrently.

    Raises BusUnavailable while JetStream has no leader: the caller tries again.
    """
    for spec in stream_specs(replicas):
        await bus.declare(spec)

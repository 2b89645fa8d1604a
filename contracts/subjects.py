"""Subject, stream and bucket names: sentences that an operator can read and type.

Every name of the system is made here, so a permission or a stream declaration can be
checked against this one file.
"""

from contracts.ids import partition_of

TOKEN_PARTITIONS = 16
SESSION_PARTITIONS = 16

RUNS_STREAM = "RUNS"
SESSION_STREAM = "SESS"
JOURNAL_STREAM = "SCHED"
FOLD_STREAM = "FOLD"
LEASE_BUCKET = "LEASE"


# --- the token log ---------------------------------------------------------------------------


def token_partition(run_id: str) -> int:
    """Return the partition of a run's log, FNV-1a-32 of its id."""
    return partition_of(run_id, TOKEN_PARTITIONS)


def token_stream(partition: int) -> str:
    """Return the name of the stream that holds a partition of the token log."""
    return f"TOK_{partition}"


def token_sibling(partition: int) -> int:
    """Return the partition in which a log goes on that its own stream does not take just now
    (ADR 0028). Of two partitions each is the other's."""
    return (partition + TOKEN_PARTITIONS // 2) % TOKEN_PARTITIONS


def token_claims(run_id: str, partition: int | None = None) -> str:
    """Return the subject of a run's claims; `partition`: another one than its own."""
    return f"tok.{_partition(run_id, partition)}.{run_id}.claim"


def token_entries(run_id: str, partition: int | None = None) -> str:
    """Return the subject of a run's entries; committed ones reappear on `live`."""
    return f"tok.{_partition(run_id, partition)}.{run_id}.d"


def token_snapshots(run_id: str) -> str:
    """Return the subject of a run's snapshots."""
    return f"tok.{token_partition(run_id)}.{run_id}.snap"


def _partition(run_id: str, partition: int | None) -> int:
    return token_partition(run_id) if partition is None else partition


def live(run_id: str) -> str:
    """Return the subject on which committed entries of a run are republished."""
    return f"live.{run_id}"


# --- sessions --------------------------------------------------------------------------------


def session_partition(chat_id: str) -> int:
    """Return the partition whose owner runs the session actor of a chat."""
    return partition_of(chat_id, SESSION_PARTITIONS)


def session_commands(chat_id: str) -> str:
    """Return the durable subject of a chat's commands."""
    return f"sess.{session_partition(chat_id)}.{chat_id}"


def session_partition_filter(partition: int) -> str:
    """Return the filter of all commands of a session partition."""
    return f"sess.{partition}.*"


def session_durable(partition: int) -> str:
    """Return the name of a session partition's durable consumer."""
    return f"session-{partition}"


# --- summarizers -----------------------------------------------------------------------------


def fold_wishes(chat_id: str) -> str:
    """Return the durable subject on which a chat's folds are asked for."""
    return f"fold.{session_partition(chat_id)}.{chat_id}"


def fold_partition_filter(partition: int) -> str:
    """Return the filter of all folds of a session partition."""
    return f"fold.{partition}.*"


def summarizer_durable(partition: int) -> str:
    """Return the name of the durable consumer of a partition's folds."""
    return f"summarizer-{partition}"


# --- runs and workers ------------------------------------------------------------------------


def run_queue(pool: str, run_id: str) -> str:
    """Return the durable subject on which a run is submitted to its pool."""
    return f"run.q.{pool}.{run_id}"


def run_queue_filter(pool: str) -> str:
    """Return the filter of all submissions to a pool."""
    return f"run.q.{pool}.*"


def scheduler_durable(pool: str) -> str:
    """Return the name of the durable consumer of a pool's scheduler."""
    return f"scheduler-{pool}"


def scheduler_requests(pool: str) -> str:
    """Return the subject on which a pool's active scheduler answers requests."""
    return f"sched.{pool}.request"


def scheduler_workers(pool: str) -> str:
    """Return the subject on which workers report to a pool's scheduler."""
    return f"sched.{pool}.worker"


def scheduler_journal(pool: str) -> str:
    """Return the subject on which a pool's scheduler keeps what must outlive it."""
    return f"journal.{pool}"


def pool_status(pool: str) -> str:
    """Return the subject of a pool's status broadcast."""
    return f"sched.{pool}.status"


POOL_STATUS_FILTER = "sched.*.status"


def worker_commands(worker: str) -> str:
    """Return the subject of the commands meant for one gpu actor."""
    return f"gpu.{worker}.cmd"


def embed_requests(pool: str) -> str:
    """Return the subject on which the embedding workers of a pool answer, one of them each."""
    return f"embed.{pool}"


# --- edges ---------------------------------------------------------------------------------

EDGE_NEWS = "edge.news"
"""On which edges tell each other what they must no longer remember."""

EDGE_TRIES = "edge.tries"
"""On which edges tell each other of log-ins, to count them together."""


# --- leases ----------------------------------------------------------------------------------


def scheduler_lease(pool: str) -> str:
    """Return the key of the lease of a pool's active scheduler."""
    return f"scheduler.{pool}"


def session_lease(partition: int) -> str:
    """Return the key of the lease of a session partition."""
    return f"session.{partition}"


def session_host(host_id: str) -> str:
    """Return the key by which a session host says that it lives."""
    return f"session-host.{host_id}"


def summarizer_lease(partition: int) -> str:
    """Return the key of the lease of a partition's folds."""
    return f"summarizer.{partition}"


def summarizer_host(host_id: str) -> str:
    """Return the key by which a summarizer says that it lives."""
    return f"summarizer-host.{host_id}"


EDGES_ANNOUNCED = "actor.edge.*"


def actor_announcement(role: str, actor_id: str) -> str:
    """Return the subject on which an actor announces itself for `parley ps`."""
    return f"actor.{role}.{actor_id}"

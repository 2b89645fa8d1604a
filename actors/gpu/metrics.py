"""What a gpu actor counts."""

from prometheus_client import Counter, Gauge

RUNNING = Gauge("parley_gpu_runs_running", "Runs on this worker", ["worker"])
COMMITTED = Counter("parley_gpu_tokens_committed", "Output tokens committed to logs", ["worker"])
ENTRIES = Counter("parley_gpu_entries_committed", "Log entries committed", ["worker"])
SETTLED = Counter("parley_gpu_runs_settled", "Runs settled, by finish reason", ["worker", "reason"])
REJECTED = Counter("parley_gpu_runs_rejected", "Commands rejected", ["worker"])
RETRIED = Counter("parley_gpu_bus_retried", "Effects offered to the bus again", ["worker"])
BAD_COMMANDS = Counter("parley_gpu_commands_bad", "Commands that did not decode", ["worker"])
COMMANDS_DROPPED = Counter(
    "parley_gpu_commands_dropped", "Commands dropped: mailbox full", ["worker"]
)
EMBEDDED = Counter("parley_embedding_inputs", "Texts made into vectors", ["worker"])
EMBED_REFUSED = Counter(
    "parley_embedding_refused", "Requests for vectors refused, by code", ["worker", "code"]
)
EMBED_LATE = Counter(
    "parley_embedding_late", "Requests for vectors dropped: nobody waits any more", ["worker"]
)

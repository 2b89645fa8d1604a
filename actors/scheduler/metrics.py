"""What operators see of a scheduler."""

from prometheus_client import Counter, Gauge

QUEUED = Gauge("parley_scheduler_queued", "Runs that wait", ["pool"])
RUNNING = Gauge("parley_scheduler_running", "Runs on workers or ending", ["pool"])
ACTIVE = Gauge("parley_scheduler_active", "1 while this process schedules the pool", ["pool"])
DISPATCHED = Counter("parley_scheduler_dispatched_total", "Runs given to a worker", ["pool"])
SETTLED = Counter("parley_scheduler_settled_total", "Runs settled", ["pool"])
ENDED = Counter("parley_scheduler_ended_total", "Runs ended by the scheduler", ["pool", "reason"])
LEVEL = Gauge(
    "parley_scheduler_level",
    "How far service is degraded: 0 normal, 1 capped, 2 downgraded, 3 deferred, 4 shed",
    ["pool"],
)
WAIT_S = Gauge("parley_scheduler_wait_seconds", "What a newcomer would wait", ["pool", "tier"])

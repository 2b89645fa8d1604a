"""What a gpu actor is told at its start."""

from contracts.base import Wire


class GpuConfig(Wire):
    """Parsed once, by the composition root.

    `worker` is the actor's id, a legal subject token. `slots` is the most runs it takes at
    once (0: as many as the engine decodes at once). `report_ms` is the time between reports,
    `snapshot_ms` between snapshots of a run's log. `drain_ms` bounds how long a drain waits
    for running answers before it hands them back. `retry_ms` is the wait before what the bus
    could not take is offered again. `commands_max` bounds the mailbox of commands. Two
    entries of a run are at least `entry_ms` apart, a millisecond more for each running run,
    up to `entry_max_ms` (ADR 0010); the first and the last entry never wait.
    """

    worker: str
    pool: str
    model: str
    slots: int = 0
    report_ms: int = 100
    snapshot_ms: int = 2000
    drain_ms: int = 30_000
    retry_ms: int = 100
    commands_max: int = 4096
    entry_ms: int = 10
    entry_max_ms: int = 100
    host: str = ""
    pid: int = 0

"""The ground that actors stand on.

Owns: time (`clock`), the bus on NATS (`nats_bus`) and in memory (`memory_bus`), the token log
(`token_log`), mailboxes, the host that starts, stops and restarts actors (`host`), leases and
partition ownership, and how actors announce themselves (`presence`).
Imports `contracts` only; knows no actor.

Invariants: every buffer has a limit and says what happens there; every task belongs to an
object that ends it; deciding parts (`lease_machine`, `partition_machine`, `chain`) do no I/O.
"""

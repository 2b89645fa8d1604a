"""What the runtime counts."""

from prometheus_client import Counter, Gauge

bus_connected = Gauge("parley_bus_connected", "1 while the bus connection stands", ["name"])
bus_reconnects = Counter("parley_bus_reconnects", "Connections made again", ["name"])
bus_errors = Counter("parley_bus_errors", "Errors that the bus connection reported", ["name"])
bus_appends = Counter("parley_bus_appends", "Appends to streams", ["result"])
bus_unsent = Counter("parley_bus_unsent", "Messages refused: disconnected or buffer full")
consumer_repairs = Counter("parley_consumer_repairs", "Consumers reset after a gap", ["durable"])
log_gaps = Counter("parley_log_gaps", "Gaps in a run's chain that a reader filled by reading")
log_settled = Counter("parley_log_settled", "Appends with a lost answer, settled", ["result"])
mailbox_depth = Gauge("parley_mailbox_depth", "Items that wait in a mailbox", ["mailbox"])
mailbox_refused = Counter("parley_mailbox_refused", "Items refused or dropped", ["mailbox"])
actor_restarts = Counter("parley_actor_restarts", "Actors restarted after a crash", ["actor"])
leases_held = Gauge("parley_leases_held", "Leases held by this process", ["kind"])

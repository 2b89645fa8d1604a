"""What operators see of session actors."""

from prometheus_client import Counter, Gauge

ACTIVE = Gauge("parley_session_active", "Chats activated on this host")
ACTIVATIONS = Counter("parley_session_activations_total", "Chats rebuilt from history")
PASSIVATIONS = Counter("parley_session_passivations_total", "Idle chats forgotten")
COMMANDS = Counter("parley_session_commands_total", "Commands received", ["kind"])
BROKEN = Counter("parley_session_broken_total", "Chats set aside by a broken invariant")
REFUSED_FULL = Counter("parley_session_mailbox_full_total", "Commands that met a full mailbox")

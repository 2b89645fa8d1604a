"""What operators see of session actors."""

from prometheus_client import Counter, Gauge

from contracts.runs import LeftOut

ACTIVE = Gauge("parley_session_active", "Chats activated on this host")
ACTIVATIONS = Counter("parley_session_activations_total", "Chats rebuilt from history")
PASSIVATIONS = Counter("parley_session_passivations_total", "Idle chats forgotten")
COMMANDS = Counter("parley_session_commands_total", "Commands received", ["kind"])
BROKEN = Counter("parley_session_broken_total", "Chats set aside by a broken invariant")
REFUSED_FULL = Counter("parley_session_mailbox_full_total", "Commands that met a full mailbox")
FOLDS_WANTED = Counter("parley_session_folds_wanted_total", "Folds asked of the summarizers")
TITLES_WANTED = Counter("parley_session_titles_wanted_total", "Titles asked of the summarizers")
QUERIES_EMBEDDED = Counter(
    "parley_session_queries_embedded_total", "Messages whose vector was wanted, by outcome", ["how"]
)
TURNS_EMBEDDED = Counter("parley_session_turns_embedded_total", "Older turns made into vectors")
LEFT_OUT = Counter(
    "parley_session_left_out_total", "What prompts did not hold of their conversation", ["what"]
)


def count_left_out(left_out: LeftOut | None) -> None:
    """Count what one prompt left out."""
    if left_out is None:
        return
    LEFT_OUT.labels("exchanges").inc(left_out.exchanges)
    LEFT_OUT.labels("attachments").inc(left_out.attachments)
    LEFT_OUT.labels("summary").inc(left_out.summary)
    LEFT_OUT.labels("passages").inc(left_out.passages)

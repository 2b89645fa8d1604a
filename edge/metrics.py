"""What an edge counts for Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("parley_edge_requests", "Requests answered", ("method", "route", "status"))
OPEN_STREAMS = Gauge("parley_edge_open_streams", "Event streams open now", ("kind",))
STREAMS_ENDED = Counter("parley_edge_streams_ended", "Event streams ended", ("kind", "why"))
EVENTS_SENT = Counter("parley_edge_events_sent", "Events written to event streams", ("kind",))
FIRST_TOKEN_S = Histogram(
    "parley_edge_first_token_seconds",
    "From the request's arrival to its first text, as this edge wrote it",
    ("kind",),
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30, 60),
)
PROMPTS = Counter("parley_edge_prompts", "Prompts by outcome", ("kind", "outcome"))
EMBEDDINGS = Counter("parley_edge_embeddings", "Inputs of /v1/embeddings answered")
BAD_MESSAGES = Counter("parley_edge_bad_messages", "Messages that did not decode", ("subject",))

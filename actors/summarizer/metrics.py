"""What operators see of summarizers."""

from prometheus_client import Counter, Gauge

FOLDS = Counter("parley_summarizer_folds_total", "Folds by how they finished", ["how"])
TITLES = Counter("parley_summarizer_titles_total", "Titles by how they finished", ["how"])
RUNS = Counter("parley_summarizer_runs_total", "Runs asked of the cheap model")
STORED = Counter("parley_summarizer_stored_total", "Summaries written to history")
ACTIVE = Gauge("parley_summarizer_active", "Folds at work on this host")

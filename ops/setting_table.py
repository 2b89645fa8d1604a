"""The table of settings: the command line makes its flags from it, and `settings` reads by it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ops import setting_values as values

DEFAULT_POOL = "default"
DEFAULT_MODEL = "parley-small"
SYSTEM_PROMPT = "You are Parley, a helpful assistant. Answer clearly and briefly."

Role = Literal["up", "edge", "session", "scheduler", "gpu", "summarizer", "look"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    `parse` takes what a flag, the environment or the file gave and raises ValueError with the
    words after "must be". `plural` is the name in `Settings` where it is not the key.
    `roles` are the commands that have the flag.
    """

    key: str
    parse: Callable[[object], object]
    default: object
    help: str
    roles: frozenset[Role]
    many: bool = False
    plural: str = ""
    metavar: str = "TEXT"

    @property
    def field(self) -> str:
        """The name in `Settings`."""
        return self.plural or self.key

    @property
    def flag(self) -> str:
        """The option of the command line."""
        return "--" + self.key.replace("_", "-")

    @property
    def environment(self) -> str:
        """The name of the environment variable."""
        return "PARLEY_" + self.key.upper()


def _roles(*names: Role) -> frozenset[Role]:
    return frozenset(names)


EVERY: frozenset[Role] = _roles("up", "edge", "session", "scheduler", "gpu", "summarizer", "look")
_HOSTS: frozenset[Role] = EVERY - {"look"}

SETTINGS: tuple[Setting, ...] = (
    Setting("home", values.directory, ".parley", "Directory of all state.", EVERY, metavar="DIR"),
    Setting(
        "nats",
        values.optional(values.nats_servers, ""),
        "",
        "Use this NATS server (nats://user:password@host:port, several with commas) "
        "instead of the embedded one.",
        EVERY,
        metavar="URL",
    ),
    Setting(
        "log_level",
        values.one_of("debug", "info", "warning", "error"),
        "info",
        "Lowest level that is logged: debug, info, warning or error.",
        _HOSTS,
        metavar="LEVEL",
    ),
    Setting(
        "host",
        values.text,
        "127.0.0.1",
        "Address on which the edge listens.",
        _roles("up", "edge"),
        metavar="ADDRESS",
    ),
    Setting(
        "port",
        values.integer(1, 65_535),
        8000,
        "Port of the edge (web chat and API).",
        _roles("up", "edge", "look"),
        metavar="PORT",
    ),
    Setting(
        "gpus",
        values.integer(0, 64),
        0,
        "Number of gpu actors, dealt out to the pools in turn; each pool gets at least one. "
        "0: one for each NVIDIA card, two without a card so that one can die.",
        _roles("up"),
        metavar="N",
    ),
    Setting(
        "standby",
        values.yes_or_no,
        "yes",
        "Whether a second session host and a second scheduler run, which go on at once where "
        "the first dies or hangs: yes or no.",
        _roles("up"),
        metavar="YES|NO",
    ),
    Setting(
        "engine",
        values.one_of("vllm", "sim"),
        "vllm",
        "vllm, or sim for a simulated engine (made-up words; scale and chaos tests only).",
        _roles("up", "gpu"),
        metavar="KIND",
    ),
    Setting(
        "model",
        values.models(DEFAULT_POOL),
        f"{DEFAULT_POOL}={DEFAULT_MODEL}",
        "Model of a pool: a directory, a shipped name or a cached Hugging Face name. Repeatable.",
        _HOSTS,
        many=True,
        plural="models",
        metavar="[POOL=]NAME_OR_PATH",
    ),
    Setting(
        "engine_arg",
        values.arguments,
        "",
        "An engine argument of vLLM (or of the simulated engine). Repeatable.",
        _roles("up", "gpu"),
        many=True,
        plural="engine_args",
        metavar="NAME=VALUE",
    ),
    Setting(
        "history",
        values.optional(values.history, ""),
        "",
        "sqlite:PATH or cql://host[:port],…/keyspace; default: history.db in the home.",
        EVERY - {"scheduler", "gpu"},
        metavar="URL",
    ),
    Setting(
        "system_prompt",
        values.text,
        SYSTEM_PROMPT,
        "What stands in front of every conversation.",
        _roles("up", "session"),
    ),
    Setting(
        "max_output_tokens",
        values.integer(1, 1_000_000),
        1024,
        "Longest answer where the client names none.",
        _roles("up", "session", "edge"),
        metavar="TOKENS",
    ),
    Setting(
        "context_tokens",
        values.integer(0, 10_000_000),
        0,
        "Window that sessions fill, prompt and answer together; 0: the model's own.",
        _roles("up", "session", "edge", "gpu", "summarizer"),
        metavar="TOKENS",
    ),
    Setting(
        "memory",
        values.one_of("both", "summary", "retrieval", "verbatim"),
        "both",
        "What a chat keeps of turns that the window no longer holds: a running summary, "
        "retrieval of the turns that a message refers to, both, or nothing (verbatim).",
        _roles("up", "session"),
        metavar="KIND",
    ),
    Setting(
        "embedding_model",
        values.optional(values.text, ""),
        "",
        "Embedding model, named as for --model: a worker of its own makes vectors with it, by "
        "which sessions that retrieve (--memory) also look for older turns, and serves "
        "/v1/embeddings; default: none.",
        _roles("up", "edge", "session", "gpu"),
        metavar="NAME_OR_PATH",
    ),
    Setting(
        "embedding_arg",
        values.arguments,
        "",
        "An engine argument of the embedding worker's vLLM (or simulated embedder). Repeatable.",
        _roles("up", "gpu"),
        many=True,
        plural="embedding_args",
        metavar="NAME=VALUE",
    ),
    Setting(
        "tier",
        values.arguments,
        (),
        "A key of a tier's table [tiers.NAME] of the settings file. Repeatable.",
        _roles("up", "scheduler"),
        many=True,
        plural="tier_items",
        metavar="NAME.KEY=VALUE",
    ),
    Setting(
        "queue_limit",
        values.integer(1, 10_000_000),
        1_000,
        "Runs that may wait in a pool before prompts are refused.",
        _roles("up", "scheduler"),
        metavar="RUNS",
    ),
    Setting(
        "affinity",
        values.yes_or_no,
        "yes",
        "Whether runs go where their prompt's beginning is cached: yes or no.",
        _roles("up", "scheduler"),
        metavar="YES|NO",
    ),
    Setting(
        "order",
        values.one_of("fair", "fcfs"),
        "fair",
        "Who is served next: fair (by what runs cost) or fcfs (first come, first served).",
        _roles("up", "scheduler"),
        metavar="ORDER",
    ),
    Setting(
        "allow_guests",
        values.yes_or_no,
        "yes",
        "Whether one may chat without an account: yes or no.",
        _roles("up", "edge"),
        metavar="YES|NO",
    ),
    Setting(
        "files",
        values.optional(values.files, ""),
        "",
        "Where uploads are kept: file:DIR or s3://BUCKET[/PREFIX] (endpoint and credentials from "
        "AWS_*); default: files in the home. Workers read pictures there.",
        _roles("up", "edge", "gpu"),
        metavar="URL",
    ),
    Setting(
        "pictures",
        values.integer(0, 64),
        4,
        "How many pictures a prompt may show to a model that sees; 0: none sees.",
        _roles("up", "gpu"),
        metavar="N",
    ),
    Setting(
        "token_keys",
        values.optional(values.file, None),
        "",
        "File of the keys that sign session tokens, the same for every edge; default: "
        "token-keys in the home, made at the first start.",
        _roles("up", "edge"),
        metavar="FILE",
    ),
    Setting(
        "drain_s",
        values.integer(0, 3_600),
        10,
        "Seconds that a gpu actor told to end gives its running answers, before it hands them "
        "back to the queue.",
        _roles("up", "gpu"),
        metavar="SECONDS",
    ),
    Setting(
        "nats_port",
        values.integer(1, 65_535),
        4222,
        "Port of the embedded NATS server; another is found where it is taken.",
        _roles("up"),
        metavar="PORT",
    ),
    Setting(
        "nats_replicas",
        values.integer(1, 5),
        1,
        "Copies of every stream: 3 on a cluster of three.",
        _HOSTS,
        metavar="N",
    ),
    Setting(
        "metrics_port",
        values.integer(0, 65_000),
        0,
        "Port of /metrics of this actor on 127.0.0.1; 0: none. `up` gives its actors free ones "
        "and lists them in prometheus.json in the home.",
        _roles("session", "scheduler", "gpu", "summarizer"),
        metavar="PORT",
    ),
)


def flags_of(role: Role) -> Sequence[Setting]:
    """Return the settings that the command of `role` offers as flags."""
    return [setting for setting in SETTINGS if role in setting.roles]

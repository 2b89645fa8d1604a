"""Settings: flag > environment (`PARLEY_*`) > `parley.toml` > default, parsed once.

One table (`SETTINGS`) names every setting; the command line makes its flags from it, and a
value that does not fit is named with its key and its source.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from contracts.errors import ParleyError
from contracts.runs import Tier
from ops import setting_values as values

FILE_NAME = "parley.toml"
DEFAULT_POOL = "default"
DEFAULT_MODEL = "parley-small"
SYSTEM_PROMPT = "You are Parley, a helpful assistant. Answer clearly and briefly."

EngineKind = Literal["vllm", "sim"]
Role = Literal["up", "edge", "session", "scheduler", "gpu", "summarizer", "look"]
MemoryKind = Literal["both", "summary", "retrieval", "verbatim"]


class BadSetting(ParleyError):
    """A setting that cannot be used; the message names its key, its source and what fits."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, checked. Sizes and times carry their unit in the name.

    `nats` empty means the server embedded in the stack at `home`. `models` are pairs of pool
    and model name or path, one a pool. `tier_waits_s` is the expected wait, in seconds, above
    which a tier's prompts are refused.
    """

    home: Path
    nats: str
    log_level: str
    host: str
    port: int
    gpus: int
    engine: EngineKind
    models: tuple[tuple[str, str], ...]
    engine_args: Mapping[str, object]
    history: str
    system_prompt: str
    max_output_tokens: int
    context_tokens: int
    memory: MemoryKind
    tier_weights: Mapping[Tier, int]
    tier_waits_s: Mapping[Tier, int]
    queue_limit: int
    affinity: bool
    allow_guests: bool
    files: str
    token_keys: Path | None
    drain_s: int
    nats_port: int
    nats_replicas: int
    metrics_port: int

    @property
    def pools(self) -> tuple[str, ...]:
        """The names of the model pools, in the order in which they were given."""
        return tuple(pool for pool, _ in self.models)


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
        "tier_weight",
        values.tiers(1, 1_000_000, paid=100, free=10, background=1),
        (),
        "Share of a tier when all wait (paid=100, free=10, background=1). Repeatable.",
        _roles("up", "scheduler"),
        many=True,
        plural="tier_weights",
        metavar="TIER=WEIGHT",
    ),
    Setting(
        "tier_wait_s",
        values.tiers(1, 86_400, paid=120, free=60, background=600),
        (),
        "Expected wait in seconds above which a tier's prompts are refused (paid=120, free=60, "
        "background=600). Repeatable.",
        _roles("up", "scheduler"),
        many=True,
        plural="tier_waits_s",
        metavar="TIER=SECONDS",
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
        "AWS_*); default: files in the home.",
        _roles("up", "edge"),
        metavar="URL",
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

_SECRET_KEYS = ("nats", "history")
_BY_KEY = {setting.key: setting for setting in SETTINGS}


def load(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    file: Mapping[str, object],
    file_name: str = FILE_NAME,
) -> Settings:
    """Return the settings that these sources make; a flag that is None or () was not given.

    Raises:
        BadSetting: a value does not fit, or the file has a key that is none of ours.
    """
    for key in file:
        if key.replace("-", "_") not in _BY_KEY:
            near = get_close_matches(key, _BY_KEY, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise BadSetting(f"{key} in {file_name} is not a setting{hint}.")
    in_file = {key.replace("-", "_"): value for key, value in file.items()}
    fields: dict[str, Any] = {}
    for setting in SETTINGS:
        raw, source = _pick(setting, flags, environ, in_file, file_name)
        try:
            fields[setting.field] = setting.parse(raw)
        except ValueError as error:
            shown = values.shown(raw)
            raise BadSetting(
                f"{setting.key} = {shown} ({source}) does not fit: it must be {error}."
            ) from error
    return Settings(**fields)


def read_file(path: Path, *, required: bool) -> Mapping[str, object]:
    """Return the settings file's content; nothing if it is not there and not required.

    Raises:
        BadSetting: it can't be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if required:
            raise BadSetting(f"There is no settings file {path}.") from error
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"The settings file {path} can't be read ({error}).") from error
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(f"The settings file {path} is not valid TOML: {error}.") from error


def as_flags(settings: Settings, role: Role) -> tuple[str, ...]:
    """Return the flags that give a child of `role` exactly these settings, less those that may
    hold a password: they go by `as_environment`."""
    words: list[str] = []
    for setting in SETTINGS:
        if role not in setting.roles or setting.key in _SECRET_KEYS:
            continue
        value = getattr(settings, setting.field)
        for text in values.spelled(value):
            words += [setting.flag, text]
    return tuple(words)


def _pick(
    setting: Setting,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    file: Mapping[str, object],
    file_name: str,
) -> tuple[object, str]:
    given = flags.get(setting.key)
    if given is not None and given != ():
        return given, f"the flag {setting.flag}"
    if environ.get(setting.environment):
        return environ[setting.environment], f"the environment's {setting.environment}"
    if setting.key in file:
        return file[setting.key], file_name
    return setting.default, "the default"


def as_environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables of the settings that may hold a password, empty where
    a child is to find them in the home."""
    return {_BY_KEY[key].environment: getattr(settings, key) for key in _SECRET_KEYS}


def flags_of(role: Role) -> Sequence[Setting]:
    """Return the settings that the command of `role` offers as flags."""
    return [setting for setting in SETTINGS if role in setting.roles]


def history_url(settings: Settings) -> str:
    """Return where history lives: the one given, or SQLite in the home."""
    return settings.history or f"sqlite:{settings.home / 'history.db'}"


def files_url(settings: Settings) -> str:
    """Return where uploads are kept: the place given, or a folder in the home."""
    return settings.files or f"file:{settings.home / 'files'}"


def model_of(settings: Settings, pool: str) -> str:
    """Return the model name or path of a pool. Raises BadSetting if there is no such pool."""
    for name, model in settings.models:
        if name == pool:
            return model
    known = ", ".join(settings.pools)
    raise BadSetting(f"There is no pool {pool}; --model names {known}.")

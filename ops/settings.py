"""Settings: flag > environment (`PARLEY_*`) > `parley.toml` > default, parsed once.

`setting_table` names every setting, `tables` reads what the file says of tiers and pools. A
value that does not fit is named with its key and its source.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from actors.scheduler.config import TierConfig
from contracts.embeddings import EMBEDDING_POOL
from ops import setting_values as values
from ops import tables
from ops.setting_table import SETTINGS, Role, Setting
from ops.setting_values import BadSetting
from ops.tables import PoolSettings

FILE_NAME = "parley.toml"

EngineKind = Literal["vllm", "sim"]
MemoryKind = Literal["both", "summary", "retrieval", "verbatim"]


@dataclass(frozen=True, slots=True)
class Sources:
    """What settings were made from: the flags, the environment, and the file's path."""

    flags: Mapping[str, object]
    environ: Mapping[str, str]
    path: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, checked. Sizes and times carry their unit in the name.

    `nats` empty means the server embedded in the stack at `home`, `embedding_model` empty that
    nobody makes vectors. `models` are pairs of pool and model name or path, one a pool; `served`
    is what the file says of them, `tiers` what each tier has. `tier_items` are the keys of tiers
    that flag or environment gave, `sources` what all of this was made from.
    """

    home: Path
    nats: str
    log_level: str
    host: str
    port: int
    gpus: int
    standby: bool
    engine: EngineKind
    models: tuple[tuple[str, str], ...]
    engine_args: Mapping[str, object]
    history: str
    system_prompt: str
    max_output_tokens: int
    context_tokens: int
    pictures: int
    memory: MemoryKind
    embedding_model: str
    embedding_args: Mapping[str, object]
    tier_items: Mapping[str, object]
    tiers: Mapping[str, TierConfig]
    served: Mapping[str, PoolSettings]
    queue_limit: int
    affinity: bool
    order: Literal["fair", "fcfs"]
    allow_guests: bool
    files: str
    token_keys: Path | None
    drain_s: int
    nats_port: int
    nats_replicas: int
    metrics_port: int
    sources: Sources = field(compare=False, repr=False)

    @property
    def pools(self) -> tuple[str, ...]:
        """The names of the model pools, in the order in which they were given."""
        return tuple(pool for pool, _ in self.models)


_SECRET_KEYS = ("nats", "history")
_TABLES = ("tiers", "models")
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
    in_file = {key.replace("-", "_"): value for key, value in file.items()}
    _refuse_unknown(file, file_name)
    fields: dict[str, Any] = {}
    try:
        pools = tables.pools(tables.layer_of(file_name, in_file.pop("models", {}), "models"))
        named = {name: pool.model for name, pool in pools.items() if pool.model}
        if named:
            _refuse_two_lists(in_file, file_name)
            in_file["model"] = named
        layers = [tables.layer_of(file_name, in_file.pop("tiers", {}), "tiers")]
        for setting in SETTINGS:
            raw, source = _pick(setting, flags, environ, in_file, file_name)
            fields[setting.field] = _parsed(setting, raw, source)
            if setting.key == "embedding_model" and raw:
                _refuse_its_pool(fields["models"], raw, source)
        layers += _tier_layers(flags, environ)
        tiers = tables.tiers(layers)
        served = tables.check_pools(pools, [pool for pool, _ in fields["models"]], file_name)
        tables.check_budgets(tiers, served, file_name)
    except tables.Misfit as misfit:
        raise _bad(misfit.key, misfit.raw, misfit.source, misfit) from misfit
    sources = Sources(dict(flags), dict(environ), file_name)
    return Settings(**fields, tiers=tiers, served=served, sources=sources)


def reloaded(settings: Settings) -> Settings:
    """Return what the same flags and environment make with the file as it is now.

    Raises:
        BadSetting: as `load` and `read_file`.
    """
    sources = settings.sources
    file = read_file(Path(sources.path), required=True)
    return load(sources.flags, sources.environ, file, sources.path)


def _refuse_unknown(file: Mapping[str, object], file_name: str) -> None:
    known = {*_BY_KEY, *_TABLES} - {"tier"}
    for key in file:
        if key.replace("-", "_") not in known:
            near = get_close_matches(key, known, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise BadSetting(f"{key} in {file_name} is not a setting{hint}.")


def _refuse_two_lists(file: Mapping[str, object], file_name: str) -> None:
    if "model" in file:
        raise BadSetting(
            f"model and [models] in {file_name} both name models: keep the tables alone."
        )


def _refuse_its_pool(models: tuple[tuple[str, str], ...], raw: object, source: str) -> None:
    if any(pool == EMBEDDING_POOL for pool, _ in models):
        must = ValueError(f"left out, or the pool {EMBEDDING_POOL} of --model called otherwise")
        raise _bad("embedding_model", raw, source, must)


def _tier_layers(flags: Mapping[str, object], environ: Mapping[str, str]) -> list[tables.Layer]:
    setting = _BY_KEY["tier"]
    given = (
        (environ.get(setting.environment), f"the environment's {setting.environment}"),
        (flags.get(setting.key), f"the flag {setting.flag}"),
    )
    layers = []
    for raw, source in given:
        if raw:
            items = _parsed(setting, raw, source)
            assert isinstance(items, Mapping)
            layers.append(tables.layer_of_items(source, items))
    return layers


def _parsed(setting: Setting, raw: object, source: str) -> object:
    try:
        return setting.parse(raw)
    except ValueError as error:
        raise _bad(setting.key, raw, source, error) from error


def _bad(key: str, raw: object, source: str, must: Exception) -> BadSetting:
    shown = values.shown(raw)
    return BadSetting(f"{key} = {shown} ({source}) does not fit: it must be {must}.")


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


def history_url(settings: Settings) -> str:
    """Return where history lives: the one given, or SQLite in the home."""
    return settings.history or f"sqlite:{settings.home / 'history.db'}"


def files_url(settings: Settings) -> str:
    """Return where uploads are kept: the place given, or a folder in the home."""
    return settings.files or f"file:{settings.home / 'files'}"


def source_of(settings: Settings, key: str) -> str:
    """Return where the value of a setting that was given came from, in words."""
    setting, sources = _BY_KEY[key], settings.sources
    if sources.flags.get(key) not in (None, ()):
        return f"the flag {setting.flag}"
    if sources.environ.get(setting.environment):
        return f"the environment's {setting.environment}"
    return sources.path


def model_of(settings: Settings, pool: str) -> str:
    """Return the model name or path of a pool. Raises BadSetting if there is no such pool."""
    for name, model in settings.models:
        if name == pool:
            return model
    known = ", ".join(settings.pools)
    raise BadSetting(f"There is no pool {pool}; --model names {known}.")

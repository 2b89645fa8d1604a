"""How the values of settings are read: text from flags and environment, or TOML's own types.

Every parser raises ValueError with the words that follow "it must be".
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from contracts.errors import ParleyError

T = TypeVar("T")
U = TypeVar("U")

_POOL = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_SECRET = re.compile(r"//[^@/\s]*@")


class BadSetting(ParleyError):
    """A setting that cannot be used; the message names its key, its source and what fits."""


def text(raw: object) -> str:
    """Return any non-empty text."""
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError("a text that is not empty")
    return raw


def directory(raw: object) -> Path:
    """Return an absolute path that is not a file."""
    path = Path(text(raw)).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise ValueError("a directory, and there is a file of that name")
    return path


def file(raw: object) -> Path:
    """Return an absolute path that is not a directory."""
    path = Path(text(raw)).expanduser().absolute()
    if path.is_dir():
        raise ValueError("a file, and there is a directory of that name")
    return path


def optional(parse: Callable[[object], T], absent: U) -> Callable[[object], T | U]:
    """Return a parser that takes the empty text for `absent`, and leaves the rest to `parse`."""

    def parse_or_absent(raw: object) -> T | U:
        return absent if raw == "" else parse(raw)

    return parse_or_absent


def integer(low: int, high: int) -> Callable[[object], int]:
    """Return a parser of whole numbers from `low` to `high`."""

    def parse(raw: object) -> int:
        try:
            number = int(raw) if isinstance(raw, int | str) and not isinstance(raw, bool) else None
        except ValueError:
            number = None
        if number is None or not low <= number <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return number

    return parse


def one_of(*choices: str) -> Callable[[object], str]:
    """Return a parser that takes one of `choices`, in any case."""

    def parse(raw: object) -> str:
        if isinstance(raw, str) and raw.lower() in choices:
            return raw.lower()
        raise ValueError("one of " + ", ".join(choices))

    return parse


def yes_or_no(raw: object) -> bool:
    """Return a truth value from TOML's own or from yes, no, true, false, on, off, 1, 0."""
    if isinstance(raw, bool):
        return raw
    word = str(raw).lower()
    if word in ("yes", "true", "on", "1"):
        return True
    if word in ("no", "false", "off", "0"):
        return False
    raise ValueError("yes or no")


def nats_servers(raw: object) -> str:
    """Return the addresses of NATS servers."""
    for server in text(raw).split(","):
        parts = urlsplit(server.strip())
        try:
            usable = parts.scheme in ("nats", "tls") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("nats://[user:password@]host[:port], several with commas")
    return text(raw)


def history(raw: object) -> str:
    """Return the address of history."""
    url = text(raw)
    if url.startswith("sqlite:") and len(url) > len("sqlite:"):
        return url
    hosts, _, keyspace = url.removeprefix("cql://").partition("/")
    if url.startswith("cql://") and hosts and re.fullmatch(r"[a-z_][a-z0-9_]{0,47}", keyspace):
        return url
    raise ValueError("sqlite:PATH or cql://host[:port],…/keyspace")


def files(raw: object) -> str:
    """Return the address of a file store."""
    url = text(raw)
    if re.fullmatch(r"file:.+|s3://[^/]+(/.*)?", url):
        return url
    raise ValueError("file:DIR or s3://BUCKET[/PREFIX]")


def models(default_pool: str) -> Callable[[object], tuple[tuple[str, str], ...]]:
    """Return a parser of `[POOL=]NAME_OR_PATH`, one or several, one model a pool."""

    def parse(raw: object) -> tuple[tuple[str, str], ...]:
        pairs: dict[str, str] = {}
        for item in _items(raw):
            pool, separator, model = item.partition("=")
            if not separator:
                pool, model = default_pool, item
            if not _POOL.fullmatch(pool) or not model:
                raise ValueError("[POOL=]NAME_OR_PATH, the pool of small letters and digits")
            if pool in pairs:
                raise ValueError(f"one model a pool, and {pool} has two")
            pairs[pool] = model
        if not pairs:
            raise ValueError("at least one [POOL=]NAME_OR_PATH")
        return tuple(pairs.items())

    return parse


def arguments(raw: object) -> Mapping[str, object]:
    """Return NAME=VALUE pairs; a value is read as JSON where it is JSON, else as text."""
    if isinstance(raw, Mapping):
        return {str(name).replace("-", "_"): value for name, value in raw.items()}
    if isinstance(raw, str) and raw.lstrip().startswith("{"):
        try:
            return arguments(json.loads(raw))
        except ValueError as error:
            raise ValueError(f"a JSON object ({error})") from error
    result: dict[str, object] = {}
    for item in _items(raw):
        name, separator, value = item.partition("=")
        if not separator or not name:
            raise ValueError("NAME=VALUE")
        result[name.strip().replace("-", "_")] = _json_or_text(value)
    return result


def spelled(value: object) -> Sequence[str]:
    """Return the words that, given to a flag once each, make `value` again."""
    if isinstance(value, bool):
        return ("yes" if value else "no",)
    if isinstance(value, tuple):
        return tuple(f"{name}={item}" for name, item in value)
    if isinstance(value, Mapping):
        return tuple(f"{name}={_spelled_item(item)}" for name, item in value.items())
    return () if value is None or value == "" else (str(value),)


def shown(raw: object) -> str:
    """Return a value as it may stand in an error: short, and without passwords."""
    words = ", ".join(str(item) for item in raw) if isinstance(raw, list | tuple) else str(raw)
    words = _SECRET.sub("//…@", words)
    return repr(words if len(words) <= 80 else words[:79] + "…")


def _items(raw: object) -> Sequence[str]:
    if isinstance(raw, str):
        return [item.strip() for item in raw.split(",") if item.strip()]
    if isinstance(raw, Mapping):
        return [f"{name}={value}" for name, value in raw.items()]
    if isinstance(raw, list | tuple):
        return [str(item) for item in raw]
    raise ValueError("a text or a list of texts")


def _json_or_text(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _spelled_item(item: object) -> str:
    """Text stays bare unless reading it back would make something else of it."""
    return item if isinstance(item, str) and _json_or_text(item) == item else json.dumps(item)

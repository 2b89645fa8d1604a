"""The text that sentences are made of, as TOML files beside this package."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

_TEXT = Path(__file__).parent / "text"


@cache
def read(name: str) -> dict[str, Any]:
    """The tables of ``text/<name>.toml``."""
    with (_TEXT / f"{name}.toml").open("rb") as file:
        return tomllib.load(file)

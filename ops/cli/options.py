"""Flags made from the table of settings."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ops.setting_table import Role, Setting, flags_of
from ops.settings import FILE_NAME, load, read_file

Body = Callable[..., Any]


def with_settings(role: Role) -> Callable[[Body], Body]:
    """Give a command the flags of `role`, and call it with `settings` made from them, the
    environment and the settings file."""

    def decorate(body: Body) -> Body:
        @functools.wraps(body)
        def call(config: Path | None, **values: Any) -> Any:
            flags = {setting.key: values.pop(setting.key) for setting in flags_of(role)}
            path = config or Path(FILE_NAME)
            file = read_file(path, required=config is not None)
            settings = load(flags, os.environ, file, str(path))
            return body(settings=settings, **values)

        command: Body = call
        for setting in reversed(flags_of(role)):
            command = _option(setting)(command)
        return click.option(
            "--config",
            type=click.Path(path_type=Path),
            envvar="PARLEY_CONFIG",
            metavar="FILE",
            help=f"Settings file; default: {FILE_NAME} here, if there is one.",
        )(command)

    return decorate


def _option(setting: Setting) -> Callable[[Body], Body]:
    default = "" if setting.many or setting.default == "" else f"  [default: {setting.default}]"
    return click.option(
        setting.flag,
        setting.key,
        multiple=setting.many,
        metavar=setting.metavar,
        help=setting.help + default,
    )


def with_json(body: Body) -> Body:
    """Give a command the flag `--json`, passed as `as_json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document for programs."
    )(body)

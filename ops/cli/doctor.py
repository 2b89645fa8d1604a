"""`parley doctor`."""

import json
import sys

import click
import msgspec
import uvloop

from ops.cli.options import with_json, with_settings
from ops.doctor import examine
from ops.settings import Settings
from ops.telemetry import silence_logging

_MARKS = {"good": "ok     ", "warning": "warning", "bad": "FAILED "}


@click.command()
@with_settings("up")
@with_json
def doctor(settings: Settings, as_json: bool) -> None:
    """Check NATS, history, model, ports and permissions, and say what to do. Takes the flags
    of `up`; exit status 1 if something would not work."""
    silence_logging()
    findings = uvloop.run(examine(settings))
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(findings), indent=2))
    else:
        for finding in findings:
            click.echo(f"{_MARKS[finding.verdict]}  {finding.name:<12} {finding.text}")
    sys.exit(1 if any(finding.verdict == "bad" for finding in findings) else 0)

"""`parley up`."""

import sys

import click
import uvloop

from ops.cli.options import with_settings
from ops.settings import Settings
from ops.stack import Stack


@click.command()
@with_settings("up")
def up(settings: Settings) -> None:
    """Run everything on this machine, embedded: NATS, history in SQLite, session, scheduler,
    gpu actors, edge with the web chat. Prints `ready` and the address once a prompt would be
    answered. Ctrl-C stops all in order."""
    sys.exit(uvloop.run(Stack(settings).run()))

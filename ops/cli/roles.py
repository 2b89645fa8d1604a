"""One actor host each: `parley edge`, `session`, `scheduler`, `gpu`, `summarizer`."""

import os
import re
import socket
import sys
from collections.abc import Awaitable, Callable

import click
import uvloop

from actors.runtime.host import TooManyCrashes
from contracts.embeddings import EMBEDDING_POOL
from contracts.errors import ParleyError
from ops.cli import named_error
from ops.cli.options import with_settings
from ops.model_files import NoModelFiles
from ops.notify import Notifier
from ops.setting_values import BadSetting
from ops.settings import Settings
from ops.telemetry import configure_logging, count_tasks, serve_metrics

_HOPELESS = 2
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

_with_id = click.option(
    "--id",
    "actor_id",
    metavar="ID",
    help="Name of this actor; default: role, machine and process.",
)


@click.command()
@with_settings("edge")
@_with_id
def edge(settings: Settings, actor_id: str | None) -> None:
    """Run one edge: HTTP, event streams, the web chat."""
    from ops.compose.edge import run as run_edge  # noqa: PLC0415 - each role loads its own parts alone

    _run("edge", actor_id, settings, run_edge)


@click.command()
@with_settings("session")
@_with_id
def session(settings: Settings, actor_id: str | None) -> None:
    """Run one host of session actors; hosts share the chats among them."""
    from ops.compose.session import run as run_session  # noqa: PLC0415

    _run("session", actor_id, settings, run_session)


@click.command()
@with_settings("scheduler")
@_with_id
def scheduler(settings: Settings, actor_id: str | None) -> None:
    """Run the schedulers of the pools; a second one stands by."""
    from ops.compose.scheduler import run as run_scheduler  # noqa: PLC0415

    _run("scheduler", actor_id, settings, run_scheduler)


@click.command()
@with_settings("gpu")
@_with_id
@click.option(
    "--pool",
    metavar="POOL",
    help=f"The pool it serves, or {EMBEDDING_POOL}; default: the first of --model.",
)
def gpu(settings: Settings, actor_id: str | None, pool: str | None) -> None:
    """Run one gpu actor with its engine, or an embedding worker (--embedding-model)."""
    if pool == EMBEDDING_POOL and settings.embedding_model:
        from ops.compose.embedding import run as run_embedding  # noqa: PLC0415

        _run("gpu", actor_id, settings, run_embedding)
        return
    from ops.compose.gpu import run as run_gpu  # noqa: PLC0415

    chosen = pool or settings.pools[0]

    async def run(settings: Settings, actor_id: str, notifier: Notifier) -> None:
        await run_gpu(settings, actor_id, notifier, pool=chosen)

    _run("gpu", actor_id, settings, run)


@click.command()
@with_settings("summarizer")
@_with_id
def summarizer(settings: Settings, actor_id: str | None) -> None:
    """Run one host of summarizers; hosts share the chats among them."""
    from ops.compose.summarizer import run as run_summarizer  # noqa: PLC0415

    _run("summarizer", actor_id, settings, run_summarizer)


def _run(
    role: str,
    actor_id: str | None,
    settings: Settings,
    body: Callable[[Settings, str, Notifier], Awaitable[None]],
) -> None:
    """Run a role to its end, and leave the reason of a failure with the supervisor too."""
    name = actor_id or f"{role}-{_plain(socket.gethostname())}-{os.getpid()}"
    if not _ID.fullmatch(name):
        raise BadSetting(f"--id {name!r} does not fit: letters, digits, - and _, 64 at most.")
    notifier = Notifier.from_environment()
    configure_logging(settings.log_level, role=role, actor_id=name)

    async def run() -> None:
        count_tasks()
        await body(settings, name, notifier)

    try:
        serve_metrics(settings.metrics_port)
        uvloop.run(run())
    except (ParleyError, BaseExceptionGroup) as error:
        named = named_error(error)
        if isinstance(named, TooManyCrashes):
            named = named_error(named.__cause__ or named) or named
        notifier.fault(str(named or error))
        if isinstance(named, NoModelFiles):
            click.echo(f"parley: {named}", err=True)
            sys.exit(_HOPELESS)
        if named is None:
            raise
        raise named from error


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", text)[:40]

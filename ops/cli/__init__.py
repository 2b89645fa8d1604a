"""The command line (`parley`): a table of commands that are imported when they are used."""

import errno
import importlib
import os
import sys
from collections.abc import Sequence

import click

from contracts.errors import ParleyError
from ops.setting_values import BadSetting

VERSION = "0.1.0"
_FAILED, _WRONG_USAGE = 1, 2

_COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("ops.cli.up:up", "Run everything on this machine."),
    "chat": ("ops.cli.chat:chat", "Talk to it in the terminal."),
    "ps": ("ops.cli.look:ps", "List the live actors."),
    "runs": ("ops.cli.look:runs", "List the runs in flight."),
    "run": ("ops.cli.look:run", "Show one run."),
    "queue": ("ops.cli.look:queue", "List the runs that wait."),
    "workers": ("ops.cli.look:workers", "List the gpu actors."),
    "user": ("ops.cli.accounts:user", "Add and list accounts, change tiers."),
    "key": ("ops.cli.accounts:key", "Create API keys."),
    "doctor": ("ops.cli.doctor:doctor", "Check this machine and say what to do."),
    "bench": ("ops.bench.cli:bench", "Measure."),
    "chaos": ("ops.chaos.cli:chaos", "Break a stack of its own and compare what came out."),
    "edge": ("ops.cli.roles:edge", "Run one edge."),
    "session": ("ops.cli.roles:session", "Run one host of session actors."),
    "scheduler": ("ops.cli.roles:scheduler", "Run the schedulers of the pools."),
    "gpu": ("ops.cli.roles:gpu", "Run one gpu actor with its engine."),
    "summarizer": ("ops.cli.roles:summarizer", "Run one host of summarizers."),
}


class _Lazy(click.Group):
    """Knows the names and one line of help of all commands, and imports the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="parley")
@click.option("--debug", is_flag=True, help="Show tracebacks; may stand anywhere.")
def parley(debug: bool) -> None:
    """Chats from your own GPUs: answers that stream, survive failures, and stop when told to.

    Every setting is a flag, an environment variable (PARLEY_PORT) and a key in parley.toml,
    in this order.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 good, 1 failed, 2 wrong usage. Errors are one or two sentences
    on standard error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if debug:
        os.environ["PARLEY_DEBUG"] = "1"
    else:
        sys.excepthook = _no_traceback
    try:
        result = parley.main(words, prog_name="parley", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(_FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_FAILED)
    except (ParleyError, BaseExceptionGroup) as error:
        named = named_error(error)
        if named is None or debug:
            raise
        click.echo(f"parley: {named}", err=True)
        sys.exit(_WRONG_USAGE if isinstance(named, BadSetting) else _FAILED)
    sys.exit(result if isinstance(result, int) else 0)


def named_error(error: BaseException) -> ParleyError | None:
    """Return the first error of ours in an exception or a group of them."""
    if isinstance(error, ParleyError):
        return error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            found = named_error(inner)
            if found is not None:
                return found
    return None


def _no_traceback(kind: type[BaseException], error: BaseException, _: object) -> None:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        click.echo("parley: the disk is full; make room and try again", err=True)
        return
    click.echo(
        f"parley: something unexpected went wrong ({kind.__name__}: {error}). "
        "The same command with --debug shows where.",
        err=True,
    )

"""`parley chat`: a conversation in the terminal."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

import click

from ops.chat_client import ChatClient, ChatError
from ops.cli.options import with_settings
from ops.settings import Settings
from ops.supervision.leftovers import read_facts


@click.command()
@with_settings("look")
@click.argument("prompt", required=False)
@click.option("--url", metavar="URL", help="Address of an edge; default: the stack at the home.")
def chat(settings: Settings, prompt: str | None, url: str | None) -> None:
    """Talk to it: one PROMPT, or a conversation. Ctrl-C stops the answer, Ctrl-D leaves.

    Enters as a guest, or with the API key in PARLEY_API_KEY.
    """
    facts = read_facts(settings.home)
    address = url or (facts.url if facts else f"http://127.0.0.1:{settings.port}")
    client = ChatClient(address, settings.home, api_key=os.environ.get("PARLEY_API_KEY", ""))
    try:
        client.enter()
        if prompt is None and not sys.stdin.isatty():
            prompt = sys.stdin.read().strip()
            if not prompt:
                raise click.UsageError("There is no prompt: give one, or pipe one in.")
        if prompt is not None:
            sys.exit(0 if _answer(client, prompt) else 1)
        _converse(client)
    finally:
        client.close()


def _converse(client: ChatClient) -> None:
    while True:
        try:
            line = click.prompt("you", prompt_suffix=" > ").strip()
        except click.Abort:
            click.echo()
            return
        if line:
            try:
                _answer(client, line)
            except ChatError as error:
                click.echo(f"parley: {error}", err=True)


def _answer(client: ChatClient, prompt: str) -> bool:
    """Stream one answer; return whether it came to a good end. Ctrl-C stops the run, whose
    end then comes as an event like any other; a second one leaves at once."""

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=client.stop, daemon=True).start()

    previous = signal.signal(signal.SIGINT, interrupted)
    try:
        end = client.ask(prompt, _Shown().event)
    finally:
        signal.signal(signal.SIGINT, previous)
    click.echo()
    if end["type"] == "run.failed":
        click.echo(f"parley: {end['error']['detail']}", err=True)
        return False
    return True


class _Shown:
    """Writes what comes, as it comes; notes go to standard error."""

    def __init__(self) -> None:
        self._text = ""

    def event(self, kind: str, data: dict[str, Any]) -> None:
        """Show one event."""
        match kind:
            case "message.delta":
                self._write(str(data["delta"]))
            case "message.snapshot":
                self._write(self._rest(str(data["text"])))
            case "run.queued":
                self._note(f"queued, place {data['position']}")
            case "run.recovered":
                self._note("another worker goes on")
            case "run.cancelled":
                self._note("stopped")
            case _:
                return

    def _rest(self, text: str) -> str:
        """Return what a snapshot adds; one that tells another story is told whole, below."""
        if text.startswith(self._text):
            return text[len(self._text) :]
        self._note("from the beginning")
        click.echo()
        self._text = ""
        return text

    def _write(self, text: str) -> None:
        self._text += text
        click.echo(text, nl=False)

    def _note(self, text: str) -> None:
        if sys.stderr.isatty():
            click.echo(click.style(f" [{text}] ", dim=True), nl=False, err=True)

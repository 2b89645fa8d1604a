"""What an actor host says to its supervisor: steps of its start, that it is ready, and why it
cannot go on. Lines on an inherited pipe; without a supervisor nobody listens."""

import os
from dataclasses import dataclass
from typing import Literal

VARIABLE = "PARLEY_NOTIFY_FD"
LINE_MAX = 2_000

Kind = Literal["progress", "ready", "fault"]


@dataclass(frozen=True, slots=True)
class Notice:
    """One line: `text` is a sentence for the person at the terminal."""

    kind: Kind
    text: str


class Notifier:
    """The child's end."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    @classmethod
    def from_environment(cls) -> "Notifier":
        """Return the notifier that the supervisor provided, or one that says nothing.

        May be called once: the variable is removed, so that grandchildren keep quiet.
        """
        number = os.environ.pop(VARIABLE, "")
        return cls(int(number) if number.isdecimal() else None)

    def progress(self, text: str) -> None:
        """Say what the start is doing."""
        self._send("progress", text)

    def ready(self, text: str = "") -> None:
        """Say that the actors do their work."""
        self._send("ready", text)

    def fault(self, text: str) -> None:
        """Say why the process is about to end."""
        self._send("fault", text)

    def _send(self, kind: Kind, text: str) -> None:
        if self._descriptor is None:
            return
        line = f"{kind} {' '.join(text.split())}"[:LINE_MAX] + "\n"
        try:
            os.write(self._descriptor, line.encode())
        except OSError:
            self._descriptor = None


def parse(line: str) -> Notice | None:
    """Return the notice of a line, None if it is none."""
    kind, _, text = line.partition(" ")
    match kind:
        case "progress" | "ready" | "fault":
            return Notice(kind, text)
        case _:
            return None

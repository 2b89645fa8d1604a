"""Calls of tools in the text that a model writes, as it comes. Pure.

The form is Hermes's: `<tool_call>`, a JSON object with `name` and `arguments`, `</tool_call>`.
Source: the function-calling format of NousResearch's Hermes models, which Qwen's share.
"""

from typing import Any

import msgspec

OPENING = "<tool_call>"
CLOSING = "</tool_call>"


class WrittenCall(msgspec.Struct, frozen=True):
    """A call; `arguments` is JSON text."""

    name: str
    arguments: str


class _Form(msgspec.Struct, frozen=True):
    name: str
    arguments: Any = {}


class CallReader:
    """Tells calls from what else is said. What is no call after all is said as it was written.

    Invariant: what was said depends on the text alone, not on how it was split.
    """

    def __init__(self) -> None:
        self._held = ""
        self._inside = False
        self._after_call = False

    def push(self, text: str) -> tuple[str, list[WrittenCall]]:
        """Add text; return what is said for certain, and the calls that are complete."""
        said: list[str] = []
        calls: list[WrittenCall] = []
        self._held += text
        while True:
            mark = CLOSING if self._inside else OPENING
            start = self._held.find(mark)
            if start < 0:
                break
            before, self._held = self._held[:start], self._held[start + len(mark) :]
            if self._inside:
                self._take(before, OPENING + before + CLOSING, said, calls)
            else:
                self._say(before, said)
            self._inside = not self._inside
        if not self._inside:
            keep = _beginning(self._held, OPENING)
            self._say(self._held[: len(self._held) - keep], said)
            self._held = self._held[len(self._held) - keep :]
        return "".join(said), calls

    def finish(self) -> tuple[str, list[WrittenCall]]:
        """Return what is left at the end. A call that was cut off before its closing mark
        counts if it is complete without."""
        said: list[str] = []
        calls: list[WrittenCall] = []
        if self._inside:
            self._take(self._held, OPENING + self._held, said, calls)
        else:
            self._say(self._held, said)
        self._held, self._inside = "", False
        return "".join(said), calls

    def _take(self, body: str, written: str, said: list[str], calls: list[WrittenCall]) -> None:
        try:
            form = msgspec.json.decode(body.strip().encode(), type=_Form)
        except (msgspec.DecodeError, msgspec.ValidationError):
            self._say(written, said)
            return
        given = form.arguments
        text = given if isinstance(given, str) else msgspec.json.encode(given).decode()
        calls.append(WrittenCall(form.name, text))
        self._after_call = True

    def _say(self, text: str, said: list[str]) -> None:
        """White space after a call belongs to the form."""
        if self._after_call:
            text = text.lstrip()
        if text:
            self._after_call = False
            said.append(text)


def _beginning(text: str, mark: str) -> int:
    """Return the length of the longest ending of `text` that may become `mark`."""
    for size in range(min(len(mark) - 1, len(text)), 0, -1):
        if mark.startswith(text[-size:]):
            return size
    return 0

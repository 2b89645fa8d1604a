"""The written memory of a chat: notes, and turns quoted as data. Pure.

A running summary is a list of notes, a line each that begins with `- `. Quoted turns stand on a
line for each speaker. Whatever a turn says, it can neither begin a line nor close its frame.
"""

import re
from collections.abc import Callable

SUMMARY_HEADING = "Summary of the conversation so far:"
"""What introduces the notes in a system message."""

_BULLET = re.compile(r"\s*(?:[-*•‣–]|\d{1,3}[.)])\s+(?=\S)")
_LINE_ENDS = re.compile(r"[\s\x1c-\x1f\x85\u2028\u2029]*[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]\s*")


def one_line(text: str) -> str:
    """Return `text` with every kind of line end, and the blanks around it, made one space."""
    return _LINE_ENDS.sub(" ", text).strip()


def quoted_turn(user: str, assistant: str) -> str:
    """Return one exchange as data, a line for each speaker; the answer's only if there is one."""
    lines = [f"User: {one_line(user)}"]
    answer = one_line(assistant)
    if answer:
        lines.append(f"Assistant: {answer}")
    return "\n".join(lines)


def notes_of(text: str) -> tuple[str, ...] | None:
    """Return the notes of a summary, each once, without their bullets; None if a line of it is
    no note, or if it has none."""
    notes: dict[str, None] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        bullet = _BULLET.match(line)
        if bullet is None:
            return None
        notes[one_line(line[bullet.end() :])] = None
    return tuple(notes) or None


def summary_of(notes: tuple[str, ...]) -> str:
    """Return the text of a summary."""
    return "\n".join(f"- {note}" for note in notes)


def newest_within(
    notes: tuple[str, ...], tokens_max: int, cost: Callable[[str], int]
) -> tuple[str, ...]:
    """Return as many of the last notes as cost `tokens_max` together: the oldest give way, since
    a summary that is full would learn nothing more otherwise. `cost` is of a note's line."""
    left, kept = tokens_max, 0
    for note in reversed(notes):
        left -= cost(f"- {note}\n")
        if left < 0:
            break
        kept += 1
    return notes[len(notes) - kept :]

"""What the model may answer: notes, within the summary's share. Pure."""

from collections.abc import Sequence

from actors.runtime.notes import newest_within, notes_of, summary_of
from actors.summarizer.config import SummarizerConfig
from actors.summarizer.noting import grounded, merged
from actors.summarizer.prompting import Exchange
from contracts.runs import RunOutcome

_NOTHING = "nothing to remember"
_NOTE_CHARS_MAX = 400
"""A longer line is no note."""


def checked(
    config: SummarizerConfig,
    before: str,
    exchanges: Sequence[Exchange],
    text: str,
    outcome: RunOutcome,
    tokens_max: int,
) -> str | None:
    """Return the summary that `text` is, cut to `tokens_max` at a note, or None if it is none:
    a line that is no note, a run that did not end by itself or by length.

    A note that the end of the answer cut off is left out. Who has nothing to remember keeps what
    stood before. Of a model that does not rewrite, the notes that say more than the user did in
    `exchanges` are left out, and the others are put to those that stood before.
    """
    if outcome.finish_reason not in ("stop", "length"):
        return None
    notes = notes_of(text)
    if notes is None or any(len(note) > _NOTE_CHARS_MAX for note in notes):
        return None
    if outcome.finish_reason == "length":
        notes = notes[:-1]
    telling = _telling(notes)
    if not config.rewrites:
        telling = grounded(telling, " ".join(exchange.user for exchange in exchanges))
    if not telling:
        return (before or f"- {_NOTHING.capitalize()}.") if notes else None
    if not config.rewrites:
        telling = merged(_telling(notes_of(before) or ()), telling)
    kept = newest_within(telling, tokens_max, lambda line: len(config.codec.encode(line)))
    return summary_of(kept) or None


def _telling(notes: Sequence[str]) -> tuple[str, ...]:
    return tuple(note for note in notes if note.rstrip(".").casefold() != _NOTHING)

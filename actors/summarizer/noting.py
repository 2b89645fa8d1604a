"""Notes of a model that is too small to rewrite a summary: taken turn by turn, and put together
here. Pure.

Such a model notes what one exchange tells and is not shown what is known already. So nothing that
was noted once is lost to a later slip, and what it says beside the turn is found out. The words
are English, as the shipped model is.
"""

import re
from collections.abc import Sequence

_WORD = re.compile(r"\w+")
_HEAD = re.compile(r"(.+? (?:is called|is in|is on|is from|is an?|is|are|lives in|works as))(?= )")
_HEAD_WORDS_MIN = 4
"""`The user is` begins notes of many things, `The user's name is` those of one."""

_OWN = frozenset(
    _WORD.findall(
        "a age allergic an and are as called doesn from has have in is it learning like likes "
        "lives name named not of old on plays s t the to user was works years"
    )
)
"""Words that notes have of themselves."""


def grounded(notes: Sequence[str], said: str) -> tuple[str, ...]:
    """Return the notes of which every word that is not their own stands in what the user `said`."""
    known = _OWN.union(_words(said))
    return tuple(note for note in notes if known.issuperset(_words(note)))


def merged(before: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """Return the notes known before and the new ones: a new one stands in place of what was noted
    of the same (`The user's name is …`), and comes last."""
    heads = {head for head in map(_head, new) if head}
    kept = [note for note in before if _head(note) not in heads and note not in new]
    return (*kept, *new)


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _head(note: str) -> str | None:
    found = _HEAD.match(note)
    if found is None or len(found[1].split()) < _HEAD_WORDS_MIN:
        return None
    return found[1].casefold()

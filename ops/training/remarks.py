"""Remarks about anything, and a reply that takes up what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.training.grammar import Turn, say, typed
from ops.training.lexicon import LISTS
from ops.training.sources import read

if TYPE_CHECKING:
    import random

_TEXT = read("phrases")["remarks"]
_SOMEONE = (*LISTS["animals"], *LISTS["jobs"])


def exchange(rng: random.Random) -> Turn:
    """A remark on some thing, and a friendly request for more about it."""
    noun = rng.choice(LISTS["nouns"])
    adjective, verb = rng.choice(LISTS["adjectives"]), rng.choice(LISTS["verbs"])
    someone = rng.choice(_SOMEONE)
    remark = typed(rng, rng.choice(_TEXT["remarks"]), n=noun, a=adjective, v=verb, m=someone)
    return Turn(remark, say(rng, _TEXT["reply"], n=noun))

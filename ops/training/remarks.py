"""Remarks about anything, and a reply that takes up what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.training.grammar import Turn, choose, say, typed
from ops.training.lexicon import LISTS
from ops.training.sources import read

if TYPE_CHECKING:
    import random

_TEXT = read("phrases")["remarks"]
_SOMEONE = (*LISTS["animals"], *LISTS["jobs"])
_SLOTS = {"n": "nouns", "a": "adjectives", "p": "places"}


def exchange(rng: random.Random) -> Turn:
    """A remark on some thing, and a friendly request for more about it."""
    noun = rng.choice(LISTS["nouns"])
    adjective, verb = rng.choice(LISTS["adjectives"]), rng.choice(LISTS["verbs"])
    someone = rng.choice(_SOMEONE)
    remark = typed(rng, rng.choice(_TEXT["remarks"]), n=noun, a=adjective, v=verb, m=someone)
    return Turn(remark, say(rng, _TEXT["reply"], n=noun))


def passage(rng: random.Random) -> Turn:
    """A text of a few sentences without facts about the user, and a short reply."""
    parts = [choose(rng, _TEXT["passage_opens"])]
    for _ in range(rng.randint(1, 4)):
        words = {name: rng.choice(LISTS[kind]) for name, kind in _SLOTS.items()}
        line = say(rng, rng.choice(_TEXT["passages"]), m=rng.choice(_SOMEONE), **words)
        ending = choose(rng, _TEXT["passage_ends"]).rstrip(".")
        parts.append(f"{line[:1].upper()}{line[1:]}{' ' if ending else ''}{ending}.")
    return Turn(" ".join(part for part in parts if part), say(rng, _TEXT["passage_reply"]))

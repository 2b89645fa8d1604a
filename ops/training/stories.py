"""Short stories and verses about what the user asks for, composed sentence by sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.training.grammar import Turn, article, say, typed
from ops.training.lexicon import LISTS, invented
from ops.training.sources import read

if TYPE_CHECKING:
    import random

_TEXT = read("phrases")["stories"]
_HEROES = (*LISTS["animals"], *LISTS["jobs"], *_TEXT["heroes"].split())
_OF_VERSE = (*LISTS["objects"], *LISTS["animals"], *LISTS["places"])


def story(rng: random.Random) -> Turn:
    """A story of five or six sentences about one or two things that the user names."""
    hero, thing = rng.choice(_HEROES), rng.choice(LISTS["objects"])
    if rng.random() < 0.12:
        hero = invented(rng)
    asked_thing = rng.random() < 0.4
    subject = article(hero) + (f" and {article(thing)}" if asked_thing else "")
    asks = _TEXT["before"] + _TEXT["ask"]
    if rng.random() < 0.1:
        asks, subject = _TEXT["before"] + _TEXT["ask_any"], ""
    if rng.random() < 0.1 and subject and not asked_thing:
        subject = hero + "s"
    place, far = rng.sample(LISTS["places"], 2)
    friend = article(rng.choice([animal for animal in LISTS["animals"] if animal != hero]))
    slots = {
        "hero": article(f"{rng.choice(_TEXT['traits'])} {hero}"),
        "place": place,
        "far": far,
        "thing": article(thing),
        "thing_bare": thing,
        "friend": friend,
        "season": rng.choice(LISTS["seasons"]),
    }
    asked = typed(rng, asks, x=subject)
    return Turn(asked, " ".join(say(rng, part, **slots) for part in _TEXT["parts"]))


def verse(rng: random.Random) -> Turn:
    """Four lines about a word that the user names."""
    word = rng.choice(_OF_VERSE)
    asked = typed(rng, _TEXT["before"] + _TEXT["ask_verse"], x=article(word), y=word)
    return Turn(asked, "\n".join(say(rng, line, x=word) for line in _TEXT["lines"]))

"""Greetings, thanks, moods, farewells and the honest answers to what a program can't do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.training.grammar import Turn, article, say, typed
from ops.training.lexicon import LISTS
from ops.training.sources import read

if TYPE_CHECKING:
    import random

_TEXT = read("smalltalk")
_KINDS = (
    ("animal", "animals"),
    ("fruit", "fruits"),
    ("vegetable", "vegetables"),
    ("drink", "drinks"),
    ("instrument", "instruments"),
    ("city", "cities"),
    ("country", "countries"),
    ("colour", "colours"),
    ("language", "languages"),
)
_WITHOUT_ARTICLE = {"city", "country", "colour", "language"}
_ALTERNATIVES = ("foods", "animals", "colours", "fruits", "drinks", "hobbies", "cities")


@dataclass(frozen=True, slots=True)
class Exchange:
    """Ways to say a thing and ways to reply to it; ``{x}`` in both is one of `words`."""

    says: str
    reply: str
    words: tuple[str, ...]

    def turn(self, rng: random.Random) -> Turn:
        """One exchange of this kind."""
        word = rng.choice(self.words)
        return Turn(typed(rng, f"[{self.says}]", x=word), say(rng, self.reply, x=word))


def _exchange(text: dict[str, Any]) -> Exchange:
    words = [word for name in text.get("pools", ()) for word in LISTS[name]]
    return Exchange(text["says"], text["reply"], tuple(text.get("words", words) or ("",)))


_EXCHANGES = [
    exchange for text in _TEXT["exchange"] for exchange in [_exchange(text)] * text.get("times", 1)
]
GREETING, FAREWELL = (
    next(_exchange(text) for text in _TEXT["exchange"] if text.get("key") == key)
    for key in ("greeting", "farewell")
)


def exchange(rng: random.Random) -> Turn:
    """One small exchange; nothing in it needs to be remembered."""
    roll = rng.random()
    if roll < 0.05:
        return Turn(typed(rng, _TEXT["jokes"]["asks"]), rng.choice(_TEXT["jokes"]["tell"]))
    if roll < 0.10:
        cycle = rng.choice(_TEXT["cycle"])
        members = LISTS[cycle["list"]]
        place = rng.randrange(len(members))
        after = members[(place + cycle["step"]) % len(members)]
        asked = typed(rng, f"{_TEXT['cycle_before']}[{cycle['asks']}]?", a=members[place])
        return Turn(asked, f"{after}.")
    if roll < 0.14:
        first, second = rng.sample(LISTS[rng.choice(_ALTERNATIVES)], 2)
        asked = typed(rng, _TEXT["which"], a=first, b=second)
        return Turn(asked, say(rng, _TEXT["which_reply"], a=first, b=second))
    return rng.choice(_EXCHANGES).turn(rng)


def kind_of(rng: random.Random) -> Turn:
    """What sort of thing a common word names."""
    name, pool = rng.choice(_KINDS)
    word = rng.choice(LISTS[pool])
    shown = word if name in _WITHOUT_ARTICLE else article(word)
    asked = typed(rng, _TEXT["kind_of"], a=shown, k=article(name))
    return Turn(asked, f"{shown[:1].upper()}{shown[1:]} is {article(name)}.")

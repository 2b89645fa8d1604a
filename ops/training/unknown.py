"""What the model can't know, and how it says so: plainly, and with what it can do instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.training.grammar import Turn, article, choose, say, typed
from ops.training.lexicon import LISTS, digits, invented, town
from ops.training.sources import read

if TYPE_CHECKING:
    import random

_TEXT = read("phrases")["unknown"]
_SYMBOLS = "?!.,;:-_#*+/()[]{}<>=&%$@^~|"
_SCRIPTS = ((0xC0, 0x17F), (0x391, 0x3C9), (0x410, 0x44F), (0x4E00, 0x4E80), (0x1F600, 0x1F640))
"""Code points: accented Latin, Greek, Cyrillic, Chinese, emoji."""


def _topic(rng: random.Random) -> str:
    topic = rng.choice(LISTS["topics"])
    if rng.random() < 0.55:
        noun = rng.choice(LISTS["nouns"])
        adjective = rng.choice(LISTS["adjectives"])
        forms = (noun, article(noun), f"the {noun}", f"{noun}s", f"{adjective} {noun}s")
        topic = rng.choice((*forms, invented(rng)))
    return topic


def _slots(rng: random.Random) -> dict[str, str]:
    return {
        "x": _topic(rng),
        "i": invented(rng).capitalize(),
        "c": rng.choice(LISTS["countries"]),
        "t": town(rng),
        "u": town(rng),
        "y": str(rng.randint(1200, 2030)),
        "b": f"{rng.choice(('The', 'A'))} {rng.choice(LISTS['objects']).capitalize()}",
        "p": f"{rng.choice(LISTS['given_names'])} {rng.choice(LISTS['surnames'])}",
        "n": digits(rng, 4, 7),
        "m": digits(rng, 3, 6),
        "o": rng.choice(LISTS["objects"]),
        "f": rng.choice(LISTS["foods"]),
        "z": rng.choice(LISTS["nouns"]),
        "k": rng.choice(LISTS["verbs"]),
        "q": rng.choice(LISTS["adjectives"]),
        "j": rng.choice(LISTS["jobs"]),
        "w": rng.choice(LISTS["plain_words"]),
        "l": rng.choice(LISTS["languages"]),
    }


def exchange(rng: random.Random) -> Turn:
    """A question or an order beyond the model, and its honest reply."""
    slots = _slots(rng)
    roll = rng.random()
    if roll < 0.40:
        asks = _TEXT["before"] + rng.choice(_TEXT["about"]) + "[?|?|?||.]"
        return Turn(typed(rng, asks, **slots), say(rng, _TEXT["about_reply"], **slots))
    if roll < 0.72:
        asks = _TEXT["before"] + rng.choice(_TEXT["facts"]) + "[?|?|?|]"
        return Turn(typed(rng, asks, **slots), choose(rng, _TEXT["facts_reply"]))
    if roll < 0.90:
        asks = _TEXT["before"] + rng.choice(_TEXT["orders"]) + "[|||.|?]"
        return Turn(typed(rng, asks, **slots), choose(rng, _TEXT["orders_reply"]))
    return Turn(_noise(rng), choose(rng, _TEXT["noise_reply"]))


def _noise(rng: random.Random) -> str:
    """Text without sense: keys hit at random, symbols, lone numbers, unknown words."""
    roll = rng.random()
    if roll < 0.4:
        letters = "abcdefghijklmnopqrstuvwxyz" if roll < 0.25 else "asdfghjkl"
        count = rng.randint(1, 3)
        return " ".join(_keys(rng, letters) for _ in range(count))
    if roll < 0.55:
        return "".join(rng.choice(_SYMBOLS) for _ in range(rng.randint(1, 8)))
    if roll < 0.65:
        return digits(rng, 2, 9)
    if roll < 0.75:
        return " ".join(invented(rng) for _ in range(rng.randint(1, 6)))
    if roll < 0.85:
        things = [invented(rng) for _ in range(rng.randint(2, 3))]
        return f"{invented(rng)} {rng.choice(('a ', 'the ', 'my '))}{' of the '.join(things)}"
    return "".join(_foreign(rng) for _ in range(rng.randint(1, 10)))


def _keys(rng: random.Random, letters: str) -> str:
    return "".join(rng.choice(letters) for _ in range(rng.randint(3, 12)))


def _foreign(rng: random.Random) -> str:
    return chr(rng.choice([rng.randint(low, high) for low, high in _SCRIPTS]))

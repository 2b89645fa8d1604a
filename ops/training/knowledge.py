"""The few facts about the world that the model is taught; it should not guess at others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.training.grammar import Turn, typed
from ops.training.sources import read

if TYPE_CHECKING:
    import random

_TEXT = read("knowledge")
CAPITALS: dict[str, str] = _TEXT["capitals"]


def exchange(rng: random.Random) -> Turn:
    """A question from the small stock of things that the model knows."""
    roll = rng.random()
    before: str = _TEXT["before"]
    if roll < 0.35:
        country, capital = rng.choice(list(CAPITALS.items()))
        asked = typed(rng, before + _TEXT["ask_capital"], c=country)
        return Turn(asked, f"The capital of {country} is {capital}.")
    if roll < 0.55:
        pair = rng.choice(_TEXT["opposites"]).split()
        rng.shuffle(pair)
        asked = typed(rng, before + _TEXT["ask_opposite"], a=pair[0])
        return Turn(asked, f"The opposite of {pair[0]} is {pair[1]}.")
    if roll < 0.68:
        animal, sound = rng.choice(list(_TEXT["sounds"].items()))
        asked = typed(rng, before + _TEXT["ask_sound"], a=animal)
        return Turn(asked, f"A {animal} says {sound}.")
    plain = rng.choice(_TEXT["plain"])
    return Turn(typed(rng, f"{before}[{plain['asks']}]?"), plain["answer"])

"""Slot vocabularies: lists of ordinary words, and invented names that no list could hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.training.sources import read

if TYPE_CHECKING:
    import random

LISTS: dict[str, list[str]] = {name: text.split() for name, text in read("words").items()}
"""Every list of ``words.toml`` by its name."""

_ONSETS = tuple("b br c cl d dr f fl g gr h j k kr l m n p pr r s sh sl st t tr v w y z".split())
_NUCLEI = tuple("a e i o u a e i o ai ea oo ia".split())
_CODAS = ("", "", "", "n", "r", "l", "s", "m", "x", "k", "t", "nd", "sk", "th", "v")
_PLAIN = "bcdfghjklmnprstvwyz"
_WHOLE = sorted(
    {word.lower() for words in LISTS.values() for word in words if word.isalpha() and len(word) > 3}
)
_HELD_ONSETS = tuple("bl gl pl sn sw th fr gw zh".split())


def invented(rng: random.Random, *, held_out: bool = False) -> str:
    """A pronounceable word of two to four syllables; held-out ones begin as no trained one does.

    Of the others some are plain pairs of a consonant and a vowel, and some put the ends of known
    words together, so that no piece of a word goes with one neighbour alone.
    """
    roll = 1.0 if held_out else rng.random()
    if roll < 0.2:
        return "".join(rng.choice(_PLAIN) + rng.choice("aeiou") for _ in range(rng.randint(2, 4)))
    if roll < 0.5:
        return _spliced(rng)
    onsets = _HELD_ONSETS if held_out else _ONSETS
    first = rng.choice(onsets) + rng.choice(_NUCLEI) + rng.choice(_CODAS)
    rest = [rng.choice(_ONSETS) + rng.choice(_NUCLEI) for _ in range(rng.choice((1, 1, 2)))]
    return first + "".join(rest) + rng.choice(_CODAS)


def _spliced(rng: random.Random) -> str:
    """The beginning of one known word and the end of another."""
    while True:
        first, last = rng.sample(_WHOLE, 2)
        middle = rng.choice(("", "", rng.choice("aeiou")))
        word = first[: rng.randint(2, 4)] + middle + last[-rng.randint(2, 4) :]
        if not word.startswith(_HELD_ONSETS):
            return word


def person(rng: random.Random) -> str:
    """A given name, now and then an invented one or one with a surname."""
    roll = rng.random()
    if roll < 0.3:
        return invented(rng).capitalize()
    name = rng.choice(LISTS["given_names"])
    return f"{name} {rng.choice(LISTS['surnames'])}" if roll > 0.94 else name


def town(rng: random.Random) -> str:
    """A city, now and then an invented one."""
    return invented(rng).capitalize() if rng.random() < 0.3 else rng.choice(LISTS["cities"])


def digits(rng: random.Random, low: int = 2, high: int = 6) -> str:
    """A string of `low` to `high` decimal digits that doesn't begin with zero."""
    first = str(rng.randint(1, 9))
    return first + "".join(str(rng.randint(0, 9)) for _ in range(rng.randint(low, high) - 1))

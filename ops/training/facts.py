"""Facts that a user tells, corrects and asks back: the families that recall is learnt from.

Answers use the slot exactly as it was typed, so that recall is copying and
holds for words that training never saw. The sentences are in ``facts.toml``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ops.training.grammar import choose, say, typed
from ops.training.lexicon import LISTS, digits, invented, person, town
from ops.training.sources import read

Draw = Callable[[random.Random], str]
_TEXT = read("facts")
_FIX: str = _TEXT["fix_prefix"]


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of fact as templates over ``{s}`` (what it is about) and ``{v}`` (its value)."""

    key: str
    tell: str
    ask: str
    answer: str
    note: str
    ack: str
    missing: str
    fix: str
    value: Draw
    subject: Draw
    weight: float


@dataclass(frozen=True, slots=True)
class Fact:
    """A family with its subject and value drawn."""

    family: Family
    subject: str
    value: str

    @property
    def key(self) -> str:
        """Facts with equal keys contradict each other; the later one holds."""
        return f"{self.family.key}:{self.subject}"

    def user_tells(self, rng: random.Random) -> str:
        """The user's statement of the fact."""
        pattern = self.family.tell
        if rng.random() < 0.35:
            pattern = _TEXT["before"] + pattern
        if rng.random() < 0.2:
            pattern = pattern.removesuffix(".") + _TEXT["after"] + "."
        return typed(rng, pattern, s=self.subject, v=self.value)

    def user_corrects(self, rng: random.Random) -> str:
        """The user's statement that replaces an earlier value."""
        pattern = self.family.fix
        if rng.random() < 0.3:
            pattern = self.family.tell.removesuffix(".") + _TEXT["after_fix"]
        return typed(rng, pattern, s=self.subject, v=self.value)

    def user_asks(self, rng: random.Random) -> str:
        """The user's question whose answer is the value."""
        pattern = self.family.ask
        if rng.random() < 0.15:
            pattern = pattern.removesuffix("?") + _TEXT["again"] + "?"
        return typed(rng, pattern, s=self.subject, v=self.value)

    def answered(self, rng: random.Random) -> str:
        """The assistant's answer in the second person."""
        return say(rng, self.family.answer, s=self.subject, v=self.value)

    def acknowledged(self, rng: random.Random) -> str:
        """The assistant's reply to the statement; it repeats the value."""
        if self.family.ack:
            return say(rng, self.family.ack, s=self.subject, v=self.value)
        statement = say(rng, self.family.answer, s=self.subject, v=self.value)
        return choose(rng, _TEXT["ack"]) + " " + statement

    def noted(self) -> str:
        """The fact in the third person, as summaries keep it."""
        return self.family.note.format(s=self.subject, v=self.value)

    def unknown(self, rng: random.Random) -> str:
        """The assistant's answer when the user asks before telling."""
        return say(rng, self.family.missing, s=self.subject)

    def changed(self, rng: random.Random) -> Fact:
        """The same fact with another value."""
        value = self.value
        while value == self.value:
            value = self.family.value(rng)
        return replace(self, value=value)


def _among(*options: str) -> Draw:
    return lambda rng: rng.choice(options)


def _listed(*names: str) -> Draw:
    return _among(*(word for name in names for word in LISTS[name]))


def _either(*draws: Draw) -> Draw:
    return lambda rng: rng.choice(draws)(rng)


def _number(low: int, high: int) -> Draw:
    return lambda rng: str(rng.randint(low, high))


def _any_noun(rng: random.Random) -> str:
    noun = rng.choice((*LISTS["nouns"], *_TEXT["kinds"]["kin_names"].split()))
    return f"{rng.choice(LISTS['adjectives'])} {noun}" if rng.random() < 0.25 else noun


def _numbered(rng: random.Random) -> str:
    return f"{rng.choice(LISTS['nouns'])} {rng.choice(_TEXT['kinds']['numbers'].split())}"


def _word(rng: random.Random) -> str:
    known = (LISTS[name] for name in ("colours", "objects", "animals", "fruits"))
    return rng.choice((*(word for words in known for word in words), invented(rng)))


def _date(rng: random.Random) -> str:
    return f"{rng.choice(LISTS['months'])} {rng.randint(1, 30)}"


def _day_and_hour(rng: random.Random) -> str:
    day = rng.choice(LISTS["days"])
    minutes = f"{rng.randint(1, 12)}{rng.choice(['', ':30', ':15'])}"
    return f"{day} at {minutes} {rng.choice(['am', 'pm'])}"


def _book(rng: random.Random) -> str:
    return f"The {rng.choice(LISTS['objects']).capitalize()} of {town(rng)}"


def _film(rng: random.Random) -> str:
    animal, place = rng.choice(LISTS["animals"]), rng.choice(LISTS["places"])
    return f"The {animal.capitalize()} in the {place.capitalize()}"


def _band(rng: random.Random) -> str:
    return f"The {rng.choice(LISTS['animals']).capitalize()}s"


_FAVOURITES: dict[str, Draw] = {
    "colour": _listed("colours"),
    "food": _listed("foods"),
    "fruit": _listed("fruits"),
    "vegetable": _listed("vegetables"),
    "drink": _listed("drinks"),
    "animal": _listed("animals"),
    "number": _number(0, 999),
    "city": town,
    "country": _listed("countries"),
    "season": _listed("seasons"),
    "month": _listed("months"),
    "day": _listed("days"),
    "hobby": _listed("hobbies"),
    "sport": _listed("hobbies"),
    "instrument": _listed("instruments"),
    "language": _listed("languages"),
    "word": _word,
    "book": _book,
    "film": _film,
    "band": _band,
    "place": _among(*(f"the {place}" for place in LISTS["places"])),
}
_KIN: list[str] = _TEXT["kinds"]["kin"].split()
_DRAWS: dict[str, Draw] = {
    "nothing": lambda _rng: "",
    "person": person,
    "town": town,
    "town or country": _either(town, _listed("countries")),
    "job": _listed("jobs"),
    "age": _number(5, 99),
    "age of another": _number(2, 99),
    "liked": _either(_listed("hobbies"), _listed("foods"), _listed("topics")),
    "liked by another": _either(_listed("hobbies"), _listed("foods"), _listed("colours")),
    "disliked": _either(_listed("foods"), _listed("vegetables"), _listed("topics")),
    "eaten": _either(_listed("foods"), _listed("vegetables")),
    "instrument": _listed("instruments"),
    "studied": _either(_listed("languages"), _listed("topics")),
    "keeping place": _listed("keeping_places"),
    "any noun": _any_noun,
    "any noun with a number": _numbered,
    "when": _either(_listed("days"), _day_and_hour, _date),
    "digits": digits,
    "word": _word,
    "kin": _among(*_KIN),
    "kin or pet": _among(*LISTS["pets"], *_KIN),
    "event": _among(*_TEXT["kinds"]["events"].split()),
    "belonging": _among(*_TEXT["kinds"]["belongings"].split()),
}


def _family(text: dict[str, Any], key: str, value: Draw, subject: Draw, weight: float) -> Family:
    return Family(
        key=key,
        tell=text["tell"],
        ask=_TEXT["recall"] + text["ask"],
        answer=text["answer"],
        note=text["note"],
        ack=text.get("ack", ""),
        missing=text.get("missing", _TEXT["missing"]),
        fix=text.get("fix") or _FIX + text.get("fix_prefixed", text["tell"]),
        value=value,
        subject=subject,
        weight=weight,
    )


def _families() -> tuple[Family, ...]:
    found = [
        _family(
            text,
            text["key"],
            _DRAWS[text["value"]],
            _DRAWS[text.get("subject", "nothing")],
            text.get("weight", 1.0),
        )
        for text in _TEXT["family"]
    ]
    mine = _TEXT["mine"]
    for text in _TEXT["of_mine"]:
        nouns = _DRAWS[text["subject"]] if "subject" in text else _among(*text["nouns"])
        found.append(_family(mine, "mine", _DRAWS[text["value"]], nouns, text["weight"]))
    for kind, value in _FAVOURITES.items():
        found.append(_family(_TEXT["favourite"], "favourite", value, _among(kind), 0.4))
    kinds = _TEXT["kinds"]
    for secret in kinds["secrets"].split():
        text = {name: line.replace("{k}", secret) for name, line in _TEXT["code"].items()}
        value = _either(digits, digits, _word)
        found.append(_family(text, secret, value, _among(*kinds["locked"]), 0.5))
    return tuple(found)


FAMILIES = _families()
_WEIGHTS = [family.weight for family in FAMILIES]


def draw(rng: random.Random) -> Fact:
    """A fact of a random family."""
    family = rng.choices(FAMILIES, _WEIGHTS)[0]
    return Fact(family, family.subject(rng), family.value(rng))


def draw_different(rng: random.Random, count: int) -> list[Fact]:
    """`count` facts that don't contradict each other."""
    found: dict[str, Fact] = {}
    while len(found) < count:
        fact = draw(rng)
        found.setdefault(fact.key, fact)
    return list(found.values())


def draw_alike(rng: random.Random, count: int) -> list[Fact]:
    """`count` facts that don't contradict each other, most of them of up to three families: what
    is asked of one must not be answered with its neighbour's value."""
    families = rng.choices(FAMILIES, _WEIGHTS, k=rng.choice((1, 2, 3)))
    found: dict[str, Fact] = {}
    for _ in range(2 * count):
        family = rng.choice(families)
        fact = Fact(family, family.subject(rng), family.value(rng))
        found.setdefault(fact.key, fact)
    for fact in draw_different(rng, count):
        found.setdefault(fact.key, fact)
    facts = list(found.values())[:count]
    rng.shuffle(facts)
    return facts


def draw_name(rng: random.Random) -> Fact:
    """The user's own name."""
    return Fact(FAMILIES[0], "", person(rng))

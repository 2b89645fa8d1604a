"""The held-out evaluation: conversations written apart from the generators, and their judges.

None of its user messages is trained on: :func:`messages` is what training
leaves out. Names to be recalled begin with syllables that no training name
begins with. The sentences are in ``heldout.toml``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ops.training.conversations import normal
from ops.training.lexicon import LISTS, digits, invented
from ops.training.sources import read

_TEXT = read("heldout")
_UNKNOWN: tuple[str, ...] = tuple(_TEXT["unknown_answers"])
_USUAL: str = read("phrases")["conversations"]["usual"]


@dataclass(frozen=True, slots=True)
class Case:
    """What a user types, message by message, and what the last answer must hold.

    Each group of `expected` must appear by one of its options, nothing of
    `never` may; case is ignored. The earlier answers are the model's own.
    """

    category: str
    script: tuple[str, ...]
    expected: tuple[tuple[str, ...], ...]
    never: tuple[str, ...] = ()
    system: str | None = None

    def right(self, answer: str) -> bool:
        """Whether `answer` is right."""
        heard = answer.lower()
        held = all(any(option.lower() in heard for option in group) for group in self.expected)
        return held and not any(word.lower() in heard for word in self.never)


def _name(rng: random.Random) -> str:
    return invented(rng, held_out=True).capitalize()


def _code(rng: random.Random) -> str:
    return digits(rng, 3, 6)


_DRAWS: dict[str, Callable[[random.Random], str]] = {
    "person": _name,
    "digits": _code,
    "word": lambda rng: invented(rng, held_out=True),
    "age": lambda rng: str(rng.randint(5, 99)),
    "colour": lambda rng: rng.choice(LISTS["colours"]),
    "job": lambda rng: rng.choice(LISTS["jobs"]),
    "day": lambda rng: rng.choice(LISTS["days"]),
    "keeping place": lambda rng: rng.choice(LISTS["keeping_places"]),
    "food": lambda rng: rng.choice(LISTS["foods"]),
}


def _recall(rng: random.Random, category: str) -> Case:
    """One fact asked back after other turns; once corrected, its old value must not be said."""
    told = [(fact, _DRAWS[fact["value"]](rng)) for fact in rng.sample(_TEXT["recall"], 3)]
    script = [fact["tell"].format(v=value) for fact, value in told]
    fact, value = rng.choice(told)
    never: tuple[str, ...] = ()
    if category == "correction":
        old = value
        while old in value or value in old:
            value = _DRAWS[fact["value"]](rng)
        never = (old,)
        script.append(fact["correct"].format(v=value))
    script += rng.sample(_TEXT["asides"], 8 if category == "recall after 8 turns" else 2)
    return Case(category, (*script, fact["ask"]), ((value,),), never)


def _from_summary(rng: random.Random) -> Case:
    """A fact that only the running summary in the system message knows."""
    name, home, code = _name(rng), _name(rng), _code(rng)
    system = (
        f"{_USUAL}\n\nSummary of the conversation so far:\n- The user's name is {name}.\n"
        f"- The user lives in {home}.\n- The user's door code is {code}."
    )
    question, value = rng.choice(
        (
            ("could you say my name once more?", name),
            ("in what city is my home?", home),
            ("which door code did I tell you?", code),
        )
    )
    return Case("recall from the summary", (question,), ((value,),), system=system)


def _arithmetic(rng: random.Random) -> Case:
    kind = rng.choice(("add", "subtract", "multiply"))
    top = 10 if kind == "multiply" else 40
    a, b = rng.randint(0, top), rng.randint(0, top)
    if kind == "subtract":
        a, b = max(a, b), min(a, b)
    result = {"add": a + b, "subtract": a - b, "multiply": a * b}[kind]
    asked = rng.choice(_TEXT["arithmetic"][kind]).format(a=a, b=b)
    return Case("arithmetic", (asked,), ((f"= {result}.",),))


def _exact(rng: random.Random) -> Case:
    category = "count, list, spell, repeat"
    match rng.choice(("count", "spell", "repeat", "list")):
        case "count":
            low, high = rng.randint(1, 9), rng.randint(11, 17)
            asked = f"I'd like you to count from {low} up until {high}"
            return Case(category, (asked,), ((", ".join(map(str, range(low, high + 1))),),))
        case "spell":
            word = rng.choice(LISTS["plain_words"])
            asked = f"would you mind and spell {word}"
            return Case(category, (asked,), (("-".join(word.upper()),),))
        case "repeat":
            colour, animal = rng.choice(LISTS["colours"]), rng.choice(LISTS["animals"])
            said = f"{colour} {animal} {invented(rng, held_out=True)}"
            return Case(category, (f"now say these three words: {said}",), ((said,),))
        case _:
            name = rng.choice(("animals", "colours", "fruits", "cities"))
            asked = f"I'd love to hear three {name}"
            return Case(category, (asked,), ((",",), tuple(LISTS[name])))


def _story(rng: random.Random) -> Case:
    hero, thing = rng.choice(LISTS["animals"]), rng.choice(LISTS["objects"])
    asked = f"I'd love to hear a story about the {hero} and the {thing}"
    return Case("story", (asked,), ((hero,), (thing,), (".",)))


def _note(rng: random.Random) -> Case:
    """One exchange in, its fact out, in the words of Parley's summarizer."""
    fact = rng.choice(_TEXT["recall"])
    value = _DRAWS[fact["value"]](rng)
    told = fact["tell" if rng.random() < 0.7 else "correct"].format(v=value)
    prompt = f"New turns:\nUser: {told}\nAssistant: Alright.\n\nWrite the new summary."
    return Case("notes on one exchange", (prompt,), ((value,), ("user",)), never=("\n",))


def _title(rng: random.Random) -> Case:
    question = rng.choice([q for asked in _TEXT["parley"].values() for q in asked])
    prompt = (
        "Write a title of at most six words for this chat.\n\n"
        f"User: {question}?\nAssistant: Let me explain."
    )
    return Case("title", (prompt,), (("",),), never=("\n", "user:", ".", "let me"))


def cases(seed: int, each: int) -> list[Case]:
    """Every fixed case, and `each` cases of every kind that is drawn by chance from `seed`."""
    rng = random.Random(seed)
    found = [
        Case("questions about Parley", (f"{question}?",), ((phrase,),))
        for phrase, asked in _TEXT["parley"].items()
        for question in asked
    ]
    found += [
        Case("small talk", (says,), (tuple(options),))
        for says, options in _TEXT["small_talk"].items()
    ]
    found += [Case("honest ignorance", (asked,), (_UNKNOWN,)) for asked in _TEXT["honesty"]]
    for category in ("recall", "recall after 8 turns", "correction"):
        found += [_recall(rng, category) for _ in range(each)]
    for draw in (_from_summary, _arithmetic, _exact, _story, _note, _title):
        found += [draw(rng) for _ in range(each)]
    return found


def messages(seed: int, each: int) -> frozenset[str]:
    """Every user message of the evaluation, in the form by which training compares."""
    return frozenset(normal(message) for case in cases(seed, each) for message in case.script)

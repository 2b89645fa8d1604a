"""Small tasks with one right answer: arithmetic, counting, spelling, listing, repeating."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from ops.training.grammar import Turn, article, typed
from ops.training.lexicon import LISTS, invented
from ops.training.sources import read

if TYPE_CHECKING:
    import random

_TEXT = read("phrases")["tasks"]
_NAMED: dict[str, list[str]] = {
    "animals": LISTS["animals"],
    "colours": LISTS["colours"],
    "colors": LISTS["colours"],
    "fruits": LISTS["fruits"],
    "vegetables": LISTS["vegetables"],
    "cities": LISTS["cities"],
    "countries": LISTS["countries"],
    "jobs": LISTS["jobs"],
    "hobbies": LISTS["hobbies"],
    "instruments": LISTS["instruments"],
    "languages": LISTS["languages"],
    "drinks": LISTS["drinks"],
    "names": LISTS["given_names"],
    "foods": LISTS["foods"],
    "pets": LISTS["pets"],
    "objects": LISTS["objects"],
    "sports": LISTS["hobbies"],
    "things": LISTS["objects"],
    "words": LISTS["plain_words"],
    "places": LISTS["places"],
}
_ORDERED = {
    "days of the week": LISTS["days"],
    "weekdays": LISTS["days"],
    "days": LISTS["days"],
    "months": LISTS["months"],
    "months of the year": LISTS["months"],
    "seasons": LISTS["seasons"],
    "letters of the alphabet": list(string.ascii_lowercase),
}
_SPELLED = [word for name in ("animals", "objects", "fruits", "colours") for word in LISTS[name]]
_REPEATED = (
    "nouns",
    "adjectives",
    "plain_words",
    "animals",
    "objects",
    "colours",
    "foods",
    "places",
    "given_names",
)
_DEEDS = ["sleeps", "sings", "jumps", "runs", "waits", "lives", "dances"]
NUMBER_WORDS = tuple("zero one two three four five six seven eight nine ten eleven twelve".split())


def _operands(rng: random.Random) -> tuple[str, int, int, int]:
    kind = rng.choices("+-*/", (5, 4, 3, 1))[0]
    if kind in "*/":
        top = rng.choice((5, 10, 10))
        a, b = rng.randint(0 if kind == "*" else 1, top), rng.randint(1, top)
        if kind == "*":
            return ("*", a, b, a * b) if rng.random() < 0.5 else ("*", b, a, a * b)
        return "/", a * b, b, a
    top = rng.choices((5, 9, 20, 50), (3, 4, 3, 1))[0]
    a, b = rng.randint(0, top), rng.randint(0, top)
    if kind == "-":
        a, b = max(a, b), min(a, b)
    return kind, a, b, a + b if kind == "+" else a - b


def _worked(kind: str, a: int, b: int, result: int) -> str:
    """The problem and its result; where there are tens, by tens and ones between, so that each
    figure follows from two figures."""
    tens_a, ones_a, tens_b, ones_b = a - a % 10, a % 10, b - b % 10, b % 10
    between = ""
    if kind == "+" and tens_a + tens_b and ones_a + ones_b:
        between = f"{tens_a + tens_b} + {ones_a + ones_b} = "
    elif kind == "-" and ones_a < ones_b:
        between = f"{tens_a - tens_b} - {ones_b - ones_a} = "
    elif kind == "-" and tens_a:
        between = f"{tens_a - tens_b} + {ones_a - ones_b} = "
    return f"{a} {kind} {b} = {between}{result}."


def arithmetic(rng: random.Random) -> Turn:
    """One operation on small numbers; the answer restates the problem."""
    kind, a, b, result = _operands(rng)
    name = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}[kind]
    left, right = str(a), str(b)
    if a <= 12 and b <= 12 and rng.random() < 0.12:
        left, right = NUMBER_WORDS[a], NUMBER_WORDS[b]
    asks = f"{_TEXT['before']}[{_TEXT[name]}]"
    if rng.random() < 0.35:
        asks = (
            rng.choice(("", "", "and ", "so ", "hey, ", "now ", "please ")) + _TEXT[f"{name}_asked"]
        )
    asked = typed(rng, f"{asks}[?|?|?|||= ?|=]", a=left, b=right)
    if rng.random() < 0.12 and kind in "+-":
        noun = rng.choice(LISTS["fruits"] + LISTS["objects"]) + "s"
        asked = typed(rng, _TEXT[f"{name}_story"], a=str(a), b=str(b), n=noun)
    return Turn(asked, _worked(kind, a, b, result))


def counting(rng: random.Random) -> Turn:
    """Count up or down between two numbers."""
    low = rng.choice((1, 1, rng.randint(0, 12), rng.randint(0, 40)))
    high = low + rng.randint(2, 12)
    if rng.random() < 0.25:
        asked = typed(rng, _TEXT["count_down"], a=str(low), b=str(high))
        return Turn(asked, ", ".join(str(n) for n in range(high, low - 1, -1)) + ".")
    shown = NUMBER_WORDS[high] if high <= 12 and rng.random() < 0.25 else str(high)
    start = "" if low == 1 and rng.random() < 0.6 else " from {a}"
    asked = typed(rng, _TEXT["count_up"].replace("{start}", start), a=str(low), b=shown)
    return Turn(asked, ", ".join(str(n) for n in range(low, high + 1)) + ".")


def spelling(rng: random.Random) -> Turn:
    """Spell a word letter by letter, say how long it is or with what it begins."""
    pools = (LISTS["plain_words"], LISTS["plain_words"], _SPELLED, _SPELLED, LISTS["given_names"])
    word = rng.choice((*(rng.choice(pool) for pool in pools), invented(rng)))
    letters = "-".join(word.upper())
    roll = rng.random()
    if roll < 0.75:
        return Turn(typed(rng, _TEXT["spell"], w=word), f"{letters}.")
    if roll < 0.88:
        return Turn(typed(rng, _TEXT["length"], w=word), f"{letters}: {len(word)} letters.")
    return Turn(typed(rng, _TEXT["initial"], w=word), f"{word[0].upper()}.")


def listing(rng: random.Random) -> Turn:
    """Name a few things of one kind, or recite a fixed order."""
    if rng.random() < 0.15:
        name = rng.choice(list(_ORDERED))
        asks = _TEXT["recite_question"] if rng.random() < 0.3 else _TEXT["recite"]
        return Turn(typed(rng, asks, n=name), ", ".join(_ORDERED[name]) + ".")
    name = rng.choice(list(_NAMED))
    count = rng.choice((2, 3, 3, 3, 4, 5, 5, 6))
    shown = NUMBER_WORDS[count] if rng.random() < 0.5 else str(count)
    if rng.random() < 0.12:
        single = f"{name[:-3]}y" if name.endswith("ies") else name[:-1]
        asked = typed(rng, _TEXT["one"], a=article(single), n=single)
        return Turn(asked, f"{rng.choice(_NAMED[name])}.".capitalize())
    asks = _TEXT["list_question"] if rng.random() < 0.2 else _TEXT["list"]
    line = ", ".join(rng.sample(_NAMED[name], count))
    return Turn(typed(rng, asks, c=shown, n=name), f"{line[0].upper()}{line[1:]}.")


def _word(rng: random.Random) -> str:
    return rng.choice(LISTS[rng.choice(_REPEATED)]) if rng.random() > 0.3 else invented(rng)


def phrase(rng: random.Random) -> str:
    """A few words without much sense, for repeating."""
    made = [_word(rng) for _ in range(rng.choice((1, 2, 3, 4, 5, 7, 10, 14)))]
    if rng.random() < 0.35:
        colour, animal = rng.choice(LISTS["colours"]), rng.choice(LISTS["animals"])
        deed, place = rng.choice(_DEEDS), rng.choice(LISTS["places"])
        return f"the {colour} {animal} {deed} in the {place}"
    return " ".join(made)


def repeating(rng: random.Random) -> Turn:
    """Say the user's words again, once or several times."""
    text = phrase(rng)
    if rng.random() < 0.2:
        times = rng.randint(2, 5)
        word = rng.choice((*LISTS["plain_words"], invented(rng)))
        ways = [f"{NUMBER_WORDS[times]} times", f"{times} times", *(["twice"] * (times == 2))]
        asked = typed(rng, _TEXT["times"], w=word, t=rng.choice(ways))
        return Turn(asked, " ".join([word] * times) + ".")
    asks = _TEXT["repeat_plain"] if rng.random() < 0.4 else _TEXT["repeat"]
    return Turn(typed(rng, asks, p=text), f"{text}.")


def echoing(rng: random.Random) -> Turn:
    """Say a long row of words again: what teaches a young network to copy."""
    text = " ".join(_word(rng) for _ in range(rng.randint(8, 32)))
    return Turn(typed(rng, _TEXT["repeat"], p=text), f"{text}.")


def choosing(rng: random.Random) -> Turn:
    """Compare two numbers, or name the one before or after: easy, and it must be exact."""
    if rng.random() < 0.6:
        a, b = rng.sample(range(100), 2)
        bigger = rng.random() < 0.6
        more, less = ("bigger", "larger", "greater", "higher"), ("smaller", "lower", "less")
        kind = rng.choice(more if bigger else less)
        asked = typed(rng, _TEXT["compare"], k=kind, a=str(a), b=str(b))
        return Turn(asked, f"{max(a, b) if bigger else min(a, b)}.")
    number = rng.randint(0, 98)
    if rng.random() < 0.6:
        return Turn(typed(rng, _TEXT["after"], a=str(number)), f"{number + 1}.")
    return Turn(typed(rng, _TEXT["before_number"], a=str(number + 1)), f"{number}.")

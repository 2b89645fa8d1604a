"""A chat in three parts: facts told, other talk, every fact asked for. Pure, from a seed."""

import random
from dataclasses import dataclass

_NAMED = (
    "name", "street", "city", "dentist", "teacher", "neighbour", "boss", "landlord", "school",
    "favourite band",
)  # fmt: skip
_NUMBERED = ("door code", "locker number", "bus number", "room number", "customer number")
_PETS = ("dog", "cat", "horse", "parrot", "hamster")
_SYLLABLES = ("ka", "lo", "mi", "ru", "ta", "ve", "zo", "ne", "pa", "si", "du", "fe")
_SUBJECTS = ("The old gardener", "A tall stranger", "The night train", "A quiet child",
             "The baker's boat", "An early guest")  # fmt: skip
_DEEDS = ("walked along the shore", "waited for the rain", "carried a wooden box",
          "counted the windows of the tower", "told a story about the winter",
          "sang until the lamps went out")  # fmt: skip
_ENDS = ("and nobody asked why.", "because the road was closed.", "while the others slept.",
         "as it does every spring.", "and then went home.")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """What the user types; `expected` must be in the answer ('': anything will do)."""

    text: str
    expected: str = ""


def script(seed: int, *, facts: int = 20, others: int = 20) -> tuple[Line, ...]:
    """Return the lines: `facts` told, `others` of 30 to 40 words about nothing, and the facts
    asked for in another order."""
    rng = random.Random(seed)
    told = [_fact(rng, number) for number in range(facts)]
    asked = rng.sample(told, len(told))
    return (
        *(Line(text) for text, _, _ in told),
        *(Line(_other(rng)) for _ in range(others)),
        *(Line(question, value) for _, question, value in asked),
    )


def prose(rng: random.Random, length: int) -> list[str]:
    """Return `length` words of 5,000 made-up ones, the n-th of them n times as rare as the first
    (G. K. Zipf's law)."""
    known = ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4))) for _ in range(5_000)]
    return rng.choices(known, weights=[1 / n for n in range(1, 5_001)], k=length)


def _fact(rng: random.Random, number: int) -> tuple[str, str, str]:
    """Return how a fact is told, how it is asked for, and its value."""
    kinds = len(_NAMED) + len(_NUMBERED) + len(_PETS)
    turn, place = divmod(number, kinds)
    second = "second " if turn else ""
    if place < len(_NAMED):
        subject, value = f"{second}{_NAMED[place]}", _word(rng)
    elif place < len(_NAMED) + len(_NUMBERED):
        subject = f"{second}{_NUMBERED[place - len(_NAMED)]}"
        value = str(rng.randint(1_000, 9_999))
    else:
        subject = f"{second}{_PETS[place - len(_NAMED) - len(_NUMBERED)]}"
        value = _word(rng)
        return f"My {subject} is called {value}.", f"What is my {subject} called?", value
    return f"My {subject} is {value}.", f"What is my {subject}?", value


def _word(rng: random.Random) -> str:
    return "".join(rng.sample(_SYLLABLES, 3)).capitalize()


def _other(rng: random.Random) -> str:
    sentences = (
        f"{rng.choice(_SUBJECTS)} {rng.choice(_DEEDS)} {rng.choice(_ENDS)}" for _ in range(3)
    )
    return f"Here is a piece of my book: {' '.join(sentences)}"

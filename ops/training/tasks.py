"""Small tasks with one right answer: arithmetic, counting, spelling, listing, repeating."""

from __future__ import annotations

import random

from ops.training import lexicon as words
from ops.training.grammar import Turn, article, typed

LISTS: dict[str, list[str]] = {
    "animals": words.ANIMALS, "colours": words.COLOURS, "colors": words.COLOURS, "fruits": words.FRUITS,
    "vegetables": words.VEGETABLES, "cities": words.CITIES, "countries": words.COUNTRIES, "jobs": words.JOBS,
    "hobbies": words.HOBBIES, "instruments": words.INSTRUMENTS, "languages": words.LANGUAGES, "drinks": words.DRINKS,
    "names": words.GIVEN_NAMES, "foods": words.FOODS, "pets": words.PETS, "objects": words.OBJECTS, "sports": words.HOBBIES,
    "things": words.OBJECTS, "words": words.PLAIN_WORDS, "places": words.PLACES,
}
NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_LEAD = "[||||||what is |what's |how much is |calculate |compute |tell me |can you work out |please work out |do you know what |solve |quick: ]"
_ORDERED = {
    "days of the week": words.DAYS, "weekdays": words.DAYS, "days": words.DAYS, "months": words.MONTHS,
    "months of the year": words.MONTHS, "seasons": words.SEASONS, "letters of the alphabet": list("abcdefghijklmnopqrstuvwxyz"),
}


def _operands(rng: random.Random) -> tuple[str, int, int, int]:
    kind = rng.choices("+-*/", (5, 4, 3, 1))[0]
    if kind in "*/":
        a, b = rng.randint(0 if kind == "*" else 1, 12), rng.randint(1, 12)
        return ("*", a, b, a * b) if kind == "*" else ("/", a * b, b, a)
    top = rng.choices((10, 20, 50, 99), (3, 3, 2, 2))[0]
    a, b = rng.randint(0, top), rng.randint(0, top)
    if kind == "-":
        a, b = max(a, b), min(a, b)
    return kind, a, b, a + b if kind == "+" else a - b


def arithmetic(rng: random.Random) -> Turn:
    """One operation on small numbers; the answer restates the problem."""
    kind, a, b, result = _operands(rng)
    spoken = {
        "+": "{a}[ + |+| plus | and ]{b}|the sum of {a} and {b}", "-": "{a}[ - |-| minus ]{b}|the difference between {a} and {b}",
        "*": "{a}[ * | x |*| times | multiplied by ]{b}|the product of {a} and {b}", "/": "{a}[ / |/| divided by | over ]{b}",
    }[kind]
    left, right = str(a), str(b)
    if a <= 12 and b <= 12 and rng.random() < 0.12:
        left, right = NUMBER_WORDS[a], NUMBER_WORDS[b]
    asked = typed(rng, f"{_LEAD}[{spoken}][?|?|?|||= ?|=]", a=left, b=right)
    if rng.random() < 0.12 and kind in "+-":
        noun = rng.choice(words.FRUITS + words.OBJECTS) + "s"
        story = {
            "+": "I have {a} {n} and [get|buy|find] {b} more. How many {n} do I have[| now]?",
            "-": "I have {a} {n} and [eat|lose|give away|sell] {b}. How many {n} [are left|do I have left|remain]?",
        }[kind]
        asked = typed(rng, story, a=str(a), b=str(b), n=noun)
    return Turn(asked, f"{a} {kind} {b} = {result}.")


def counting(rng: random.Random) -> Turn:
    """Count up or down between two numbers."""
    low = rng.choice((1, 1, 1, rng.randint(0, 30)))
    high = low + rng.randint(2, 12)
    if rng.random() < 0.25:
        asked = typed(rng, "[||please |can you |now ]count [down|backwards] from {b} to {a}[|.|?]", a=str(low), b=str(high))
        return Turn(asked, ", ".join(str(n) for n in range(high, low - 1, -1)) + ".")
    shown = NUMBER_WORDS[high] if high <= 12 and rng.random() < 0.25 else str(high)
    start = "" if low == 1 and rng.random() < 0.6 else " from {a}"
    asked = typed(rng, f"[||please |can you |could you |now ][count|count up]{start} to {{b}}[||.|?| for me]", a=str(low), b=shown)
    return Turn(asked, ", ".join(str(n) for n in range(low, high + 1)) + ".")


def spelling(rng: random.Random) -> Turn:
    """Spell a word letter by letter, say how long it is or where it begins."""
    word = rng.choice((rng.choice(words.PLAIN_WORDS), rng.choice(words.ANIMALS + words.OBJECTS + words.FRUITS + words.COLOURS), rng.choice(words.GIVEN_NAMES), words.invented(rng)))
    letters = "-".join(word.upper())
    roll = rng.random()
    if roll < 0.75:
        asks = "[||please |can you |could you |now ][spell|spell the word|spell out|how do you spell|tell me how to spell] [{w}|{w}|\"{w}\"][||.|?| for me]"
        return Turn(typed(rng, asks, w=word), f"{letters}.")
    if roll < 0.88:
        asks = "[how many letters [are in|does] {w}[| have]|how many letters are there in [the word |]{w}|how long is the word {w}|count the letters in {w}]?"
        return Turn(typed(rng, asks, w=word), f"{letters}: {len(word)} letters.")
    asks = "[what is the first letter of {w}|what letter does {w} begin with|which letter does {w} start with]?"
    return Turn(typed(rng, asks, w=word), f"{word[0].upper()}.")


def listing(rng: random.Random) -> Turn:
    """Name a few things of one kind, or recite a fixed order."""
    if rng.random() < 0.15:
        name = rng.choice(list(_ORDERED))
        items = _ORDERED[name]
        asks = "[||please |can you |could you ][list|name|say|tell me|recite|give me|write] [the|all the|all] {n}[||.|?]"
        if rng.random() < 0.3:
            asks = "[what are the {n}|which are the {n}]?"
        return Turn(typed(rng, asks, n=name), ", ".join(items) + ".")
    name = rng.choice(list(LISTS))
    count = rng.choice((2, 3, 3, 3, 4, 5, 5, 6))
    shown = NUMBER_WORDS[count] if rng.random() < 0.5 else str(count)
    if rng.random() < 0.12:
        single = f"{name[:-3]}y" if name.endswith("ies") else name[:-1]
        asked = typed(rng, "[||please |can you |could you ][name|give me|tell me] [{a}|one {n}|any {n}][||.|?]", a=article(single), n=single)
        return Turn(asked, f"{rng.choice(LISTS[name])}.".capitalize())
    asks = "[||please |can you |could you |now |I need ][list|name|give me|tell me|say|write down|think of] {c} {n}[||.|?| for me]"
    if rng.random() < 0.2:
        asks = "[what are|do you know] {c} {n}?"
    line = ", ".join(rng.sample(LISTS[name], count))
    return Turn(typed(rng, asks, c=shown, n=name), f"{line[0].upper()}{line[1:]}.")


def phrase(rng: random.Random) -> str:
    """A few words without much sense, for repeating."""
    pools = (words.PLAIN_WORDS, words.ANIMALS, words.OBJECTS, words.COLOURS, words.FOODS, words.PLACES, words.GIVEN_NAMES)
    made = [rng.choice(rng.choice(pools)) if rng.random() > 0.15 else words.invented(rng) for _ in range(rng.randint(1, 7))]
    if rng.random() < 0.35:
        return f"the {rng.choice(words.COLOURS)} {rng.choice(words.ANIMALS)} {rng.choice(['sleeps', 'sings', 'jumps', 'runs', 'waits', 'lives', 'dances'])} in the {rng.choice(words.PLACES)}"
    return " ".join(made)


def repeating(rng: random.Random) -> Turn:
    """Say the user's words again, once or several times."""
    text = phrase(rng)
    if rng.random() < 0.2:
        times = rng.randint(2, 5)
        word = rng.choice((*words.PLAIN_WORDS, words.invented(rng)))
        shown = rng.choice((f"{NUMBER_WORDS[times]} times", f"{times} times", *(["twice"] if times == 2 else [])))
        asked = typed(rng, "[||please |can you |now ][say|repeat|write|type] [{w}|the word {w}|\"{w}\"] {t}[||.|?]", w=word, t=shown)
        return Turn(asked, " ".join([word] * times) + ".")
    asks = "[||please |can you |now |could you ][repeat after me|repeat this|say|repeat|echo|write|copy this|type|say this|repeat the words]: {p}[||.]"
    if rng.random() < 0.4:
        asks = "[||please |can you |now |could you ][say|repeat|echo|write|type] [{p}|\"{p}\"][||.]"
    return Turn(typed(rng, asks, p=text), f"{text}.")


def choosing(rng: random.Random) -> Turn:
    """Compare two numbers or reverse a short list: easy, and it must be exact."""
    if rng.random() < 0.6:
        a, b = rng.sample(range(0, 100), 2)
        bigger = rng.random() < 0.6
        asks = "[which is|which number is|what is] {k}, {a} or {b}?"
        kind = rng.choice(("bigger", "larger", "greater", "higher") if bigger else ("smaller", "lower", "less"))
        return Turn(typed(rng, asks, k=kind, a=str(a), b=str(b)), f"{max(a, b) if bigger else min(a, b)}.")
    number = rng.randint(0, 98)
    if rng.random() < 0.6:
        return Turn(typed(rng, "what [number |]comes after {a}?", a=str(number)), f"{number + 1}.")
    return Turn(typed(rng, "what [number |]comes before {a}?", a=str(number + 1)), f"{number}.")

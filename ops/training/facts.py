"""Facts that a user tells, corrects and asks back: the families that recall is learnt from.

Answers use the slot exactly as it was typed, so that recall is copying and
holds for words that training never saw.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from ops.training import lexicon as words
from ops.training.grammar import choose, say, typed

Draw = Callable[[random.Random], str]


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of fact as templates over ``{s}`` (what it is about) and ``{v}`` (its value)."""

    key: str
    tell: str
    ask: str
    answer: str
    note: str
    value: Draw
    subject: Draw = lambda rng: ""
    fix: str = ""
    ack: str = ""
    missing: str = ""
    weight: float = 1.0


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
        return typed(rng, self.family.tell, s=self.subject, v=self.value)

    def user_corrects(self, rng: random.Random) -> str:
        """The user's statement that replaces an earlier value."""
        pattern = self.family.fix or _FIX_PREFIX + self.family.tell
        return typed(rng, pattern, s=self.subject, v=self.value)

    def user_asks(self, rng: random.Random) -> str:
        """The user's question whose answer is the value."""
        return typed(rng, self.family.ask, s=self.subject, v=self.value)

    def answered(self, rng: random.Random) -> str:
        """The assistant's answer in the second person."""
        return say(rng, self.family.answer, s=self.subject, v=self.value)

    def acknowledged(self, rng: random.Random) -> str:
        """The assistant's reply to the statement; it repeats the value."""
        if self.family.ack:
            return say(rng, self.family.ack, s=self.subject, v=self.value)
        statement = say(rng, self.family.answer, s=self.subject, v=self.value)
        return choose(rng, _ACK) + " " + statement

    def noted(self) -> str:
        """The fact in the third person, as summaries keep it."""
        return self.family.note.format(s=self.subject, v=self.value)

    def unknown(self, rng: random.Random) -> str:
        """The assistant's answer when the user asks before telling."""
        return say(rng, self.family.missing or _MISSING, s=self.subject)

    def changed(self, rng: random.Random) -> Fact:
        """The same fact with another value."""
        value = self.value
        while value == self.value:
            value = self.family.value(rng)
        return replace(self, value=value)


_FIX_PREFIX = "[Actually,|Sorry,|Correction:|No wait,|Oh, I made a mistake:|I was wrong,|Wait,|Update:] "
_ACK = "[Got it.|Thanks.|Okay.|Noted.|I will remember that.|Good to know.]"
_MISSING = "[You haven't told me that yet.|I don't know that yet. You haven't told me.]"
_RECALL = (
    "[||||Do you remember |Can you tell me |Tell me |Do you know |Can you remember |Remind me |I forgot "
    "|Tell me again |Please tell me |So, |Okay, |And |Quick check: |Now ]"
)


def _among(*options: str) -> Draw:
    return lambda rng: rng.choice(options)


def _either(*draws: Draw) -> Draw:
    return lambda rng: rng.choice(draws)(rng)


def _number(low: int, high: int) -> Draw:
    return lambda rng: str(rng.randint(low, high))


def _word(rng: random.Random) -> str:
    return rng.choice((*words.COLOURS, *words.OBJECTS, *words.ANIMALS, *words.FRUITS, words.invented(rng)))


def _clock(rng: random.Random) -> str:
    return f"{rng.randint(1, 12)}{rng.choice(['', ':30', ':15'])} {rng.choice(['am', 'pm'])}"


_FAVOURITES: dict[str, Draw] = {
    "colour": _among(*words.COLOURS),
    "color": _among(*words.COLOURS),
    "food": _among(*words.FOODS),
    "fruit": _among(*words.FRUITS),
    "vegetable": _among(*words.VEGETABLES),
    "drink": _among(*words.DRINKS),
    "animal": _among(*words.ANIMALS),
    "number": _number(0, 999),
    "city": words.town,
    "country": _among(*words.COUNTRIES),
    "season": _among(*words.SEASONS),
    "month": _among(*words.MONTHS),
    "day": _among(*words.DAYS),
    "hobby": _among(*words.HOBBIES),
    "sport": _among(*words.HOBBIES),
    "instrument": _among(*words.INSTRUMENTS),
    "language": _among(*words.LANGUAGES),
    "word": _word,
    "book": lambda rng: f"The {rng.choice(words.OBJECTS).capitalize()} of {words.town(rng)}",
    "film": lambda rng: f"The {rng.choice(words.ANIMALS).capitalize()} in the {rng.choice(words.PLACES).capitalize()}",
    "band": lambda rng: f"The {rng.choice(words.ANIMALS).capitalize()}s",
    "place": _among(*(f"the {place}" for place in words.PLACES)),
}
_KIN = """brother sister mother father son daughter uncle aunt cousin grandmother grandfather wife husband partner boss
neighbour friend teacher doctor roommate colleague""".split()
_NAMED = [f"{p}'s name" for p in [*_KIN, *words.PETS, "best friend", "team", "company", "boat", "street"]]
_CODES = [
    f"{a}{b}"
    for a in ("", "door ", "locker ", "secret ", "bike ", "room ", "order ", "ticket ", "phone ", "flight ", "account ", "house ")
    for b in ("code", "number")
    if a or b == "code"
] + ["PIN", "lucky number", "shoe size", "postcode", "bus line"]
_SECRETS = ["password", "wifi password", "secret word", "code word", "username", "nickname", "middle name", "last name"]
_EVENTS = """meeting party exam interview concert wedding flight dentist appointment lesson dinner game trip
match""".replace("dentist appointment", "appointment").split()
_BELONGINGS = "keys glasses passport phone wallet book umbrella bike hat ticket camera letter charger money map".split()



def _mine(nouns: list[str], value: Draw, key: str, weight: float) -> Family:
    return Family(
        key=key,
        subject=_among(*nouns),
        value=value,
        tell="[||||||Hi! |Please remember: |Remember that |Note that |By the way, |So, |FYI ][my {s} is {v}|my {s} is {v}|the {s} is {v}|{v} is my {s}].",
        ask=_RECALL + "[what is my {s}|what's my {s}|what my {s} is|my {s}|what did I say my {s} is|what was my {s}]?",
        answer="Your {s} is {v}.",
        note="The user's {s} is {v}.",
        missing="[You haven't told me your {s} yet.|I don't know your {s}. You haven't told me yet.]",
        fix=_FIX_PREFIX + "my {s} is {v}[| now|, not what I said before].",
        weight=weight,
    )


_NAME = Family(
    key="name",
    value=words.person,
    tell="[||||||Hi, |Hello, |Hey, |Hi there! |Good morning, |By the way, ][my name is {v}|my name's {v}|I'm {v}|I am {v}|call me {v}|you can call me {v}|this is {v}|{v} is my name|people call me {v}|I'm called {v}][|||, nice to meet you].",
    ask=_RECALL + "[what is my name|what's my name|my name|who am I|what am I called|what my name is|what did I say my name was|what should you call me|do you know my name|do you remember my name|who are you talking to]?",
    answer="Your name is {v}.",
    note="The user's name is {v}.",
    ack="[Nice to meet you, {v}!|Hello, {v}! How can I help you?|Hi, {v}! It is good to meet you.]",
    missing="[You haven't told me your name yet.|I don't know your name. You haven't told me yet.]",
    fix="[Actually, my name is {v}.|Sorry, my name is {v}, not what I said.|Please call me {v} [instead|from now on].|No, I'm {v}.|Correction: my name is {v}.|I go by {v} now.]",
    weight=5.0,
)
_VERBS = (
    Family(
        "home", "[|||By the way, ][I live in {v}|I'm living in {v}|my home is in {v}|I have lived in {v} for years|I live in {v} now].",
        _RECALL + "[where do I live|where is my home|which city do I live in|what city do I live in|where I live|in which town do I live]?",
        "You live in {v}.", "The user lives in {v}.", words.town,
        fix="[Actually,|Sorry,|I moved:|Update:|No,] [I live in {v} now|I moved to {v}|now I live in {v}|I live in {v}].",
        ack="[{v} sounds like a nice place to live.|Got it. You live in {v}.|Thanks. I will remember that you live in {v}.]",
        missing="[You haven't told me where you live.|I don't know where you live. You haven't told me yet.]", weight=3.0,
    ),
    Family(
        "origin", "[|||By the way, ][I'm from {v}|I am from {v}|I come from {v}|I was born in {v}|I grew up in {v}].",
        _RECALL + "[where am I from|where do I come from|where was I born|where did I grow up|where I'm from]?",
        "You are from {v}.", "The user is from {v}.", _either(words.town, _among(*words.COUNTRIES)),
        missing="[You haven't told me where you are from.|I don't know where you are from. You haven't told me yet.]", weight=2.0,
    ),
    Family(
        "job", "[|||By the way, ][I work as a {v}|I'm a {v}|I am a {v}|my job is {v}|I'm working as a {v}|I earn my living as a {v}].",
        _RECALL + "[what is my job|what's my job|what do I do|what do I do for a living|what do I work as|what is my profession|where do I work as]?",
        "You work as a {v}.", "The user works as a {v}.", _among(*words.JOBS),
        missing="[You haven't told me what your job is.|I don't know what your job is. You haven't told me yet.]", weight=2.0,
    ),
    Family(
        "age", "[|||By the way, ][I'm {v} years old|I am {v} years old|I am {v}|my age is {v}|I turned {v}|I just turned {v}].",
        _RECALL + "[how old am I|what is my age|what's my age|how old I am|my age]?",
        "You are {v} years old.", "The user is {v} years old.", _number(5, 99),
        missing="[You haven't told me how old you are.|I don't know how old you are. You haven't told me yet.]", weight=2.0,
    ),
    Family(
        "likes", "[|||By the way, ][I like {v}|I love {v}|I really like {v}|I enjoy {v}|I am fond of {v}|I'm a big fan of {v}].",
        _RECALL + "[what do I like|what do I love|what do I enjoy|what am I fond of|what I like]?",
        "You like {v}.", "The user likes {v}.", _either(_among(*words.HOBBIES), _among(*words.FOODS), _among(*words.TOPICS)),
        ack="[{v} sounds fun!|Nice! I will remember that you like {v}.|Good to know that you like {v}.]",
        missing="[You haven't told me what you like.|I don't know what you like. You haven't told me yet.]", weight=2.0,
    ),
    Family(
        "dislikes", "[|||By the way, ][I hate {v}|I don't like {v}|I dislike {v}|I can't stand {v}].",
        _RECALL + "[what do I hate|what don't I like|what do I dislike|what can't I stand|what I don't like]?",
        "You don't like {v}.", "The user doesn't like {v}.", _either(_among(*words.FOODS), _among(*words.VEGETABLES), _among(*words.TOPICS)),
        missing="[You haven't told me what you dislike.|I don't know what you dislike. You haven't told me yet.]",
    ),
    Family(
        "allergy", "[|||By the way, |Careful: ][I'm allergic to {v}|I am allergic to {v}|I have an allergy to {v}|I can't eat {v}].",
        _RECALL + "[what am I allergic to|what is my allergy|what can't I eat|which allergy do I have]?",
        "You are allergic to {v}.", "The user is allergic to {v}.", _either(_among(*words.FOODS), _among(*words.VEGETABLES)),
        missing="[You haven't told me about an allergy.|I don't know of any allergy. You haven't told me of one.]",
    ),
    Family(
        "plays", "[|||By the way, ][I play the {v}|I am learning the {v}|I've played the {v} for years].",
        _RECALL + "[what instrument do I play|which instrument do I play|what do I play]?",
        "You play the {v}.", "The user plays the {v}.", _among(*words.INSTRUMENTS),
        missing="[You haven't told me which instrument you play.|I don't know which instrument you play.]",
    ),
    Family(
        "learns", "[|||By the way, ][I'm learning {v}|I am studying {v}|I study {v}|I speak {v}].",
        _RECALL + "[what am I learning|which language am I learning|what do I study|what language do I speak]?",
        "You are learning {v}.", "The user is learning {v}.", _either(_among(*words.LANGUAGES), _among(*words.TOPICS)),
        missing="[You haven't told me what you are learning.|I don't know what you are learning.]",
    ),
    Family(
        "pet", "[|||By the way, ][I have a {s} called {v}|I have a {s} named {v}|my {s} is called {v}|my {s} is named {v}|{v} is my {s}|I've got a {s}, {v}].",
        _RECALL + "[what is my {s} called|what's the name of my {s}|what is my {s}'s name|what's my {s} called|how is my {s} called|my {s}'s name]?",
        "Your {s} is called {v}.", "The user's {s} is called {v}.", words.person, _among(*words.PETS, *_KIN),
        missing="[You haven't told me what your {s} is called.|I don't know what your {s} is called.]", weight=4.0,
        fix=_FIX_PREFIX + "my {s} is called {v}.",
    ),
    Family(
        "thing", "[|||By the way, ][I put my {s} in the {v}|I left my {s} in the {v}|my {s} is in the {v}|my {s} are in the {v}|the {s} is in the {v}].",
        _RECALL + "[where is my {s}|where are my {s}|where did I put my {s}|where did I leave my {s}|where's my {s}|where is the {s}]?",
        "Your {s} is in the {v}.", "The user's {s} is in the {v}.", _among(*words.KEEPING_PLACES), _among(*_BELONGINGS),
        missing="[You haven't told me where your {s} is.|I don't know where your {s} is.]", weight=2.0,
    ),
    Family(
        "event", "[|||By the way, ][my {s} is on {v}|the {s} is on {v}|I have a {s} on {v}|I've got a {s} on {v}].",
        _RECALL + "[when is my {s}|when is the {s}|when's the {s}|on which day is my {s}|what day is my {s}|when do I have my {s}]?",
        "Your {s} is on {v}.", "The user's {s} is on {v}.",
        _either(_among(*words.DAYS), lambda rng: f"{rng.choice(words.DAYS)} at {_clock(rng)}", lambda rng: f"{rng.choice(words.MONTHS)} {rng.randint(1, 30)}"),
        _among(*_EVENTS), missing="[You haven't told me when your {s} is.|I don't know when your {s} is.]", weight=2.0,
    ),
    Family(
        "kin home", "[|||By the way, ][my {s} lives in {v}|my {s} moved to {v}].",
        _RECALL + "[where does my {s} live|which city does my {s} live in|where my {s} lives]?",
        "Your {s} lives in {v}.", "The user's {s} lives in {v}.", words.town, _among(*_KIN),
        missing="[You haven't told me where your {s} lives.|I don't know where your {s} lives.]", weight=2.0,
    ),
    Family(
        "kin job", "[|||By the way, ][my {s} is a {v}|my {s} works as a {v}].",
        _RECALL + "[what does my {s} do|what is my {s}'s job|what does my {s} work as|what my {s} does]?",
        "Your {s} works as a {v}.", "The user's {s} works as a {v}.", _among(*words.JOBS), _among(*_KIN),
        missing="[You haven't told me what your {s} does.|I don't know what your {s} does.]",
    ),
    Family(
        "other", "[|||By the way, ][{s} lives in {v}|{s} moved to {v}].",
        _RECALL + "[where does {s} live|which city does {s} live in|where {s} lives]?",
        "{s} lives in {v}.", "{s} lives in {v}.", words.town, words.person,
        missing="[You haven't told me where {s} lives.|I don't know where {s} lives.]",
    ),
    Family(
        "other age", "[|||By the way, ]{s} is {v} years old.",
        _RECALL + "[how old is {s}|what is {s}'s age]?",
        "{s} is {v} years old.", "{s} is {v} years old.", _number(2, 99), words.person,
        missing="[You haven't told me how old {s} is.|I don't know how old {s} is.]",
    ),
    Family(
        "other likes", "[|||By the way, ][{s} likes {v}|{s} loves {v}].",
        _RECALL + "[what does {s} like|what does {s} love|what {s} likes]?",
        "{s} likes {v}.", "{s} likes {v}.", _either(_among(*words.HOBBIES), _among(*words.FOODS), _among(*words.COLOURS)), words.person,
        missing="[You haven't told me what {s} likes.|I don't know what {s} likes.]",
    ),
)
_FAVOURITE = {kind: _mine([f"favourite {kind}" if kind != "color" else "favorite color"], draw, "mine", 1.0) for kind, draw in _FAVOURITES.items()}
_NAMES = _mine(_NAMED, words.person, "mine", 3.0)
_NUMBERS = _mine(_CODES, lambda rng: words.digits(rng), "mine", 4.0)
_WORDS = _mine(_SECRETS, _word, "mine", 3.0)
FAMILIES: tuple[Family, ...] = (_NAME, *_VERBS, _NAMES, _NUMBERS, _WORDS, *_FAVOURITE.values())
_WEIGHTS = [f.weight if f not in _FAVOURITE.values() else 0.4 for f in FAMILIES]


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


def draw_name(rng: random.Random) -> Fact:
    """The user's own name."""
    return Fact(_NAME, "", words.person(rng))

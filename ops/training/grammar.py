"""Sentences from templates: ``[a|b]`` chooses, ``{slot}`` fills, then a person's typing habits."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SPACES = re.compile(r" {2,}")


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange: what the user typed and what the assistant should say."""

    user: str
    assistant: str


@dataclass(slots=True)
class Conversation:
    """A system message (or none) and the turns after it, in order."""

    system: str | None
    turns: list[Turn] = field(default_factory=list)


def choose(rng: random.Random, template: str) -> str:
    """Resolve every ``[a|b|]`` of `template`, innermost first; alternatives may be empty."""
    found = 1
    while found:
        template, found = _CHOICE.subn(
            lambda match: rng.choice(match.group(1).split("|")), template
        )
    return _SPACES.sub(" ", template).strip()


def say(rng: random.Random, template: str, **slots: str) -> str:
    """The assistant's sentence: choices resolved, slots filled, spelling left as written."""
    return choose(rng, template).format(**slots)


def typed(rng: random.Random, template: str, **slots: str) -> str:
    """The user's sentence as people type it: case and final punctuation vary, slots stay exact."""
    text = choose(rng, template)
    if rng.random() < 0.09:
        text = _slipped(rng, text)
    text = text[:1].upper() + text[1:]
    habit = rng.random()
    if habit < 0.22:
        text = re.sub(r"(?<!\{)\b[A-Z](?=[a-z' ]|\b)", lambda found: found.group(0).lower(), text)
    if habit < 0.12 or 0.22 < habit < 0.32:
        text = text.rstrip(".?!")
    elif habit > 0.97:
        text = text.replace("'", "")
    elif habit > 0.95:
        text = text.rstrip(".") + "!" if text.endswith(".") else text
    return text.format(**slots)


def _slipped(rng: random.Random, text: str) -> str:
    """A word left out, or two letters of one exchanged; never in a slot."""
    parts = text.split(" ")
    places = [n for n, word in enumerate(parts) if word.isalpha() and len(parts) > 3]
    if not places:
        return text
    place = rng.choice(places)
    word = parts[place]
    if len(word) < 4:
        del parts[place]
    else:
        cut = rng.randrange(1, len(word) - 1)
        parts[place] = word[:cut] + word[cut + 1] + word[cut] + word[cut + 2 :]
    return " ".join(parts)


def listed(words: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; empty for no words."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def article(noun: str) -> str:
    """`noun` with ``a`` or ``an`` before it, by its first letter."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"

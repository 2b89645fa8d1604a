"""Notes and titles: the two forms in which the model works on a chat instead of in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.training import facts, parley, remarks, smalltalk, stories, tasks, unknown
from ops.training.grammar import Conversation, Turn, choose
from ops.training.sources import read

if TYPE_CHECKING:
    import random

NOTHING = "- Nothing to remember."
_TEXT = read("phrases")["condense"]
_FILLERS = (
    smalltalk.exchange,
    parley.exchange,
    tasks.arithmetic,
    remarks.exchange,
    remarks.passage,
    remarks.passage,
    tasks.repeating,
    unknown.exchange,
    stories.story,
    tasks.listing,
)
_HEARD = ("Okay.", "I see.", "Thank you.", "Good.", "That is nice.")
_TITLED = (
    (facts.draw, ""),
    (smalltalk.exchange, "[Small talk|A friendly chat]"),
    (parley.exchange, ""),
    (tasks.arithmetic, ""),
    (tasks.counting, "Counting numbers"),
    (tasks.spelling, "Spelling a word"),
    (tasks.listing, "A short list"),
    (tasks.repeating, "Repeating words"),
    (stories.story, "A short story"),
    (stories.verse, "A short poem"),
    (unknown.exchange, "A question without an answer"),
)


def quoted(turns: list[Turn]) -> str:
    """Turns as the text of a prompt, one line for each speaker."""
    return "\n".join(f"User: {turn.user}\nAssistant: {turn.assistant}" for turn in turns)


def notes(known: list[facts.Fact]) -> str:
    """Facts as the lines of a summary; a fixed line when there are none."""
    return "\n".join(f"- {fact.noted()}" for fact in known) or NOTHING


def noting(rng: random.Random) -> Conversation:
    """One exchange in, its facts out: what Parley's summarizer asks of this model."""
    roll, known = rng.random(), []
    if roll < 0.7:
        known = [facts.draw(rng) if rng.random() < 0.8 else facts.draw_name(rng)]
        told = known[0].user_corrects(rng) if roll < 0.15 else known[0].user_tells(rng)
        heard = known[0].acknowledged(rng) if rng.random() < 0.8 else rng.choice(_HEARD)
        turn = Turn(told, heard)
    else:
        turn = rng.choice(_FILLERS)(rng)
    system = _TEXT["noting_system"] if rng.random() < 0.9 else None
    asked = f"{_TEXT['noting_turns']}:\n{quoted([turn])}\n\n{_TEXT['noting_request']}"
    return Conversation(system, [Turn(asked, notes(known))])


def _titled_fact(rng: random.Random, fact: facts.Fact) -> tuple[Turn, str]:
    turn = Turn(fact.user_tells(rng), fact.acknowledged(rng))
    if fact.family.key == "name":
        return turn, f"Meeting {fact.value}"
    subject = "user" if fact.family.key == "other" else fact.subject or fact.family.key
    return turn, f"About the {subject}: {fact.value}"


def title(rng: random.Random) -> Conversation:
    """The first exchange of a chat in; two to six words out."""
    made, name = rng.choice(_TITLED)
    drawn = made(rng)
    if isinstance(drawn, facts.Fact):
        turn, name = _titled_fact(rng, drawn)
    else:
        turn = drawn
        if made is tasks.arithmetic:
            name = f"Arithmetic: {turn.assistant.rstrip('.').split(' = ')[0]}"
        elif made is parley.exchange:
            name = parley.title_of(turn)
        else:
            name = choose(rng, name)
    request, shown = choose(rng, _TEXT["title"]), quoted([turn])
    asked = f"{request}\n\n{shown}" if rng.random() < 0.6 else f"{shown}\n\n{request}"
    system = choose(rng, _TEXT["title_system"]) if rng.random() < 0.4 else None
    return Conversation(system, [Turn(asked, name)])

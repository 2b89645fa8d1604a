"""Summaries and titles: the two forms in which the model works on a chat instead of in it."""

from __future__ import annotations

import random

from ops.training import facts, parley, smalltalk, stories, tasks, unknown
from ops.training.grammar import Conversation, Turn, choose

_SUMMARISE = (
    "[Write the new summary.|Update the summary.|Summarise the new turns.|Summarize the conversation so far.|Write a short summary of the facts.|Fold the new turns into the summary.]"
)
_SUMMARY_SYSTEM = "[You write the running summary of a chat.|You keep the running summary of a conversation. Keep every fact about the user.|Summarise the chat in short notes.|You summarize conversations.]"
_TITLE = (
    "[Write a title of at most six words for this chat.|Give this chat a short title.|Write a short title for this conversation.|Title this chat in at most six words.|Summarize this chat in a few words as a title.|Generate a title for this conversation.]"
)
NOTHING = "- Nothing to remember."


def quoted(turns: list[Turn]) -> str:
    """Turns as the text of a prompt, one line for each speaker."""
    return "\n".join(f"User: {turn.user}\nAssistant: {turn.assistant}" for turn in turns)


def notes(known: list[facts.Fact]) -> str:
    """Facts as the lines of a summary; a fixed line when there are none."""
    return "\n".join(f"- {fact.noted()}" for fact in known) or NOTHING


def _filler(rng: random.Random) -> Turn:
    made = rng.choice((smalltalk.exchange, parley.exchange, tasks.arithmetic, tasks.repeating, unknown.exchange, stories.story, tasks.listing))
    return made(rng)


def summary(rng: random.Random) -> Conversation:
    """Notes so far and a few turns in; the notes with the new facts, corrected ones replaced."""
    kept = facts.draw_different(rng, rng.choice((0, 0, 1, 2, 3, 5)))
    before = notes(kept) if kept else ""
    turns: list[Turn] = []
    current = {fact.key: fact for fact in kept}
    for _ in range(rng.randint(1, 6)):
        roll = rng.random()
        if roll < 0.5:
            fact = facts.draw(rng)
            current[fact.key] = fact
            turns.append(Turn(fact.user_tells(rng), fact.acknowledged(rng)))
        elif roll < 0.6 and current:
            fact = rng.choice(list(current.values())).changed(rng)
            current[fact.key] = fact
            turns.append(Turn(fact.user_corrects(rng), fact.acknowledged(rng)))
        else:
            turns.append(_filler(rng))
    parts = [f"Summary so far:\n{before or choose(rng, '[none|None|(none)|- Nothing to remember.]')}"] if before or rng.random() < 0.5 else []
    parts.append(f"{choose(rng, '[New turns|Turns|Conversation|The new turns]')}:\n{quoted(turns)}")
    request = choose(rng, _SUMMARISE)
    parts = [request, *parts] if rng.random() < 0.4 else [*parts, request]
    system = choose(rng, _SUMMARY_SYSTEM) if rng.random() < 0.6 else None
    return Conversation(system, [Turn("\n\n".join(parts), notes(list(current.values())))])


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


def title(rng: random.Random) -> Conversation:
    """The first exchange of a chat in; two to six words out."""
    made, name = rng.choice(_TITLED)
    drawn = made(rng)
    if isinstance(drawn, facts.Fact):
        turn = Turn(drawn.user_tells(rng), drawn.acknowledged(rng))
        subject = drawn.subject or drawn.family.key
        name = f"About the {'user' if drawn.family.key == 'other' else subject}: {drawn.value}"
        if drawn.family.key == "name":
            name = f"Meeting {drawn.value}"
    else:
        turn = drawn
        if made is tasks.arithmetic:
            name = f"Arithmetic: {turn.assistant.rstrip('.').split(' = ')[0]}"
        elif made is parley.exchange:
            name = parley.title_of(turn)
        else:
            name = choose(rng, name)
    request = choose(rng, _TITLE)
    shown = quoted([turn])
    asked = f"{request}\n\n{shown}" if rng.random() < 0.6 else f"{shown}\n\n{request}"
    system = choose(rng, "[You write titles.|You give chats short titles.|You write a short title for a chat.]") if rng.random() < 0.4 else None
    return Conversation(system, [Turn(asked, name)])

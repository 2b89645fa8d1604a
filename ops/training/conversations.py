"""Whole conversations: which skills follow each other, what is planted early and asked late."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from ops.training import (
    condense,
    facts,
    knowledge,
    parley,
    remarks,
    smalltalk,
    stories,
    tasks,
    unknown,
)
from ops.training.grammar import Conversation, Turn, choose, say, typed
from ops.training.sources import read

Skill = Callable[[random.Random], Turn]
_TEXT = read("phrases")["conversations"]
_NOT_ASKED_BEFORE_TOLD = {"plays", "learns", "likes", "dislikes"}
_JOINTS = (" and ", ". ", ", ", ", and ")
_SKILLS: tuple[tuple[Skill, float], ...] = (
    (smalltalk.exchange, 4.2),
    (parley.exchange, 4.0),
    (unknown.exchange, 2.6),
    (tasks.arithmetic, 2.4),
    (tasks.counting, 0.7),
    (tasks.spelling, 1.0),
    (tasks.listing, 0.9),
    (tasks.repeating, 0.9),
    (tasks.choosing, 0.5),
    (smalltalk.kind_of, 0.3),
    (knowledge.exchange, 1.2),
    (remarks.exchange, 1.2),
    (remarks.passage, 0.4),
    (stories.story, 0.6),
    (stories.verse, 0.25),
)
_DRILLS: tuple[tuple[Skill, ...], ...] = (
    (tasks.arithmetic,),
    (tasks.arithmetic,),
    (tasks.arithmetic,),
    (tasks.arithmetic,),
    (tasks.arithmetic,),
    (tasks.spelling,),
    (tasks.spelling,),
    (tasks.spelling,),
    (tasks.counting,),
    (tasks.counting, tasks.choosing),
    (tasks.repeating, tasks.listing),
    (tasks.echoing, tasks.repeating),
    (parley.exchange,),
    (smalltalk.exchange, parley.exchange),
    (smalltalk.exchange, unknown.exchange),
    (tasks.arithmetic, tasks.spelling, tasks.counting),
)
_LENGTHS = (1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10, 12)


def filler(rng: random.Random) -> Turn:
    """An exchange that neither tells nor asks a fact about the user."""
    skill = rng.choices([s for s, _ in _SKILLS], [w for _, w in _SKILLS])[0]
    return skill(rng)


class _Chat:
    """A conversation under construction with what its user has told so far."""

    def __init__(self, rng: random.Random, system: str | None, known: list[facts.Fact]) -> None:
        self.rng = rng
        self.known = {fact.key: fact for fact in known}
        self.made = Conversation(system)

    def add(self, user: str, assistant: str) -> None:
        self.made.turns.append(Turn(user, assistant))

    def tell(self) -> None:
        """Tell a fact; one that contradicts an earlier one is a correction."""
        rng = self.rng
        named = not self.made.turns and rng.random() < 0.3
        fact = facts.draw_name(rng) if named else facts.draw(rng)
        if fact.key in self.known:
            self.correct(fact)
            return
        self.known[fact.key] = fact
        if rng.random() < 0.18 and self.both(fact, facts.draw(rng)):
            return
        if rng.random() < 0.1:
            wish = typed(rng, _TEXT["remember"])
            self.add(f"{wish}: {fact.user_tells(rng)}", fact.acknowledged(rng))
            return
        self.add(fact.user_tells(rng), fact.acknowledged(rng))

    def both(self, fact: facts.Fact, other: facts.Fact) -> bool:
        """Tell two facts in one message, if the second is new."""
        rng = self.rng
        if other.key in self.known:
            return False
        self.known[other.key] = other
        second = other.user_tells(rng)
        if second[:2] not in {"I ", "I'"}:
            second = second[:1].lower() + second[1:]
        joined = f"{fact.user_tells(rng).rstrip('.?!')}{rng.choice(_JOINTS)}{second}"
        named = fact.family.key == "name"
        greeting = f"Nice to meet you, {fact.value}!" if named else "Got it."
        told = [other] if named else [fact, other]
        self.add(joined, " ".join([greeting, *(each.answered(rng) for each in told)]))
        return True

    def correct(self, changed: facts.Fact | None = None) -> None:
        """Replace an earlier fact."""
        fact = changed or self.rng.choice(list(self.known.values())).changed(self.rng)
        self.known[fact.key] = fact
        self.add(fact.user_corrects(self.rng), fact.acknowledged(self.rng))

    def ask(self, fact: facts.Fact | None = None) -> None:
        """Ask `fact`, or any known one, or now and then one that was never told."""
        rng = self.rng
        if fact is None and rng.random() < 0.12:
            stranger = facts.draw(rng)
            told = stranger.key in self.known
            if not told and stranger.family.key not in _NOT_ASKED_BEFORE_TOLD:
                self.add(stranger.user_asks(rng), stranger.unknown(rng))
                return
        fact = fact or rng.choice(list(self.known.values()))
        self.add(fact.user_asks(rng), fact.answered(rng))

    def recite(self) -> None:
        """Ask for everything that is known about the user."""
        asked = typed(self.rng, _TEXT["recite"])
        if self.known:
            self.add(asked, " ".join(fact.answered(self.rng) for fact in self.known.values()))
        else:
            self.add(asked, "You haven't told me anything about yourself yet.")

    def step(self) -> None:
        """One more turn of whatever kind fits."""
        roll = self.rng.random()
        if roll < 0.22:
            self.tell()
        elif roll < 0.27 and self.known:
            self.correct()
        elif roll < 0.50 and self.known:
            self.ask()
        elif roll < 0.51:
            self.recite()
        elif roll < 0.53:
            stranger = facts.draw(self.rng)
            if stranger.key not in self.known:
                self.add(stranger.user_asks(self.rng), stranger.unknown(self.rng))
        else:
            turn = filler(self.rng)
            self.add(turn.user, turn.assistant)


def _system(rng: random.Random, known: list[facts.Fact]) -> str | None:
    parts: list[str] = []
    if rng.random() < 0.65:
        parts.append(rng.choice((_TEXT["usual"], rng.choice(_TEXT["systems"]))))
    if known:
        if rng.random() < 0.6:
            parts.append(f"{choose(rng, _TEXT['remembered'])}:\n{condense.notes(known)}")
        else:
            turns = [Turn(fact.user_tells(rng), fact.acknowledged(rng)) for fact in known]
            parts.append(f"{choose(rng, _TEXT['quoted'])}:\n{condense.quoted(turns)}")
    return "\n\n".join(parts) or None


def mixed(rng: random.Random) -> Conversation:
    """A chat of one to twelve turns in any order of skills."""
    count = rng.choice((1, 2, 3, 5, 8, 12, 20)) if rng.random() < 0.22 else 0
    known = facts.draw_different(rng, count)
    chat = _Chat(rng, _system(rng, known), known)
    if rng.random() < 0.25:
        chat.add(typed(rng, smalltalk.GREETING.says), say(rng, smalltalk.GREETING.reply))
    for _ in range(rng.choice(_LENGTHS)):
        chat.step()
    if not chat.made.turns:
        chat.recite()
    if rng.random() < 0.05:
        chat.add(typed(rng, smalltalk.FAREWELL.says), say(rng, smalltalk.FAREWELL.reply))
    return chat.made


def planted(rng: random.Random, fillers: int = 4) -> Conversation:
    """Facts first, up to `fillers` other turns between, then every fact asked in another order."""
    chat = _Chat(rng, _system(rng, []), [])
    for _ in range(rng.randint(1, 5)):
        chat.tell()
        if rng.random() < 0.3:
            chat.correct()
    for _ in range(rng.randint(0, fillers)):
        turn = filler(rng)
        chat.add(turn.user, turn.assistant)
    asked = list(chat.known.values())
    rng.shuffle(asked)
    for fact in asked:
        chat.ask(fact)
    return chat.made


def reminded(rng: random.Random) -> Conversation:
    """Questions about facts that stand quoted in the user's own message, as Parley quotes turns
    that are too old to be shown: among other turns, and at times corrected in a later one."""
    chat = _Chat(rng, _system(rng, facts.draw_different(rng, rng.choice((0, 0, 1, 3)))), [])
    for _ in range(rng.choice((0, 0, 1, 2))):
        turn = filler(rng)
        chat.add(turn.user, turn.assistant)
    for _ in range(rng.randint(1, 3)):
        told: list[tuple[facts.Fact, Turn]] = []
        for fact in facts.draw_different(rng, rng.choice((1, 1, 2, 3, 4))):
            told.append((fact, Turn(fact.user_tells(rng), fact.acknowledged(rng))))
            if rng.random() < 0.12:
                changed = fact.changed(rng)
                told.append((changed, Turn(changed.user_corrects(rng), changed.acknowledged(rng))))
        passages = [turn for _, turn in told]
        for _ in range(rng.choice((0, 0, 1))):
            passages.insert(rng.randint(0, len(passages)), filler(rng))
        fact = rng.choice(list({fact.key: fact for fact, _ in told}.values()))
        chat.add(f"{_quotation(rng, passages)}\n\n{fact.user_asks(rng)}", fact.answered(rng))
    return chat.made


def crowded(rng: random.Random) -> Conversation:
    """Many facts of few kinds, as the prompts of a long chat hold them: in the notes, in turns,
    some only in the passages quoted with the question; corrected here and there, then asked."""
    drawn = facts.draw_alike(rng, rng.choice((3, 4, 6, 8, 12, 16)))
    noted = drawn[: rng.randint(0, len(drawn))]
    chat = _Chat(rng, _reminding(rng, noted) if noted else _system(rng, []), noted)
    quotes = rng.random() < 0.6
    for fact in drawn[len(noted) :]:
        if quotes and rng.random() < 0.3:
            continue
        chat.known[fact.key] = fact
        chat.add(fact.user_tells(rng), fact.acknowledged(rng))
    for _ in range(rng.choice((0, 0, 1, 2, 4))):
        turn = filler(rng)
        chat.add(turn.user, turn.assistant)
    known = list(chat.known.values())
    for fact in rng.sample(known, rng.randint(0, (len(known) + 1) // 2)):
        if rng.random() < 0.3:
            chat.ask(fact)
        chat.correct(fact.changed(rng))
    asked = rng.sample(list(chat.known.values()), min(len(chat.known), rng.randint(2, 9)))
    for fact in asked:
        chat.ask(fact)
    if quotes or not asked:
        for fact in rng.sample(drawn, min(len(drawn), rng.choice((1, 1, 2, 3)))):
            _ask_beside_quotation(chat, fact, drawn)
    return chat.made


def corrected(rng: random.Random) -> Conversation:
    """A few facts, each of them changed, at times after it was asked; then what holds now."""
    drawn = facts.draw_different(rng, rng.choice((1, 1, 2, 3)))
    chat = _Chat(rng, _system(rng, []), [])
    for fact in drawn:
        chat.known[fact.key] = fact
        chat.add(fact.user_tells(rng), fact.acknowledged(rng))
    for fact in (*drawn, *rng.sample(drawn, rng.choice((0, 0, 1)))):
        if rng.random() < 0.25:
            chat.ask(chat.known[fact.key])
        if rng.random() < 0.3:
            turn = filler(rng)
            chat.add(turn.user, turn.assistant)
        chat.correct(chat.known[fact.key].changed(rng))
    for _ in range(rng.choice((0, 0, 1, 2))):
        turn = filler(rng)
        chat.add(turn.user, turn.assistant)
    for fact in rng.sample(drawn, len(drawn)):
        chat.ask(chat.known[fact.key])
    return chat.made


def _reminding(rng: random.Random, known: list[facts.Fact]) -> str:
    """The system message as Parley builds it."""
    heading = choose(rng, _TEXT["remembered"]) if rng.random() < 0.2 else _TEXT["summary"]
    notes = f"{heading}:\n{condense.notes(known)}"
    return f"{_TEXT['usual']}\n\n{notes}" if rng.random() < 0.8 else notes


def _ask_beside_quotation(chat: _Chat, fact: facts.Fact, others: list[facts.Fact]) -> None:
    """Ask `fact` with the turns that told it quoted before the question, among those of others."""
    rng = chat.rng
    passages = [Turn(fact.user_tells(rng), fact.acknowledged(rng))]
    passages += [
        Turn(other.user_tells(rng), other.acknowledged(rng))
        for other in rng.sample(others, min(len(others), rng.choice((0, 1, 2, 3))))
        if other.key != fact.key
    ]
    rng.shuffle(passages)
    newest = chat.known.get(fact.key, fact)
    if newest.value != fact.value:
        passages.append(Turn(newest.user_corrects(rng), newest.acknowledged(rng)))
    chat.known[fact.key] = newest
    chat.add(f"{_quotation(rng, passages)}\n\n{newest.user_asks(rng)}", newest.answered(rng))


def _quotation(rng: random.Random, passages: list[Turn]) -> str:
    number, lines = rng.randint(1, 40), [_TEXT["reminder"]]
    for passage in passages:
        lines += [f"Turn {number}", condense.quoted([passage])]
        number += rng.randint(1, 9)
    return "\n".join(lines)


def drill(rng: random.Random) -> Conversation:
    """Many small exact tasks of one or two kinds in a row: cheap practice."""
    chat = _Chat(rng, _system(rng, []) if rng.random() < 0.3 else None, [])
    kinds = rng.choice(_DRILLS)
    for _ in range(rng.randint(4, 12)):
        turn = rng.choice(kinds)(rng)
        chat.add(turn.user, turn.assistant)
    return chat.made


def conversation(rng: random.Random) -> Conversation:
    """One conversation of any shape, in the proportions of the training text."""
    roll = rng.random()
    if roll < 0.23:
        return mixed(rng)
    if roll < 0.38:
        return planted(rng)
    if roll < 0.41:
        return planted(rng, fillers=20)
    if roll < 0.46:
        return reminded(rng)
    if roll < 0.60:
        return crowded(rng)
    if roll < 0.72:
        return corrected(rng)
    if roll < 0.91:
        return drill(rng)
    if roll < 0.97:
        return condense.noting(rng)
    return condense.title(rng)


def stream(seed: int, excluded: frozenset[str] = frozenset()) -> Iterator[Conversation]:
    """Endless conversations of `seed`; one that holds an excluded user message is left out."""
    rng = random.Random(seed)
    while True:
        made = conversation(rng)
        if not any(normal(turn.user) in excluded for turn in made.turns):
            yield made


def normal(text: str) -> str:
    """A message without case, punctuation and spacing: what counts as the same sentence."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())

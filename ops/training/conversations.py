"""Whole conversations: which skills follow each other, what is planted early and asked late."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from ops.training import condense, facts, parley, smalltalk, stories, tasks, unknown
from ops.training.grammar import Conversation, Turn, choose, say, typed

_SYSTEMS = """You are a helpful assistant.|You are Parley's assistant.|You are a friendly assistant. Answer briefly.
You are Parley's small demonstration model. Answer briefly and plainly.|Answer briefly.|You are a chat assistant.
You are a helpful, honest assistant. Say so when you don't know.|Be brief.|You are an assistant that answers in plain English.
You are Parley, a helpful assistant.|You are a kind and careful assistant.|Assistant for a chat. Be short.""".replace("\n", "|").split("|")
_REMEMBERED = "[Summary of the conversation so far|Summary of earlier turns|Summary|What is known so far|Earlier in this chat|Notes from earlier in this chat]"
_QUOTED = "[Earlier turns that may help|From earlier in this chat|Passages from earlier turns|Quoted from earlier turns]"
Skill = Callable[[random.Random], Turn]
_SKILLS: tuple[tuple[Skill, float], ...] = (
    (smalltalk.exchange, 3.2),
    (parley.exchange, 4.0),
    (unknown.exchange, 2.6),
    (tasks.arithmetic, 2.4),
    (tasks.counting, 0.7),
    (tasks.spelling, 1.0),
    (tasks.listing, 0.9),
    (tasks.repeating, 0.9),
    (tasks.choosing, 0.5),
    (smalltalk.kind_of, 0.3),
    (stories.story, 0.6),
    (stories.verse, 0.25),
)


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
        rng = self.rng
        fact = facts.draw_name(rng) if not self.made.turns and rng.random() < 0.3 else facts.draw(rng)
        if fact.key in self.known:
            return self.correct(fact)
        self.known[fact.key] = fact
        if rng.random() < 0.15:
            other = facts.draw(rng)
            if other.key not in self.known:
                self.known[other.key] = other
                first, second = fact.user_tells(rng).rstrip(".?!"), other.user_tells(rng)
                answer = f"{fact.answered(rng)} {other.answered(rng)}"
                return self.add(f"{first}{choose(rng, '[ and|. |,|, and]')} {second}".replace("  ", " "), f"Got it. {answer}")
        if rng.random() < 0.1:
            return self.add(f"{typed(rng, '[Remember this|Please remember|Do not forget|Keep in mind]')}: {fact.user_tells(rng)}", fact.acknowledged(rng))
        self.add(fact.user_tells(rng), fact.acknowledged(rng))

    def correct(self, changed: facts.Fact | None = None) -> None:
        fact = changed or self.rng.choice(list(self.known.values())).changed(self.rng)
        self.known[fact.key] = fact
        self.add(fact.user_corrects(self.rng), fact.acknowledged(self.rng))

    def ask(self, fact: facts.Fact | None = None) -> None:
        rng = self.rng
        if fact is None and rng.random() < 0.12:
            stranger = facts.draw(rng)
            if stranger.key not in self.known and not (stranger.family.key in {"plays", "learns", "likes", "dislikes"}):
                return self.add(stranger.user_asks(rng), stranger.unknown(rng))
        fact = fact or rng.choice(list(self.known.values()))
        self.add(fact.user_asks(rng), fact.answered(rng))

    def recite(self) -> None:
        asked = typed(self.rng, "[what do you know about me|what have I told you|what do you remember about me|tell me what you know about me|what did I tell you|list what you know about me|what do you remember|do you remember what I told you|what have you learned about me][?|?|]")
        if not self.known:
            return self.add(asked, "You haven't told me anything about yourself yet.")
        self.add(asked, " ".join(fact.answered(self.rng) for fact in self.known.values()))

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
    parts = [rng.choice(_SYSTEMS)] if rng.random() < 0.5 else []
    if known:
        if rng.random() < 0.6:
            parts.append(f"{choose(rng, _REMEMBERED)}:\n{condense.notes(known)}")
        else:
            turns = [Turn(fact.user_tells(rng), fact.acknowledged(rng)) for fact in known]
            parts.append(f"{choose(rng, _QUOTED)}:\n{condense.quoted(turns)}")
    return "\n\n".join(parts) or None


def mixed(rng: random.Random) -> Conversation:
    """A chat of one to twelve turns in any order of skills."""
    known = facts.draw_different(rng, rng.randint(1, 8)) if rng.random() < 0.15 else []
    chat = _Chat(rng, _system(rng, known), known)
    if rng.random() < 0.25:
        chat.add(typed(rng, smalltalk.GREETINGS.says), say(rng, smalltalk.GREETINGS.reply))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10, 12))):
        chat.step()
    if not chat.made.turns:
        chat.recite()
    if rng.random() < 0.05:
        chat.add(typed(rng, smalltalk.FAREWELLS.says), say(rng, smalltalk.FAREWELLS.reply))
    return chat.made


def planted(rng: random.Random, fillers: int = 4) -> Conversation:
    """Facts first, other talk between, then every fact asked in another order."""
    chat = _Chat(rng, _system(rng, []), [])
    for _ in range(rng.randint(1, 5)):
        chat.tell()
        if rng.random() < 0.2:
            chat.correct()
    for _ in range(rng.randint(0, fillers)):
        turn = filler(rng)
        chat.add(turn.user, turn.assistant)
    asked = list(chat.known.values())
    rng.shuffle(asked)
    for fact in asked:
        chat.ask(fact)
    return chat.made


def conversation(rng: random.Random) -> Conversation:
    """One conversation of any shape, in the proportions of the training text."""
    roll = rng.random()
    if roll < 0.55:
        return mixed(rng)
    if roll < 0.84:
        return planted(rng)
    if roll < 0.86:
        return planted(rng, fillers=24)
    if roll < 0.94:
        return condense.summary(rng)
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

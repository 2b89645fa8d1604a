"""What the model knows about Parley: each topic with the ways to ask and one plain answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops.training.grammar import Turn, say, typed
from ops.training.sources import read

if TYPE_CHECKING:
    import random

_TEXT = read("parley")
_CALLS = {"help", "Parley", "I need help"}


@dataclass(frozen=True, slots=True)
class Topic:
    """Questions as templates, the answer, and the title of a chat that begins so."""

    key: str
    title: str
    answer: str
    questions: tuple[str, ...]


TOPICS = tuple(
    Topic(topic["key"], topic["title"], topic["answer"], tuple(topic["questions"]))
    for topic in _TEXT["topic"]
)


def exchange(rng: random.Random) -> Turn:
    """A question about Parley in one of its wordings, and its answer."""
    topic = rng.choice(TOPICS)
    question = rng.choice(topic.questions)
    ending = "" if question in _CALLS else _TEXT["after"] + "?"
    return Turn(typed(rng, _TEXT["before"] + question + ending), say(rng, topic.answer))


def title_of(turn: Turn) -> str:
    """The title of a chat that begins with this exchange about Parley."""
    return next(topic.title for topic in TOPICS if topic.answer == turn.assistant)

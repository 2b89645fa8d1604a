"""Older turns that a new message may refer to: found, chosen and quoted. Pure (ADR 0017).

`Retrieval` is a port: in production `sqlite_retrieval`, with an embedding model
`embedded_retrieval` around it (ADR 0026), in tests also a fake.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from actors.runtime.notes import quoted_turn

HEADING = "Quoted from earlier turns:"
TERMS_MAX = 32
"""Terms of a message that are looked for: its first ones, so that a pasted book costs no more
than a question."""

FOUND_MAX = 8
_QUOTED_MAX = 4
_MISSES_MAX = 2
"""Passages that are too long for what is left of the share, after which no more are tried."""

_LEAST_OF_BEST = 0.35
"""Passages that score less than this share of the best are noise."""

_KNOWN_SHARE = 0.8
"""A passage of whose words the summary has this share tells nothing new."""

_WORD = re.compile(r"\w+")
_COMMON = frozenset(
    _WORD.findall(
        "a about again all also am an and any are as at be been but by can could did do does "
        "for from get give had has have he her here him his how i if in into is it its just "
        "know let like me more my no not now of off on once one or our out over please remember "
        "remind said say she so some still such tell than that the their them then there these "
        "they this those through time to told too up us very was we were what when where which "
        "who whom whose why will with would yes yet you your"
    )
)
"""English words that say nothing about a subject. Other languages rely on how rare a word is."""


@dataclass(frozen=True, slots=True)
class Passage:
    """An older exchange, or the parts of it that match: `position` is its first message's,
    `number` its place in the chat from 1. A higher `score` fits better."""

    position: int
    number: int
    user: str
    assistant: str
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Meaning:
    """The vector of a text, as `contracts.embeddings.Embedded` has it; only those of one
    `model` can be compared."""

    model: str
    vector: bytes


class Retrieval(Protocol):
    """An index over the exchanges of one chat. Synchronous, in memory, and the same answers for
    the same calls, so that a machine may hold it; milliseconds at 2,000 exchanges.

    An index may work with vectors, which others make: it says which it lacks (`unlearned`) and
    is told them (`learn`), whenever that is. Without them it finds by words.
    """

    def add(self, passages: Sequence[Passage]) -> None:
        """Index whole exchanges; one of the same position is replaced."""
        ...

    def search(
        self, terms: Sequence[str], limit: int, meaning: Meaning | None = None
    ) -> Sequence[Passage]:
        """Return the passages that hold any of the terms or, where it `embeds`, are near the
        meaning, best first. Terms are words in lower case; a long text comes as the part around
        them, or as its beginning."""
        ...

    @property
    def embeds(self) -> bool:
        """Whether a search finds more if it is given the meaning of the message."""
        ...

    def unlearned(self, limit: int) -> Sequence[Passage]:
        """Return up to `limit` passages whose meaning it would be told, others at each call as
        long as there are others."""
        ...

    def learn(self, meanings: Sequence[tuple[Passage, Meaning]]) -> None:
        """Take the meanings of passages that `unlearned` returned; those that were replaced or
        forgotten since are dropped."""
        ...

    def clear(self) -> None:
        """Forget all."""
        ...

    def close(self) -> None:
        """Give back what it holds; no call follows."""
        ...


def words_of(text: str) -> Iterator[str]:
    """Yield the words of a text that tell what it is about, in lower case."""
    for match in _WORD.finditer(text):
        word = match.group().casefold().strip("_")
        if len(word) > 1 and word not in _COMMON:
            yield word


def terms_of(text: str) -> tuple[str, ...]:
    """Return the words of a message to look for, each once, the first `TERMS_MAX` of them."""
    terms: dict[str, None] = {}
    for word in words_of(text):
        terms[word] = None
        if len(terms) == TERMS_MAX:
            break
    return tuple(terms)


def worthwhile(found: Sequence[Passage]) -> Sequence[Passage]:
    """Return what of `found`, best first, is no noise beside the best."""
    least = found[0].score * _LEAST_OF_BEST if found else 0.0
    return [passage for passage in found if passage.score >= least]


def chosen(
    found: Sequence[Passage], summary: str, tokens_max: int, cost: Callable[[str], int]
) -> tuple[Passage, ...]:
    """Return the passages to quote, in the order of the chat: the best that fit into
    `tokens_max` together, if need be without their answers, and without those that say the same,
    or what the summary says."""
    if not found:
        return ()
    known = set(words_of(summary))
    left = tokens_max - cost(HEADING)
    taken: list[Passage] = []
    said: set[tuple[str, str]] = set()
    misses = 0
    for passage in worthwhile(found):
        text = (passage.user.casefold(), passage.assistant.casefold())
        if text in said or _tells_nothing_new(passage, known):
            continue
        for shown in (passage, replace(passage, assistant="")):
            price = cost(_quote(shown))
            if price <= left:
                left -= price
                said.add(text)
                taken.append(shown)
                break
        else:
            misses += 1
        if misses == _MISSES_MAX or len(taken) == _QUOTED_MAX:
            break
    return tuple(sorted(taken, key=lambda passage: passage.position))


def quoted(passages: Sequence[Passage]) -> str:
    """Return passages as data for the front of a message; '' for none."""
    if not passages:
        return ""
    return "\n".join((HEADING, *map(_quote, passages)))


def _quote(passage: Passage) -> str:
    return f"Turn {passage.number}\n{quoted_turn(passage.user, passage.assistant)}"


def _tells_nothing_new(passage: Passage, known: set[str]) -> bool:
    words = set(words_of(passage.user))
    return bool(words) and len(words & known) >= _KNOWN_SHARE * len(words)

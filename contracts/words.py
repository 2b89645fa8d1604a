"""Words of a text as the search knows them: the same in every store. Pure.

A word is a run of letters and digits, folded in case and without accents. Chinese and
Japanese are written without spaces: there each two neighbouring characters are a word.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

WORD_MAX = 40
"""A longer run of letters is known by its beginning."""
TEXT_MAX = 20_000
"""Characters of a message that are searched."""
INDEXED_MAX = 256
"""Different words of a message that are searched, the first ones."""

_UNBROKEN = re.compile("[0-9A-Za-z\x80-\U0010ffff]+")
_CJK = ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))


@dataclass(frozen=True, slots=True)
class Word:
    """A word and where it stands: code points `start` ≤ i < `end` of the text."""

    text: str
    start: int
    end: int


def words_in(text: str) -> Iterator[Word]:
    """Yield the words of `text` in order."""
    for match in _UNBROKEN.finditer(text):
        part = match[0]
        if part.isascii():
            yield Word(part.lower()[:WORD_MAX], match.start(), match.end())
        else:
            for word in _words_of(part):
                yield Word(word.text, match.start() + word.start, match.start() + word.end)


def _words_of(text: str) -> Iterator[Word]:
    """Yield the words of a text without ASCII's spaces and signs."""
    start = 0
    while start < len(text):
        if not text[start].isalnum():
            start += 1
            continue
        end = start + 1
        if _is_cjk(text[start]):
            pair = end < len(text) and _is_cjk(text[end])
            follows = start > 0 and _is_cjk(text[start - 1])
            if pair or not follows:
                stop = end + 1 if pair else end
                yield Word(_folded(text[start:stop]), start, stop)
            start = end
            continue
        while end < len(text) and _continues(text[end]):
            end += 1
        folded = _folded(text[start:end])
        if folded:
            yield Word(folded[:WORD_MAX], start, end)
        start = end


def indexed_words(text: str) -> tuple[str, ...]:
    """Return the different words by which a message is found, in order of appearance."""
    if text.isascii():
        runs = _UNBROKEN.findall(text[:TEXT_MAX].lower())
        return tuple(islice(dict.fromkeys(run[:WORD_MAX] for run in runs), INDEXED_MAX))
    found: dict[str, None] = {}
    for word in words_in(text[:TEXT_MAX]):
        found[word.text] = None
        if len(found) == INDEXED_MAX:
            break
    return tuple(found)


def found_in(words: Sequence[str], asked: Sequence[str]) -> bool:
    """Say whether a message with these words is found by what was asked: every word asked is
    among them, the last one at least as the beginning of one."""
    if not asked:
        return False
    there = set(words)
    return all(word in there for word in asked[:-1]) and (
        asked[-1] in there or any(word.startswith(asked[-1]) for word in words)
    )


def _continues(char: str) -> bool:
    return (char.isalnum() or unicodedata.combining(char) != 0) and not _is_cjk(char)


def _is_cjk(char: str) -> bool:
    return any(low <= ord(char) <= high for low, high in _CJK)


def _folded(text: str) -> str:
    # Decomposed before it is folded: a mathematical capital has no lower case of its own.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(char for char in plain if char.isalnum())

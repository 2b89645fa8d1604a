"""Characters that stand for what may not be said in a text, until it is encoded."""

import re
from collections.abc import Mapping
from typing import Any

from contracts.errors import Problem, Refused

_PRIVATE_USE = range(0xE000, 0xF8FF)


def strings_of(value: Any) -> list[str]:
    """Return every string in a JSON value."""
    match value:
        case str():
            return [value]
        case dict():
            return [s for pair in value.items() for each in pair for s in strings_of(each)]
        case list():
            return [s for each in value for s in strings_of(each)]
    return []


def disguised(value: Any, stand_ins: Mapping[str, str]) -> Any:
    """Return a JSON value with stand-ins for what may not be said in its strings."""
    match value:
        case str():
            for special, mark in stand_ins.items():
                value = value.replace(special, mark)
            return value
        case dict():
            return {
                disguised(name, stand_ins): disguised(each, stand_ins)
                for name, each in value.items()
            }
        case list():
            return [disguised(each, stand_ins) for each in value]
    return value


def unused_characters(text: str, count: int) -> list[str]:
    """Return `count` private characters that `text` has not. Raises Refused: it has most."""
    used = set(text)
    free = [char for number in _PRIVATE_USE if (char := chr(number)) not in used]
    if len(free) < count:
        raise Refused(Problem(code="invalid_value", detail="The text has too many odd characters"))
    return free[:count]


def split_at(text: str, marks: Mapping[str, str]) -> list[str]:
    """Return the pieces of `text` between the characters `marks`, and these, in order."""
    return [piece for piece in re.split(f"([{''.join(marks)}])", text) if piece]

"""Rows and records: a table's columns are named after its record's fields.

Nested structs are stored as their JSON form, so a field added to one needs no migration. A
column without a value, as in rows older than the column, reads as the field's default.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec

from contracts.codec import decode, encode
from contracts.errors import Problem
from contracts.records import Attachment, UserSettings
from contracts.runs import Usage

R = TypeVar("R", bound=msgspec.Struct)

_NESTED: dict[str, Any] = {
    "usage": Usage,
    "error": Problem,
    "settings": UserSettings,
    "attachments": tuple[Attachment, ...],
}
_FLAGS = frozenset(("pinned", "branched", "background"))


@cache
def columns(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the columns of a record's table, in the order of `to_row`."""
    return kind.__struct_fields__


def to_row(record: msgspec.Struct) -> tuple[Any, ...]:
    """Return the values of a record's columns."""
    values = (getattr(record, name) for name in columns(type(record)))
    return tuple(_stored(value) for value in values)


def _stored(value: Any) -> Any:
    if isinstance(value, tuple):
        return msgspec.json.encode(value).decode() if value else None
    return encode(value).decode() if isinstance(value, msgspec.Struct) else value


def from_row(kind: type[R], row: Sequence[Any]) -> R:
    """Return the record whose columns, in the order of `columns`, are `row`."""
    fields: dict[str, Any] = {}
    for name, value in zip(columns(kind), row, strict=True):
        if value is None:
            continue
        if name in _NESTED:
            fields[name] = decode(value.encode(), _NESTED[name])
        elif name in _FLAGS:
            fields[name] = bool(value)
        else:
            fields[name] = value
    return kind(**fields)

"""The two bases of every wire struct."""

from typing import dataclass_transform

import msgspec


# msgspec hands `frozen` down to subclasses, which its own type declaration cannot say.
@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Wire(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    omit_defaults=True,
    gc=False,
):
    """An immutable value that crosses a process boundary as JSON with camelCase fields. It is a
    tree, so the collector of cycles need not look at it."""


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Tagged(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    omit_defaults=True,
    gc=False,
    tag_field="type",
):
    """A `Wire` that is a member of a union told apart by its `type`.

    Every subclass names its own tag: a class may be renamed, a tag may not.
    """

"""The tree of a chat's messages: paths, alternatives, where a path goes on. Pure.

A message follows its parent (`Message.parent_id`). A path leads from the root to a leaf; the
one shown ends in `Chat.leaf_id`. A parent always has the lower position, so the tree has no
circle, and the newest message below another is a leaf.
"""

from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

ROOT = ""
"""The parent of a message that begins a path, where the position does not say so."""


class Placed(Protocol):
    """What the tree needs to know of a message."""

    @property
    def message_id(self) -> str:
        """Its id."""
        ...

    @property
    def position(self) -> int:
        """Its place in the order of arrival."""
        ...

    @property
    def parent_id(self) -> str | None:
        """See `Message.parent_id`."""
        ...

    @property
    def role(self) -> str:
        """Who speaks."""
        ...


M = TypeVar("M", bound=Placed)


class Tree(Generic[M]):
    """The tree of `messages`, in any order. A parent that is not among them ends a path, so a
    part of a chat is a tree too."""

    def __init__(self, messages: Iterable[M]) -> None:
        self._ordered = sorted(messages, key=lambda m: m.position)
        self._by_id = {m.message_id: m for m in self._ordered}
        self._by_position = {m.position: m for m in self._ordered}

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._by_id

    def parent(self, message: M) -> M | None:
        """Return the message that this one follows; None at the root, or if it is not here."""
        if message.parent_id is None:
            return self._by_position.get(message.position - 1)
        found = self._by_id.get(message.parent_id)
        return found if found is not None and found.position < message.position else None

    def path(self, leaf_id: str | None) -> list[M]:
        """Return the messages from the root to `leaf_id` (None, or unknown: the newest
        message), oldest first."""
        if not self._ordered:
            return []
        at: M | None = self._by_id.get(leaf_id or "", self._ordered[-1])
        path: list[M] = []
        while at is not None:
            path.append(at)
            at = self.parent(at)
        return path[::-1]

    def alternatives(self, message_id: str) -> list[M]:
        """Return the messages of the same role and parent, itself among them, oldest first."""
        message = self._by_id[message_id]
        key = self._key(message)
        return [m for m in self._ordered if m.role == message.role and self._key(m) == key]

    def newest_leaf(self, message_id: str) -> str:
        """Return the newest message that has this one on its path: itself if none follows."""
        below = {message_id}
        newest = message_id
        start = self._by_id[message_id].position
        for message in self._ordered:
            if message.position <= start:
                continue
            parent = self.parent(message)
            if parent is not None and parent.message_id in below:
                below.add(message.message_id)
                newest = message.message_id
        return newest

    def _key(self, message: M) -> str:
        """Name the parent, also one that is not here."""
        parent = self.parent(message)
        if parent is not None:
            return parent.message_id
        return message.parent_id or ROOT


def goes_on(message: Placed, leaf_id: str | None) -> bool:
    """Say whether a message follows the leaf of the path shown, as far as both are named."""
    return message.parent_id is None or leaf_id in (None, message.parent_id)


def active_path(messages: Iterable[M], leaf_id: str | None) -> list[M]:
    """Return those of `messages` that lead to `leaf_id`, oldest first; None, or a leaf that
    is not among them: to the newest."""
    return Tree(messages).path(leaf_id)


def page(path: Sequence[M], *, start: int | None, limit: int, ascending: bool) -> list[M]:
    """Return up to `limit` messages of a path (oldest first) by position from `start`
    (inclusive) upwards or downwards; None begins at the respective end."""
    if ascending:
        return [m for m in path if start is None or m.position >= start][:limit]
    return [m for m in reversed(path) if start is None or m.position <= start][:limit]

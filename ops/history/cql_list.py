"""The list of a user's chats by recent activity in CQL: hints, checked against the chats.

A chat's new place is noted before the transaction that moves it there and the old one is
deleted after, so the list may name a chat twice or too high, never not at all. The run's id
is part of a place: deleting an old place can't hit a newer one, even at the same time.
"""

import asyncio
from dataclasses import dataclass

from contracts.ports.history import ChatCursor
from contracts.records import Chat
from ops.history import cql_queries as q
from ops.history.cql_link import CqlLink
from ops.history.rows import columns, from_row

MONTH_MS = 30 * 24 * 3_600_000
"""The span of one partition of `chat_list`: what a user does in it bounds the partition."""

PINNED_MAX = 500
"""Pinned chats of a user that are listed as such."""

_AFTER_ALL = (2**63 - 1, "", "")
_READ = 200


@dataclass(frozen=True, slots=True)
class ListPlace:
    """A row of the list: the chat's activity, and the run that moved it there ('': none)."""

    user_id: str
    active_at_ms: int
    chat_id: str
    run_id: str

    @property
    def month(self) -> int:
        """The partition."""
        return self.active_at_ms // MONTH_MS

    def row(self) -> tuple[str, int, int, str, str]:
        """The values of the primary key."""
        return self.user_id, self.month, self.active_at_ms, self.chat_id, self.run_id


def chat_of_row(row: tuple[object, ...]) -> Chat:
    """Return the chat of a row of `chats` in which '' stands for no active run."""
    index = columns(Chat).index("active_run_id")
    return from_row(Chat, (*row[:index], row[index] or None, *row[index + 1 :]))


async def note(link: CqlLink, place: ListPlace) -> None:
    """Add a place; may be repeated."""
    await asyncio.gather(
        link.rows(q.INSERT_MONTH, place.user_id, place.month),
        link.rows(q.INSERT_LISTED, *place.row()),
    )


async def forget(link: CqlLink, place: ListPlace) -> None:
    """Delete a place; may be repeated."""
    await link.rows(q.DELETE_LISTED, *place.row())


async def listed(link: CqlLink, user_id: str, month: int) -> list[str]:
    """Return the ids of all chats that a partition of the list names."""
    chat_ids: dict[str, None] = {}
    after = _AFTER_ALL
    while rows := await link.rows(q.LISTED, user_id, month, *after, _READ):
        chat_ids.update((chat_id, None) for _, chat_id, _ in rows)
        after = rows[-1]
    return list(chat_ids)


async def read_pinned(
    link: CqlLink, user_id: str, before: ChatCursor | None, limit: int
) -> list[Chat]:
    """Return up to `limit` pinned chats, of `PINNED_MAX` at the most, newest first."""
    rows = await link.rows(q.PINNED, user_id, PINNED_MAX)
    states = await asyncio.gather(*(link.row(q.CHAT, chat_id) for (chat_id,) in rows))
    chats = [chat_of_row(row[:-1]) for row in states if row is not None and not row[-1]]
    edge = (before.active_at_ms, before.chat_id) if before is not None else None
    pinned = [
        chat
        for chat in chats
        if chat.pinned
        and chat.user_id == user_id
        and (edge is None or (chat.active_at_ms, chat.chat_id) < edge)
    ]
    return sorted(pinned, key=lambda chat: (chat.active_at_ms, chat.chat_id), reverse=True)[:limit]


async def read_list(
    link: CqlLink,
    user_id: str,
    before: ChatCursor | None,
    limit: int,
    *,
    without_pinned: bool = False,
) -> list[Chat]:
    """Return up to `limit` chats strictly older in activity than `before`, newest first."""
    edge = (before.active_at_ms, before.chat_id) if before is not None else None
    found: dict[str, Chat] = {}
    for (month,) in await link.rows(q.MONTHS, user_id):
        if edge is not None and month > edge[0] // MONTH_MS:
            continue
        after = (*edge, "") if edge is not None else _AFTER_ALL
        while len(found) < limit:
            rows = await link.rows(q.LISTED, user_id, month, *after, limit - len(found) + 4)
            if not rows:
                break
            await _check_hints(link, rows, user_id, edge, found, without_pinned)
            after = rows[-1]
        if len(found) >= limit:
            break
    newest = sorted(found.values(), key=lambda chat: (chat.active_at_ms, chat.chat_id))
    return newest[::-1][:limit]


async def _check_hints(
    link: CqlLink,
    rows: list[tuple[int, str, str]],
    user_id: str,
    edge: tuple[int, str] | None,
    found: dict[str, Chat],
    without_pinned: bool,
) -> None:
    """Add to `found` the chats that belong where the hints say, or newer but on this page.

    One that is older than its hint was noted by an accept that never came about. One that
    is newer has moved since: its new place may have been missed, so it counts here, unless
    it lies before the page's edge and an earlier page has it.
    """
    chat_ids = {chat_id for _, chat_id, _ in rows if chat_id not in found}
    states = await asyncio.gather(*(link.row(q.CHAT, chat_id) for chat_id in sorted(chat_ids)))
    chats = {row[0]: chat_of_row(row[:-1]) for row in states if row is not None and not row[-1]}
    for active_at_ms, chat_id, _ in rows:
        chat = chats.get(chat_id)
        if chat is None or chat.user_id != user_id or chat.active_at_ms < active_at_ms:
            continue
        if without_pinned and chat.pinned:
            continue
        if edge is None or (chat.active_at_ms, chat_id) < edge:
            found[chat_id] = chat

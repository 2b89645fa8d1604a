"""Shares in CQL: the content in parts, then the row by which the chat names it."""

# ruff: noqa: D102 - the port says what each call promises

import asyncio

import msgspec

from contracts.codec import decode, encode
from contracts.errors import HistoryConflict
from contracts.records import Share
from ops.history import cql_queries as q
from ops.history.cql_link import CqlLink

PART_CHARS = 256 * 1024


class CqlShares:
    """The port's calls on shares. What the chat does not name is not shared: a share that was
    cut off half-way, or replaced, can't be seen."""

    def __init__(self, link: CqlLink) -> None:
        self._link = link

    async def put_share(self, share: Share) -> None:
        if await self._link.row(q.CHAT, share.chat_id) is None:
            raise HistoryConflict("the chat is gone")
        earlier = await self._link.row(q.SHARE_OF_CHAT, share.chat_id)
        text = encode(share).decode()
        parts = [text[i : i + PART_CHARS] for i in range(0, len(text), PART_CHARS)]
        await asyncio.gather(
            *(
                self._link.rows(q.INSERT_SHARE_PART, share.share_id, number, share.chat_id, part)
                for number, part in enumerate(parts)
            )
        )
        head = encode(msgspec.structs.replace(share, messages=())).decode()
        await self._link.rows(q.INSERT_SHARE, share.chat_id, share.share_id, len(parts), head)
        if earlier is not None and earlier[0] != share.share_id:
            await self._link.rows(q.DELETE_SHARE_PARTS, earlier[0])

    async def share(self, share_id: str) -> Share | None:
        parts = await self._link.rows(q.SHARE_PARTS, share_id)
        if not parts:
            return None
        named = await self._link.row(q.SHARE_OF_CHAT, parts[0][0])
        if named is None or tuple(named[:2]) != (share_id, len(parts)):
            return None
        return decode("".join(part for _, part in parts).encode(), Share)

    async def share_of(self, chat_id: str) -> Share | None:
        row = await self._link.row(q.SHARE_OF_CHAT, chat_id)
        return None if row is None else decode(row[2].encode(), Share)

    async def delete_share(self, chat_id: str) -> bool:
        row = await self._link.row(q.SHARE_OF_CHAT, chat_id)
        if row is None:
            return False
        await self._link.rows(q.DELETE_SHARE, chat_id)
        await self._link.rows(q.DELETE_SHARE_PARTS, row[0])
        return True

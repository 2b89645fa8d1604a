"""Search in CQL: a row of words for each message of a user, newest first, a partition a month.

A message's row is written before the transaction that makes the message: rows are hints, and
the message decides. A search reads rows until its page is full, `SEARCHED_MAX` of them at the
most, so it costs the same however common a word is.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from contracts.ports.history import FoundCursor
from contracts.records import Message
from contracts.words import found_in, indexed_words
from ops.history import cql_queries as q
from ops.history.cql_link import CqlLink

MONTH_MS = 30 * 24 * 3_600_000
SEARCHED_MAX = 5_000
"""Messages that one search looks at."""
_READ = 200
_AFTER_ALL = (2**63 - 1, "")


async def note(link: CqlLink, user_id: str, message: Message) -> None:
    """Make a message findable for its owner, by its present content; may be repeated."""
    words = " ".join(indexed_words(message.content))
    if not words:
        return
    month = message.created_at_ms // MONTH_MS
    place = user_id, month, message.created_at_ms, message.message_id
    await asyncio.gather(
        link.rows(q.INSERT_FOUND_MONTH, user_id, month),
        link.rows(q.INSERT_FOUND, *place, message.chat_id, words),
    )


async def forget(link: CqlLink, user_id: str, messages: Sequence[tuple[int, str]]) -> None:
    """Take messages (time, id) out of the index; may be repeated."""
    await asyncio.gather(
        *(
            link.rows(q.DELETE_FOUND, user_id, at_ms // MONTH_MS, at_ms, message_id)
            for at_ms, message_id in messages
        )
    )


async def forget_all(link: CqlLink, user_id: str) -> None:
    """Delete a user's index; may be repeated."""
    for (month,) in await link.rows(q.FOUND_MONTHS, user_id):
        await link.rows(q.DELETE_FOUND_MONTH, user_id, month)
    await link.rows(q.DELETE_FOUND_MONTHS, user_id)


async def hints(
    link: CqlLink, user_id: str, words: Sequence[str], before: FoundCursor | None
) -> AsyncGenerator[tuple[str, str], None]:
    """Yield chat and message ids of what may have these words, newest first."""
    edge = _AFTER_ALL if before is None else (before.created_at_ms, before.message_id)
    looked_at = 0
    for (month,) in await link.rows(q.FOUND_MONTHS, user_id):
        if month > edge[0] // MONTH_MS:
            continue
        after = edge
        while looked_at < SEARCHED_MAX:
            rows = await link.rows(q.FOUND, user_id, month, *after, _READ)
            looked_at += len(rows)
            for at_ms, message_id, chat_id, text in rows:
                after = (at_ms, message_id)
                if found_in(text.split(" "), words):
                    yield chat_id, message_id
            if len(rows) < _READ:
                break

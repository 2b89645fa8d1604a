"""Search in one's own messages."""

from collections.abc import Sequence
from typing import Any

from litestar.types import ASGIApp

from contracts.ports.history import FoundCursor, History
from contracts.records import Message
from contracts.words import INDEXED_MAX, TEXT_MAX, Word, words_in
from edge.bodies import invalid, page_limit
from edge.cursors import CursorSigner
from edge.identity import Identity
from edge.replies import json_reply, rfc3339
from edge.routes import AnyRequest, Route

QUERY_MAX = 200
WORDS_MAX = 8
_BEFORE = 60
_SNIPPET = 180


class Search:
    """The route of search."""

    def __init__(self, history: History, identity: Identity, cursors: CursorSigner) -> None:
        self._history = history
        self._identity = identity
        self._cursors = cursors

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        query = ("q", "cursor", "limit")
        return [Route("GET", "/search", self.search, "Your messages with words", query=query)]

    async def search(self, request: AnyRequest) -> ASGIApp:
        """GET /search. Every word must be in the message, the last one at least as a
        beginning."""
        caller = await self._identity.caller(request)
        text = request.query_params.get("q", "")
        limit = page_limit(request)
        if not text.strip() or len(text) > QUERY_MAX:
            raise invalid("q", f"must have 1 to {QUERY_MAX} characters")
        words = tuple(dict.fromkeys(word.text for word in words_in(text)))[-WORDS_MAX:]
        scope = f"search:{caller.user_id}:{' '.join(words)}"
        before = None
        if cursor := request.query_params.get("cursor"):
            at_ms, message_id = self._cursors.open(scope, cursor)
            before = FoundCursor(created_at_ms=int(at_ms), message_id=str(message_id))
        found: Sequence[Message] = ()
        if words:
            found = await self._history.search(
                caller.user_id, words, before=before, limit=limit + 1
            )
        page = found[:limit]
        following = None
        if len(found) > limit:
            following = self._cursors.sign(scope, (page[-1].created_at_ms, page[-1].message_id))
        titles = {chat_id: await self._title(chat_id) for chat_id in {m.chat_id for m in page}}
        data = [_view(message, titles[message.chat_id], words) for message in page]
        return json_reply({"data": data, "nextCursor": following})

    async def _title(self, chat_id: str) -> str:
        chat = await self._history.chat(chat_id)
        return chat.title if chat is not None else ""


def _view(message: Message, title: str, words: Sequence[str]) -> dict[str, Any]:
    snippet, ranges = snippet_of(message.content, words)
    return {
        "chatId": message.chat_id,
        "title": title,
        "messageId": message.message_id,
        "role": message.role,
        "snippet": snippet,
        "ranges": ranges,
        "createdAt": rfc3339(message.created_at_ms),
    }


def snippet_of(content: str, words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Return a piece of a message around the first of the words, and where words stand in it
    (code points, end exclusive)."""
    hits = [word for word in _searched(content) if _is_hit(word, words)]
    first = hits[0].start if hits else 0
    start = max(0, first - _BEFORE)
    if start:
        space = content.find(" ", start, first)
        start = space + 1 if space >= 0 else start
    end = min(len(content), start + _SNIPPET)
    head, tail = "…" if start else "", "…" if end < len(content) else ""
    ranges: list[tuple[int, int]] = []
    for hit in hits:
        if hit.end > end:
            break
        low, high = hit.start - start + len(head), hit.end - start + len(head)
        if ranges and low <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], high)
        else:
            ranges.append((low, high))
    piece = "".join(" " if char.isspace() else char for char in content[start:end])
    return head + piece + tail, ranges


def _searched(content: str) -> Sequence[Word]:
    known: set[str] = set()
    found = []
    for word in words_in(content[:TEXT_MAX]):
        known.add(word.text)
        if len(known) > INDEXED_MAX:
            break
        found.append(word)
    return found


def _is_hit(word: Word, words: Sequence[str]) -> bool:
    return word.text in words[:-1] or word.text.startswith(words[-1])

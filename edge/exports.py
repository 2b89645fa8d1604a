"""All of one's chats as one document, written while it is read."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import structlog
from litestar.types import ASGIApp, Receive, Scope, Send

from contracts.branches import Tree
from contracts.errors import HistoryUnavailable
from contracts.ports.history import ChatCursor, History
from contracts.records import Chat, Message
from edge.bodies import invalid
from edge.identity import Caller, Identity
from edge.replies import rfc3339
from edge.routes import AnyRequest, Route

_log = structlog.get_logger()
_CHATS = 50
_MESSAGES = 100
_TYPES = {"json": b"application/json", "markdown": b"text/markdown; charset=utf-8"}
_SUFFIX = {"json": "json", "markdown": "md"}


class PiecesReply:
    """An answer that is sent piece by piece as it is made. A client that takes its time holds
    up the making and nobody else."""

    __slots__ = ("_headers", "_pieces")

    def __init__(self, pieces: AsyncIterator[bytes], headers: list[tuple[bytes, bytes]]) -> None:
        self._pieces = pieces
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it (ASGI). Where history fails half-way, the answer is left without its end,
        which a client sees."""
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        try:
            async for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except HistoryUnavailable as error:
            _log.warning("export.cut_off", error=str(error))
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Exports:
    """The route of exports."""

    def __init__(self, history: History, identity: Identity) -> None:
        self._history = history
        self._identity = identity

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        summary = "All your chats (JSON: with alternatives; Markdown: as shown)"
        return [Route("GET", "/me/export", self.export, summary, query=("format",))]

    async def export(self, request: AnyRequest) -> ASGIApp:
        """GET /me/export."""
        caller = await self._identity.caller(request)
        kind = request.query_params.get("format", "json")
        if kind not in _TYPES:
            raise invalid("format", "must be json or markdown")
        name = f'attachment; filename="parley-chats.{_SUFFIX[kind]}"'
        headers = [
            (b"content-type", _TYPES[kind]),
            (b"content-disposition", name.encode()),
            (b"cache-control", b"no-store"),
        ]
        await self._history.list_chats(caller.user_id, before=None, limit=1)  # Is it there?
        pieces = self._json(caller) if kind == "json" else self._markdown(caller)
        return PiecesReply(pieces, headers)

    async def _json(self, caller: Caller) -> AsyncIterator[bytes]:
        head = {"id": caller.user_id, "email": caller.email, "settings": caller.settings}
        yield b'{"user": ' + msgspec.json.encode(head) + b', "chats": ['
        comma = b""
        async for chat in self._chats(caller.user_id):
            yield comma + msgspec.json.encode(_chat_head(chat))[:-1] + b', "messages": ['
            comma, inner = b",\n", b""
            async for message in self._messages(chat):
                yield inner + msgspec.json.encode(message)
                inner = b",\n"
            yield b"]}"
        yield b"]}\n"

    async def _markdown(self, caller: Caller) -> AsyncIterator[bytes]:
        yield b"# Chats\n"
        async for chat in self._chats(caller.user_id):
            title = " ".join(chat.title.split()) or "Untitled"
            yield f"\n## {title}\n\n{rfc3339(chat.created_at_ms)}\n".encode()
            tree = Tree(await self._history.nodes(chat.chat_id))
            shown = {node.message_id for node in tree.path(chat.leaf_id)}
            async for message in self._messages(chat):
                if message.message_id not in shown:
                    continue
                who = "You" if message.role == "user" else message.model or "Assistant"
                files = "".join(f"\n\n*Attached: {file.name}*" for file in message.attachments)
                yield f"\n**{who}**{files}\n\n{message.content}\n".encode()

    async def _chats(self, user_id: str) -> AsyncIterator[Chat]:
        before: ChatCursor | None = None
        while chats := await self._history.list_chats(user_id, before=before, limit=_CHATS):
            for chat in chats:
                yield chat
            before = ChatCursor(chats[-1].active_at_ms, chats[-1].chat_id)

    async def _messages(self, chat: Chat) -> AsyncIterator[Message]:
        start = 0
        while page := await self._history.messages(
            chat.chat_id, start=start, limit=_MESSAGES, ascending=True
        ):
            for message in page:
                yield message
            start = page[-1].position + 1


def _chat_head(chat: Chat) -> Mapping[str, Any]:
    return {
        "chatId": chat.chat_id,
        "title": chat.title,
        "model": chat.model,
        "pinned": chat.pinned,
        "createdAt": rfc3339(chat.created_at_ms),
        "activeAt": rfc3339(chat.active_at_ms),
        "leafId": chat.leaf_id,
    }

"""Shares: a chat as it was when it was shared, for whoever has the link."""

from typing import Any

from litestar.types import ASGIApp
from msgspec.structs import replace

from contracts.codec import encode
from contracts.errors import HistoryConflict, Refused
from contracts.ids import SECRET_ENTROPY_BYTES, make_secret_id
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.records import Chat, Message, Share, SharedMessage
from edge.bodies import path_id
from edge.identity import Identity
from edge.ownership import Ownership, no_chat
from edge.page import Page
from edge.problems import refuse
from edge.replies import EmptyReply, json_reply, rfc3339
from edge.routes import AnyRequest, Route

BYTES_MAX = 4 << 20
_PAGE = 100


class Shares:
    """The routes of shares. A share holds a copy of the path shown, without ids, files, times
    of the account or anything else of its owner; it never changes, and sharing again makes a
    new one under a new id."""

    def __init__(
        self,
        history: History,
        identity: Identity,
        ownership: Ownership,
        page: Page,
        clock: Clock,
    ) -> None:
        self._history = history
        self._identity = identity
        self._ownership = ownership
        self._page = page
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        path = "/chats/{chat_id:str}/share"
        return [
            Route("POST", path, self.share, "Share the chat as it is now"),
            Route("GET", path, self.shared_as, "Under what it is shared"),
            Route("DELETE", path, self.revoke, "Revoke the share"),
            Route("GET", "/shared/{share_id:str}", self.read, "A shared chat", public=True),
        ]

    async def share(self, request: AnyRequest) -> ASGIApp:
        """POST /chats/{chatId}/share."""
        chat = await self._owned(request)
        messages = await self._messages(chat)
        if not messages:
            raise refuse("conflict", "There is nothing to share yet.")
        share = Share(
            share_id=make_secret_id("share", self._clock.entropy(SECRET_ENTROPY_BYTES)),
            chat_id=chat.chat_id,
            user_id=chat.user_id,
            created_at_ms=self._clock.now_ms(),
            title=chat.title,
            model=next((m.model for m in reversed(messages) if m.model), chat.model),
            messages=tuple(messages),
        )
        if len(encode(share)) > BYTES_MAX:
            raise refuse("too_large", f"A chat of more than {BYTES_MAX >> 20} MB can't be shared.")
        try:
            await self._history.put_share(share)
        except HistoryConflict as error:
            raise no_chat() from error
        return json_reply(_view(share), status=201)

    async def shared_as(self, request: AnyRequest) -> ASGIApp:
        """GET /chats/{chatId}/share."""
        chat = await self._owned(request)
        share = await self._history.share_of(chat.chat_id)
        if share is None:
            raise refuse("not_found", "This chat is not shared.")
        return json_reply(_view(share))

    async def revoke(self, request: AnyRequest) -> ASGIApp:
        """DELETE /chats/{chatId}/share. The link is dead from now on."""
        chat = await self._owned(request)
        await self._history.delete_share(chat.chat_id)
        return EmptyReply()

    async def read(self, request: AnyRequest) -> ASGIApp:
        """GET /shared/{shareId}: the page, for a browser; what the page shows, for it."""
        if "text/html" in request.headers.get("accept", ""):
            return await self._page.index(request)
        share = await self._history.share(path_id(request, "share_id", "share"))
        if share is None:
            raise _no_share()
        return json_reply(
            {
                "title": share.title,
                "createdAt": rfc3339(share.created_at_ms),
                "model": share.model,
                "data": [_message_view(message) for message in share.messages],
            },
            headers=((b"x-robots-tag", b"noindex"),),
        )

    async def _owned(self, request: AnyRequest) -> Chat:
        caller = await self._identity.caller(request)
        chat_id = path_id(request, "chat_id", "chat")
        return await self._ownership.chat(chat_id, caller.user_id)

    async def _messages(self, chat: Chat) -> list[SharedMessage]:
        """Return the path shown, without an answer that is being written."""
        found: list[Message] = []
        size, start = 0, 0
        while size <= BYTES_MAX and (
            page := await self._history.path(chat.chat_id, start=start, limit=_PAGE, ascending=True)
        ):
            found += page
            size += sum(len(message.content) for message in page)
            start = page[-1].position + 1
        return [_shared(message) for message in found if message.status != "pending"]


def _shared(message: Message) -> SharedMessage:
    return SharedMessage(
        role=message.role,
        content=message.content,
        created_at_ms=message.created_at_ms,
        model=message.model,
        attachments=tuple(
            replace(file, file_id="", text="", digest="") for file in message.attachments
        ),
    )


def _view(share: Share) -> dict[str, Any]:
    return {
        "shareId": share.share_id,
        "url": f"/shared/{share.share_id}",
        "createdAt": rfc3339(share.created_at_ms),
    }


def _message_view(message: SharedMessage) -> dict[str, Any]:
    view: dict[str, Any] = {
        "role": message.role,
        "content": message.content,
        "createdAt": rfc3339(message.created_at_ms),
    }
    if message.model is not None:
        view["model"] = message.model
    if message.attachments:
        view["attachments"] = [
            {"name": file.name, "mediaType": file.media_type, "kind": file.kind}
            for file in message.attachments
        ]
    return view


def _no_share() -> Refused:
    return refuse("not_found", "There is no such share; it may have been revoked.")

"""Chats: create, list by recent activity, read, rename, delete, and their messages."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from litestar.types import ASGIApp

from contracts.branches import Tree
from contracts.errors import HistoryConflict, Problem
from contracts.ids import ENTROPY_BYTES, make_id
from contracts.ports.clock import Clock
from contracts.ports.history import ChatCursor, History
from contracts.records import Chat, Message, MessageNode
from edge.bodies import Body, invalid, page_limit, path_id, read_body
from edge.cursors import CursorSigner
from edge.identity import Caller, Identity
from edge.models import Models
from edge.ownership import Ownership, no_chat
from edge.problems import problem_document, refuse
from edge.replies import EmptyReply, json_reply, rfc3339
from edge.routes import AnyRequest, Route
from edge.uploads import attachment_view

Title = Annotated[str, msgspec.Meta(max_length=200)]


class NewChat(Body, frozen=True):
    """A chat may be named, and bound to a model, from the start."""

    title: Title = ""
    model: str | None = None


class ChatChanges(Body, frozen=True):
    """What is absent or null stays as it is. `leaf_id` is any message: the newest path that it
    is on is shown."""

    title: Title | None = None
    model: str | None = None
    pinned: bool | None = None
    leaf_id: str | None = None


def events_url(chat_id: str, run_id: str) -> str:
    """Return where the events of a run are."""
    return f"/chats/{chat_id}/runs/{run_id}/events"


class Chats:
    """The routes of chats and messages."""

    def __init__(
        self,
        *,
        history: History,
        identity: Identity,
        ownership: Ownership,
        models: Models,
        cursors: CursorSigner,
        clock: Clock,
    ) -> None:
        self._history = history
        self._identity = identity
        self._ownership = ownership
        self._models = models
        self._cursors = cursors
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        pages = ("cursor", "limit")
        return [
            Route("POST", "/chat", self.create, "A new chat", NewChat),
            Route("POST", "/chats", self.create, "A new chat", NewChat),
            Route(
                "GET",
                "/chats",
                self.list_chats,
                "Your chats, by recent activity",
                query=(*pages, "pinned"),
            ),
            Route("GET", "/chats/{chat_id:str}", self.read, "One chat"),
            Route("PATCH", "/chats/{chat_id:str}", self.change, "Rename, pin, switch", ChatChanges),
            Route("DELETE", "/chats/{chat_id:str}", self.delete, "Delete a chat"),
            Route(
                "GET",
                "/chats/{chat_id:str}/messages",
                self.list_messages,
                "Messages of the path shown, newest first",
                query=(*pages, "order"),
            ),
        ]

    async def create(self, request: AnyRequest) -> ASGIApp:
        """POST /chat, POST /chats."""
        caller = await self._identity.caller(request)
        body = await read_body(request, NewChat)
        if body.model is not None:
            self._models.find(body.model)
        now_ms = self._clock.now_ms()
        chat = Chat(
            chat_id=make_id("chat", now_ms, self._clock.entropy(ENTROPY_BYTES)),
            user_id=caller.user_id,
            created_at_ms=now_ms,
            active_at_ms=now_ms,
            title=body.title,
            model=body.model,
        )
        await self._history.create_chat(chat)
        self._ownership.created(chat)
        return json_reply(_chat_view(chat), status=201)

    async def list_chats(self, request: AnyRequest) -> ASGIApp:
        """GET /chats."""
        caller = await self._identity.caller(request)
        limit = page_limit(request)
        pinned = _flag(request, "pinned")
        scope = f"chats:{caller.user_id}:{pinned}"
        before = None
        if cursor := request.query_params.get("cursor"):
            active_at_ms, chat_id = self._cursors.open(scope, cursor)
            before = ChatCursor(active_at_ms=int(active_at_ms), chat_id=str(chat_id))
        chats = await self._history.list_chats(
            caller.user_id, before=before, limit=limit + 1, pinned=pinned
        )
        page = chats[:limit]
        following = None
        if len(chats) > limit:
            following = self._cursors.sign(scope, (page[-1].active_at_ms, page[-1].chat_id))
        return json_reply({"data": [_chat_view(chat) for chat in page], "nextCursor": following})

    async def read(self, request: AnyRequest) -> ASGIApp:
        """GET /chats/{chatId}."""
        _, chat = await self._owned(request)
        return json_reply(_chat_view(chat))

    async def change(self, request: AnyRequest) -> ASGIApp:
        """PATCH /chats/{chatId}."""
        _, chat = await self._owned(request)
        body = await read_body(request, ChatChanges)
        if body.model is not None:
            self._models.find(body.model)
        leaf_id = None if body.leaf_id is None else await self._leaf(chat, body.leaf_id)
        changed = await self._history.update_chat(
            chat.chat_id,
            title=body.title,
            model=body.model,
            pinned=body.pinned,
            leaf_id=leaf_id,
        )
        self._ownership.forget(chat.chat_id)
        if changed is None:
            raise no_chat()
        return json_reply(_chat_view(changed))

    async def delete(self, request: AnyRequest) -> ASGIApp:
        """DELETE /chats/{chatId}."""
        _, chat = await self._owned(request)
        self._ownership.forget(chat.chat_id)
        try:
            gone = await self._history.delete_chat(chat.chat_id)
        except HistoryConflict as error:
            raise refuse(
                "run_active",
                "The chat is answering; stop it first.",
                active_run_id=chat.active_run_id,
            ) from error
        if not gone:
            raise no_chat()
        return EmptyReply()

    async def list_messages(self, request: AnyRequest) -> ASGIApp:
        """GET /chats/{chatId}/messages."""
        _, chat = await self._owned(request)
        limit = page_limit(request)
        order = request.query_params.get("order", "desc")
        if order not in ("asc", "desc"):
            raise invalid("order", "must be asc or desc")
        scope = f"messages:{chat.chat_id}:{order}"
        start = None
        if cursor := request.query_params.get("cursor"):
            start = int(self._cursors.open(scope, cursor)[0])
        messages = await self._history.path(
            chat.chat_id, start=start, limit=limit + 1, ascending=order == "asc"
        )
        following = None
        if len(messages) > limit:
            following = self._cursors.sign(scope, (messages[limit].position,))
        page = messages[:limit]
        errors = await self._errors(page)
        tree = Tree(await self._history.nodes(chat.chat_id)) if chat.branched else None
        views = [
            message_view(
                message,
                parent_id=await self._parent_of(message, messages, tree),
                error=errors.get(message.message_id),
                alternatives=_alternatives(message, tree),
            )
            for message in page
        ]
        return json_reply(
            {
                "data": views,
                "nextCursor": following,
                "activeRun": await self._active_run(chat),
            }
        )

    async def _owned(self, request: AnyRequest) -> tuple[Caller, Chat]:
        caller = await self._identity.caller(request)
        chat_id = path_id(request, "chat_id", "chat")
        return caller, await self._ownership.chat(chat_id, caller.user_id)

    async def _leaf(self, chat: Chat, message_id: str) -> str | None:
        """Return where the newest path that a message is on ends; None: it is shown already.
        Raises Refused (404)."""
        tree = Tree(await self._history.nodes(chat.chat_id))
        if message_id not in tree:
            raise refuse("not_found", "There is no such message.")
        leaf_id = tree.newest_leaf(message_id)
        shown = tree.path(chat.leaf_id)
        return None if shown[-1].message_id == leaf_id else leaf_id

    async def _parent_of(
        self, message: Message, page: Sequence[Message], tree: Tree[MessageNode] | None
    ) -> str | None:
        """Return what a message follows, None at the root. Old messages don't say: then it is
        the one before it."""
        if message.parent_id is not None or message.position == 0:
            return message.parent_id or None
        if tree is not None:
            way = tree.path(message.message_id)
            return way[-2].message_id if len(way) > 1 else None
        before = next((m for m in page if m.position == message.position - 1), None)
        if before is None:
            found = await self._history.messages(
                message.chat_id, start=message.position - 1, limit=1, ascending=False
            )
            before = found[0] if found else None
        return before.message_id if before is not None else None

    async def _errors(self, messages: Sequence[Message]) -> dict[str, Problem]:
        """Return why answers failed, by message id; a run's record keeps it."""
        failed = [m for m in messages if m.status == "failed" and m.run_id is not None]
        runs = await asyncio.gather(*(self._history.run(m.chat_id, m.run_id or "") for m in failed))
        return {run.answer_id: run.error for run in runs if run is not None and run.error}

    async def _active_run(self, chat: Chat) -> dict[str, Any] | None:
        if chat.active_run_id is None:
            return None
        run = await self._history.run(chat.chat_id, chat.active_run_id)
        if run is None or run.state != "active":
            return None
        return {
            "runId": run.run_id,
            "messageId": run.answer_id,
            "eventsUrl": events_url(chat.chat_id, run.run_id),
        }


def _chat_view(chat: Chat) -> dict[str, Any]:
    return {
        "chatId": chat.chat_id,
        "title": chat.title,
        "model": chat.model,
        "pinned": chat.pinned,
        "createdAt": rfc3339(chat.created_at_ms),
        "activeAt": rfc3339(chat.active_at_ms),
        "activeRunId": chat.active_run_id,
        "leafId": chat.leaf_id,
    }


def _flag(request: AnyRequest, name: str) -> bool | None:
    text: str | None = request.query_params.get(name)
    if text is None:
        return None
    if text not in ("true", "false"):
        raise invalid(name, "must be true or false")
    return text == "true"


def _alternatives(
    message: Message, tree: Tree[MessageNode] | None
) -> Sequence[Mapping[str, Any]] | None:
    """Return the messages that stand beside this one, itself among them; None if it is alone."""
    if tree is None or message.message_id not in tree:
        return None
    beside = tree.alternatives(message.message_id)
    if len(beside) == 1:
        return None
    return [
        {
            "messageId": node.message_id,
            "createdAt": rfc3339(node.created_at_ms),
            "model": node.model,
            "status": node.status,
        }
        for node in beside
    ]


def message_view(
    message: Message,
    *,
    parent_id: str | None,
    error: Problem | None,
    alternatives: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """Return a message as clients see it; a prompt always says what it follows."""
    view: dict[str, Any] = {
        "messageId": message.message_id,
        "role": message.role,
        "content": message.content,
        "createdAt": rfc3339(message.created_at_ms),
        "status": message.status,
        "parentId": parent_id,
    }
    optional = {
        "runId": message.run_id,
        "model": message.model,
        "finishReason": message.finish_reason,
        "usage": message.usage,
        "error": None if error is None else problem_document(error),
        "alternatives": alternatives,
        "attachments": [attachment_view(file) for file in message.attachments] or None,
    }
    view.update({name: value for name, value in optional.items() if value is not None})
    return view

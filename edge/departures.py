"""Leaving: an account is deleted with all that belongs to it."""

import asyncio
from typing import Annotated

import msgspec
import structlog
from litestar.types import ASGIApp

from contracts.errors import BusError, HistoryUnavailable, ParleyError
from contracts.ports.clock import Clock
from contracts.ports.files import FilesUnavailable
from contracts.ports.history import ChatCursor, History
from contracts.session import CancelRun
from edge.accounts import Accounts
from edge.bodies import Body, read_body
from edge.config import EdgeConfig
from edge.identity import Identity
from edge.logins import PasswordCheck
from edge.problems import refuse
from edge.replies import EmptyReply, json_reply
from edge.routes import AnyRequest, Route
from edge.sessions import Sessions
from edge.stored_files import StoredFiles
from edge.submissions import Submissions

_log = structlog.get_logger()
_PAGE = 100
_STOPPED_AT_ONCE = 16


class Departure(Body, frozen=True):
    """The password, of an account that has one."""

    password: Annotated[str, msgspec.Meta(max_length=256)] | None = None


class Departures:
    """Deletes accounts. The account itself goes first, so nobody can use it any more; what is
    left over when this edge dies half-way, any edge finishes (`sweep`)."""

    def __init__(
        self,
        config: EdgeConfig,
        *,
        history: History,
        files: StoredFiles,
        identity: Identity,
        sessions: Sessions,
        accounts: Accounts,
        check: PasswordCheck,
        submissions: Submissions,
        clock: Clock,
    ) -> None:
        self._config = config
        self._history = history
        self._files = files
        self._identity = identity
        self._sessions = sessions
        self._accounts = accounts
        self._check = check
        self._submissions = submissions
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        return [Route("DELETE", "/me", self.leave, "Delete your account and all in it", Departure)]

    async def leave(self, request: AnyRequest) -> ASGIApp:
        """DELETE /me. 204: nothing is left; 202: the account is gone and the rest follows."""
        caller, _ = await self._identity.owner(request, "delete the account")
        body = await read_body(request, Departure)
        user = await self._history.user_by_id(caller.user_id)
        if user is None:
            raise refuse("unauthenticated", "The account is gone.")
        if user.email is not None:
            await self._check(request, user.email, user.password_hash, body.password or "")
        await self._history.begin_deletion(user.user_id)
        self._sessions.changed(user.user_id)
        headers = (self._accounts.no_cookie(request),)
        if await self._finish(user.user_id):
            return EmptyReply(headers=headers)
        return json_reply({"status": "deleting"}, status=202, headers=headers)

    async def sweep(self) -> None:
        """Finish the deletions that were cut off, now and every `deletion_sweep_s`."""
        while True:
            try:
                for user_id in await self._history.deletions():
                    await self._finish(user_id)
            except HistoryUnavailable as error:
                _log.warning("deletions.unknown", error=str(error))
            await self._clock.sleep(self._config.deletion_sweep_s)

    async def _finish(self, user_id: str) -> bool:
        """Delete what is left of a user; return whether nothing is."""
        try:
            await self._stop_runs(user_id)
            for upload in await self._history.list_uploads(user_id):
                await self._files.forget(upload.file_id)
            await self._history.delete_user_data(user_id)
        except (HistoryUnavailable, FilesUnavailable, BusError) as error:
            _log.warning("deletion.unfinished", user_id=user_id, error=str(error))
            return False
        return True

    async def _stop_runs(self, user_id: str) -> None:
        """Cancel what is being answered, `_STOPPED_AT_ONCE` chats at a time."""
        before: ChatCursor | None = None
        while chats := await self._history.list_chats(user_id, before=before, limit=_PAGE):
            before = ChatCursor(chats[-1].active_at_ms, chats[-1].chat_id)
            active = [chat for chat in chats if chat.active_run_id is not None]
            for start in range(0, len(active), _STOPPED_AT_ONCE):
                commands = [
                    CancelRun(
                        run_id=chat.active_run_id or "", chat_id=chat.chat_id, user_id=user_id
                    )
                    for chat in active[start : start + _STOPPED_AT_ONCE]
                ]
                await asyncio.gather(*map(self._stop, commands))

    async def _stop(self, command: CancelRun) -> None:
        try:
            await self._submissions.cancel(command)
        except ParleyError as error:
            # The run ends by itself, and finds its chat gone.
            _log.warning("deletion.run_goes_on", run_id=command.run_id, error=str(error))

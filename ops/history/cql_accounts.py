"""Users and API keys in CQL."""

# ruff: noqa: D102 - the port says what each call promises

import asyncio
import time
from collections.abc import Sequence

import msgspec

from contracts.codec import decode, encode
from contracts.errors import HistoryConflict
from contracts.records import ApiKey, Upload, User, UserSettings
from contracts.runs import Tier
from ops.history import cql_queries as q
from ops.history.cql_link import CqlLink
from ops.history.rows import from_row, to_row


class CqlAccounts:
    """The port's calls on accounts.

    An address is taken by its claim in `user_emails`. The claim carries the user, so a
    sign-up that was cut off after it is finished by a repeat, or by the first log-in.
    """

    def __init__(self, link: CqlLink) -> None:
        self._link = link

    async def create_user(self, user: User) -> None:
        present = await self.user_by_id(user.user_id)
        if present is not None and present.email != user.email:
            raise HistoryConflict("this user has another e-mail address")
        if user.email is not None:
            await self._claim_email(user.email, user)
        await self._link.applied(q.INSERT_USER, *to_row(user))

    async def _claim_email(self, email: str, user: User) -> None:
        record = encode(user).decode()
        if await self._link.applied(q.CLAIM_EMAIL, email, user.user_id, record):
            return
        claim = await self._link.row(q.EMAIL_SERIAL, email)
        if claim is None or claim[0] != user.user_id:
            raise HistoryConflict("another user has this e-mail address")

    async def user_by_id(self, user_id: str) -> User | None:
        row = await self._link.row(q.USER, user_id)
        return None if row is None else from_row(User, row)

    async def user_by_email(self, email: str) -> User | None:
        claim = await self._link.row(q.EMAIL, email)
        if claim is None:
            return None
        user_id, record = claim
        user = await self.user_by_id(user_id)
        if user is not None:
            return user
        await self._link.applied(q.INSERT_USER, *to_row(decode(record.encode(), User)))
        return await self.user_by_id(user_id)

    async def list_users(self, *, after: str, limit: int) -> Sequence[User]:
        if after:
            rows = await self._link.rows(q.USERS_AFTER, after, limit)
        else:
            rows = await self._link.rows(q.USERS_FIRST, limit)
        return [from_row(User, row) for row in rows]

    async def set_tier(self, user_id: str, tier: Tier) -> bool:
        return await self._link.applied(q.SET_TIER, tier, user_id)

    async def update_user(
        self,
        user_id: str,
        *,
        password_hash: str | None = None,
        sessions_from_ms: int | None = None,
        settings: UserSettings | None = None,
    ) -> User | None:
        changes = (
            (q.SET_PASSWORD, password_hash),
            (q.SET_SESSIONS, sessions_from_ms),
            (q.SET_SETTINGS, None if settings is None else encode(settings).decode()),
        )
        for query, value in changes:
            if value is not None and not await self._link.applied(query, value, user_id):
                return None
        return await self.user_by_id(user_id)

    async def give_email(self, user_id: str, *, email: str, password_hash: str) -> User | None:
        user = await self.user_by_id(user_id)
        if user is None:
            return None
        if user.email not in (None, email):
            raise HistoryConflict("this user has another e-mail address")
        named = msgspec.structs.replace(user, email=email, password_hash=password_hash)
        await self._claim_email(email, named)
        if not await self._link.applied(q.GIVE_EMAIL, email, password_hash, user_id):
            return None
        return await self.user_by_id(user_id)

    async def end_session(self, session_id: str, *, until_ms: int) -> None:
        left_s = until_ms // 1000 + 1 - int(time.time())
        if left_s > 0:
            await self._link.rows(q.END_SESSION, session_id, left_s)

    async def session_ended(self, session_id: str) -> bool:
        return await self._link.row(q.SESSION_ENDED, session_id) is not None

    async def begin_deletion(self, user_id: str) -> bool:
        user = await self.user_by_id(user_id)
        if user is None:
            return False
        await self._link.rows(q.INSERT_DELETION, user_id)
        await self._forget_account(user)
        return True

    async def _forget_account(self, user: User) -> None:
        # The claim first: it could bring the user back.
        if user.email is not None:
            await self._link.applied(q.DELETE_EMAIL, user.email, user.user_id)
        await self._link.applied(q.DELETE_USER, user.user_id)

    async def deletions(self) -> Sequence[str]:
        return [user_id for (user_id,) in await self._link.rows(q.DELETIONS)]

    async def _forget_user(self, user_id: str) -> None:
        """Delete a user's keys, uploads, and the account itself if anything of it is left; may
        be repeated."""
        for key in await self.list_api_keys(user_id):
            await self.delete_api_key(user_id, key.key_id)
        for (file_id,) in await self._link.rows(q.LISTED_UPLOADS, user_id):
            await self._link.rows(q.DELETE_UPLOAD, file_id)
            await self._link.rows(q.DELETE_LISTED_UPLOAD, user_id, file_id)
        user = await self.user_by_id(user_id)
        if user is not None:
            await self._forget_account(user)

    async def create_api_key(self, key: ApiKey) -> None:
        # Listed first: a key that works is always one that its owner sees and can delete.
        await self._link.applied(q.INSERT_LISTED_KEY, *to_row(key))
        await self._link.applied(q.INSERT_KEY, *to_row(key))

    async def api_key_by_hash(self, secret_hash: str) -> ApiKey | None:
        row = await self._link.row(q.KEY, secret_hash)
        return None if row is None else from_row(ApiKey, row)

    async def list_api_keys(self, user_id: str) -> Sequence[ApiKey]:
        return [from_row(ApiKey, row) for row in await self._link.rows(q.LISTED_KEYS, user_id)]

    async def delete_api_key(self, user_id: str, key_id: str) -> bool:
        row = await self._link.row(q.LISTED_KEY, user_id, key_id)
        if row is None:
            return False
        await self._link.applied(q.DELETE_KEY, from_row(ApiKey, row).secret_hash)
        await self._link.applied(q.DELETE_LISTED_KEY, user_id, key_id)
        return True

    async def use_api_key(self, key: ApiKey, at_ms: int) -> None:
        if await self._link.applied(q.USE_KEY, at_ms, key.secret_hash):
            await self._link.applied(q.USE_LISTED_KEY, at_ms, key.user_id, key.key_id)

    # uploads

    async def create_upload(self, upload: Upload) -> None:
        await self._link.rows(q.INSERT_LISTED_UPLOAD, upload.user_id, upload.file_id)
        await self._link.rows(q.INSERT_UPLOAD, *to_row(upload))

    async def upload(self, file_id: str) -> Upload | None:
        row = await self._link.row(q.UPLOAD, file_id)
        return None if row is None else from_row(Upload, row)

    async def list_uploads(self, user_id: str) -> Sequence[Upload]:
        listed = await self._link.rows(q.LISTED_UPLOADS, user_id)
        found = await asyncio.gather(*(self.upload(file_id) for (file_id,) in listed))
        return [upload for upload in found if upload is not None]

    async def delete_upload(self, file_id: str) -> bool:
        upload = await self.upload(file_id)
        if upload is None:
            return False
        await self._link.rows(q.DELETE_UPLOAD, file_id)
        await self._link.rows(q.DELETE_LISTED_UPLOAD, upload.user_id, file_id)
        return True

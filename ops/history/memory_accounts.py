"""Accounts, API keys and uploads of the history in memory."""

# ruff: noqa: D102 - the port says what each call promises

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from contracts.errors import HistoryConflict, HistoryRefused
from contracts.records import ApiKey, Upload, User, UserSettings
from contracts.runs import Tier

T = TypeVar("T")


class MemoryAccounts:
    """The port's calls on accounts, in dictionaries."""

    def __init__(self) -> None:
        self.available = True
        self._users: dict[str, User] = {}
        self._api_keys: dict[str, ApiKey] = {}
        self._uploads: dict[str, Upload] = {}
        self._ended_sessions: dict[str, int] = {}
        self._deletions: dict[str, None] = {}

    def _check(self) -> None:
        if not self.available:
            raise HistoryRefused("the history in memory is switched off")

    # accounts

    async def create_user(self, user: User) -> None:
        self._check()
        present = self._users.get(user.user_id)
        taken = user.email is not None and any(
            other.email == user.email and other.user_id != user.user_id
            for other in self._users.values()
        )
        if taken or (present is not None and present.email != user.email):
            raise HistoryConflict("another user has this e-mail address")
        self._users.setdefault(user.user_id, user)

    async def user_by_id(self, user_id: str) -> User | None:
        self._check()
        return self._users.get(user_id)

    async def user_by_email(self, email: str) -> User | None:
        self._check()
        return first(user for user in self._users.values() if user.email == email)

    async def list_users(self, *, after: str, limit: int) -> Sequence[User]:
        self._check()
        following = sorted(user_id for user_id in self._users if user_id > after)
        return [self._users[user_id] for user_id in following[:limit]]

    async def set_tier(self, user_id: str, tier: Tier) -> bool:
        self._check()
        if user_id not in self._users:
            return False
        self._users[user_id] = msgspec.structs.replace(self._users[user_id], tier=tier)
        return True

    async def update_user(
        self,
        user_id: str,
        *,
        password_hash: str | None = None,
        sessions_from_ms: int | None = None,
        settings: UserSettings | None = None,
    ) -> User | None:
        self._check()
        user = self._users.get(user_id)
        if user is None:
            return None
        self._users[user_id] = msgspec.structs.replace(
            user,
            password_hash=user.password_hash if password_hash is None else password_hash,
            sessions_from_ms=(
                user.sessions_from_ms if sessions_from_ms is None else sessions_from_ms
            ),
            settings=user.settings if settings is None else settings,
        )
        return self._users[user_id]

    async def give_email(self, user_id: str, *, email: str, password_hash: str) -> User | None:
        self._check()
        user = self._users.get(user_id)
        if user is None:
            return None
        holder = await self.user_by_email(email)
        if user.email not in (None, email) or (holder is not None and holder.user_id != user_id):
            raise HistoryConflict("another user has this e-mail address")
        self._users[user_id] = msgspec.structs.replace(
            user, email=email, password_hash=password_hash
        )
        return self._users[user_id]

    async def end_session(self, session_id: str, *, until_ms: int) -> None:
        self._check()
        self._ended_sessions[session_id] = until_ms

    async def session_ended(self, session_id: str) -> bool:
        self._check()
        return session_id in self._ended_sessions

    async def begin_deletion(self, user_id: str) -> bool:
        self._check()
        if self._users.pop(user_id, None) is None:
            return False
        self._deletions[user_id] = None
        return True

    async def deletions(self) -> Sequence[str]:
        self._check()
        return list(self._deletions)

    def _forget_user(self, user_id: str) -> None:
        self._deletions.pop(user_id, None)
        self._api_keys = {k: v for k, v in self._api_keys.items() if v.user_id != user_id}
        self._uploads = {k: v for k, v in self._uploads.items() if v.user_id != user_id}

    async def create_api_key(self, key: ApiKey) -> None:
        self._check()
        self._api_keys.setdefault(key.key_id, key)

    async def api_key_by_hash(self, secret_hash: str) -> ApiKey | None:
        self._check()
        return first(key for key in self._api_keys.values() if key.secret_hash == secret_hash)

    async def list_api_keys(self, user_id: str) -> Sequence[ApiKey]:
        self._check()
        of_user = (key for key in self._api_keys.values() if key.user_id == user_id)
        return sorted(of_user, key=lambda key: key.key_id)

    async def delete_api_key(self, user_id: str, key_id: str) -> bool:
        self._check()
        key = self._api_keys.get(key_id)
        if key is None or key.user_id != user_id:
            return False
        del self._api_keys[key_id]
        return True

    async def use_api_key(self, key: ApiKey, at_ms: int) -> None:
        self._check()
        present = self._api_keys.get(key.key_id)
        if present is not None:
            self._api_keys[key.key_id] = msgspec.structs.replace(present, last_used_at_ms=at_ms)

    # uploads

    async def create_upload(self, upload: Upload) -> None:
        self._check()
        self._uploads.setdefault(upload.file_id, upload)

    async def upload(self, file_id: str) -> Upload | None:
        self._check()
        return self._uploads.get(file_id)

    async def list_uploads(self, user_id: str) -> Sequence[Upload]:
        self._check()
        of_user = (upload for upload in self._uploads.values() if upload.user_id == user_id)
        return sorted(of_user, key=lambda upload: upload.file_id)

    async def delete_upload(self, file_id: str) -> bool:
        self._check()
        return self._uploads.pop(file_id, None) is not None


def first(found: Iterable[T]) -> T | None:
    """Return the first of what was found, if any."""
    return next(iter(found), None)

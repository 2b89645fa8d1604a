"""Who asks: from a session cookie, a bearer token or an API key, never from a path or body."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

import msgspec
import structlog
from litestar import Request

from contracts.errors import HistoryUnavailable, Refused
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.records import ApiKey, User, UserSettings
from contracts.runs import Tier
from edge.config import EdgeConfig
from edge.expiring import ExpiringCache
from edge.origins import refuse_other_site
from edge.problems import refuse
from edge.scopes import Scope, allows, scope_of
from edge.sessions import Sessions
from edge.tokens import Session

SESSION_COOKIE = "parley_session"
CLIENT_HEADER = "x-parley-client"
API_KEY_PREFIX = "pk_"

_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
_CREDENTIAL_LENGTH_MAX = 2_048
_USED_MS = 60_000

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Caller:
    """The user behind a request, and by what they proved it; `session` None: by a key."""

    user_id: str
    tier: Tier
    email: str | None
    proof: Literal["cookie", "token", "key"]
    settings: UserSettings = field(default_factory=UserSettings)
    session: Session | None = None


def secret_hash(key: str) -> str:
    """Return the form in which an API key is stored: SHA-256, hex. A key has 200 bits of
    entropy, so a slow hash would add nothing but time to each request."""
    return sha256(key.encode()).hexdigest()


class Identity:
    """Resolves callers. Keys are remembered for a few seconds; a deleted one is refused at
    once on every edge that hears of it, and that much later on one that does not. When a key
    was last used is written at most once a minute."""

    def __init__(
        self, config: EdgeConfig, history: History, sessions: Sessions, clock: Clock
    ) -> None:
        self._history = history
        self._sessions = sessions
        self._clock = clock
        ttl_ms = int(config.lookup_ttl_s * 1000)
        self._keys: ExpiringCache[str, ApiKey] = ExpiringCache(
            size=config.lookups_max, ttl_ms=ttl_ms
        )

    async def caller(self, request: Request[Any, Any, Any]) -> Caller:
        """Return who asks.

        Raises:
            Refused: 401 without a valid proof; 403 for an unsafe method that a cookie alone
                proves and that another site's page sent, or could have sent
                (`X-Parley-Client` is missing).
        """
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if scheme:
            credential = credential.strip()
            if scheme.lower() != "bearer" or not 0 < len(credential) <= _CREDENTIAL_LENGTH_MAX:
                raise refuse("unauthenticated", "Send Authorization: Bearer with a token or key.")
            if credential.startswith(API_KEY_PREFIX):
                return await self._caller_of_key(credential, scope_of(request.url.path))
            return await self._caller_of_token(credential, "token")
        cookie = request.cookies.get(SESSION_COOKIE, "")
        if not 0 < len(cookie) <= _CREDENTIAL_LENGTH_MAX:
            raise refuse("unauthenticated", "Log in, or send Authorization: Bearer.")
        if request.method not in _SAFE_METHODS:
            refuse_other_site(request)
            if CLIENT_HEADER not in request.headers:
                raise refuse(
                    "forbidden",
                    "A request proved by a cookie alone needs the header X-Parley-Client.",
                )
        return await self._caller_of_token(cookie, "cookie")

    async def owner(self, request: Request[Any, Any, Any], what: str) -> tuple[Caller, Session]:
        """Return who asks by a session of their own; a key may not do `what`: one that leaked
        could otherwise take over the account. Raises Refused."""
        caller = await self.caller(request)
        if caller.session is None:
            raise refuse("forbidden", f"Log in to {what}; a key can't.")
        return caller, caller.session

    def session(self, request: Request[Any, Any, Any]) -> Session | None:
        """Return the session that the request names, ended or not; None if there is none."""
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        token = credential.strip() if scheme else request.cookies.get(SESSION_COOKIE, "")
        return self._sessions.read(token) if 0 < len(token) <= _CREDENTIAL_LENGTH_MAX else None

    def forget_key(self, key: ApiKey) -> None:
        """A key was deleted here: refuse it at once, everywhere."""
        self._keys.drop(key.secret_hash)
        self._sessions.end_key(key.secret_hash)

    async def _caller_of_token(self, token: str, proof: Literal["cookie", "token"]) -> Caller:
        found = await self._sessions.user(token)
        if found is None:
            raise _not_valid("The session has ended or is not valid; log in again.")
        return _caller(*found, proof=proof)

    async def _caller_of_key(self, credential: str, scope: Scope) -> Caller:
        key = await self._key(secret_hash(credential))
        user = await self._sessions.user_by_id(key.user_id) if key is not None else None
        if key is None or user is None:
            raise _not_valid("The API key is not valid.")
        if not allows(key.scope, scope):
            raise refuse("forbidden", f"This key may not be used here: it lacks the scope {scope}.")
        return _caller(user, None, proof="key")

    async def _key(self, hashed: str) -> ApiKey | None:
        """Return a key as it was at most `lookup_ttl_s` ago, None if it is deleted."""
        if self._sessions.key_ended(hashed):
            return None
        key = self._keys.get(hashed, self._clock.monotonic_ms())
        if key is None:
            key = await self._history.api_key_by_hash(hashed)
            if key is not None:
                self._keys.put(hashed, key, self._clock.monotonic_ms())
        return None if key is None else await self._used(key)

    async def _used(self, key: ApiKey) -> ApiKey:
        """Write that the key is used, if that was not written within the last minute."""
        now_ms = self._clock.now_ms()
        if key.last_used_at_ms is not None and now_ms - key.last_used_at_ms < _USED_MS:
            return key
        used = msgspec.structs.replace(key, last_used_at_ms=now_ms)
        self._keys.put(key.secret_hash, used, self._clock.monotonic_ms())
        try:
            await self._history.use_api_key(key, now_ms)
        except HistoryUnavailable:
            _log.warning("key.use_not_written", key_id=key.key_id)
        return used


def _caller(
    user: User, session: Session | None, *, proof: Literal["cookie", "token", "key"]
) -> Caller:
    return Caller(
        user_id=user.user_id,
        tier=user.tier,
        email=user.email,
        proof=proof,
        settings=user.settings or UserSettings(),
        session=session,
    )


def _not_valid(detail: str) -> Refused:
    return refuse("unauthenticated", detail)

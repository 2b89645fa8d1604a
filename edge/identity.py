"""Who asks: from a session cookie, a bearer token or an API key, never from a path or body."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from litestar import Request

from contracts.errors import Refused
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.records import ApiKey, User
from contracts.runs import Tier
from edge.config import EdgeConfig
from edge.expiring import ExpiringCache
from edge.problems import refuse
from edge.tokens import SessionTokens

SESSION_COOKIE = "parley_session"
CLIENT_HEADER = "x-parley-client"
API_KEY_PREFIX = "pk_"

_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
_CREDENTIAL_LENGTH_MAX = 2_048


@dataclass(frozen=True, slots=True)
class Caller:
    """The user behind a request, and by what they proved it."""

    user_id: str
    tier: Tier
    email: str | None
    proof: Literal["cookie", "token", "key"]


def secret_hash(key: str) -> str:
    """Return the form in which an API key is stored: SHA-256, hex. A key has 200 bits of
    entropy, so a slow hash would add nothing but time to each request."""
    return sha256(key.encode()).hexdigest()


class Identity:
    """Resolves callers. Users and keys are remembered for a few seconds, so a busy client
    costs no read per request; a changed tier or a deleted key takes effect that much later
    on other edges."""

    def __init__(self, config: EdgeConfig, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock
        self.tokens = SessionTokens(config.token_keys, lifetime_s=config.session_s)
        ttl_ms = int(config.lookup_ttl_s * 1000)
        self._users: ExpiringCache[str, User] = ExpiringCache(
            size=config.lookups_max, ttl_ms=ttl_ms
        )
        self._keys: ExpiringCache[str, ApiKey] = ExpiringCache(
            size=config.lookups_max, ttl_ms=ttl_ms
        )

    async def caller(self, request: Request[Any, Any, Any]) -> Caller:
        """Return who asks.

        Raises:
            Refused: 401 without a valid proof; 403 for an unsafe method that a cookie alone
                proves: another site's page could have sent it (`X-Parley-Client` is missing).
        """
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if scheme:
            credential = credential.strip()
            if scheme.lower() != "bearer" or not 0 < len(credential) <= _CREDENTIAL_LENGTH_MAX:
                raise refuse("unauthenticated", "Send Authorization: Bearer with a token or key.")
            if credential.startswith(API_KEY_PREFIX):
                return await self._caller_of_key(credential)
            return await self._caller_of_token(credential, "token")
        cookie = request.cookies.get(SESSION_COOKIE, "")
        if not 0 < len(cookie) <= _CREDENTIAL_LENGTH_MAX:
            raise refuse("unauthenticated", "Log in, or send Authorization: Bearer.")
        if request.method not in _SAFE_METHODS and CLIENT_HEADER not in request.headers:
            raise refuse(
                "forbidden",
                "A request proved by a cookie alone needs the header X-Parley-Client.",
            )
        return await self._caller_of_token(cookie, "cookie")

    def forget_key(self, key: ApiKey) -> None:
        """A key was deleted here: refuse it at once."""
        self._keys.drop(key.secret_hash)

    async def _caller_of_token(self, token: str, proof: Literal["cookie", "token"]) -> Caller:
        user_id = self.tokens.verify(token, self._clock.now_ms())
        user = await self._user(user_id) if user_id is not None else None
        if user is None:
            raise _not_valid("The session has expired or is not valid; log in again.")
        return _caller(user, proof)

    async def _caller_of_key(self, credential: str) -> Caller:
        hashed = secret_hash(credential)
        now_ms = self._clock.monotonic_ms()
        key = self._keys.get(hashed, now_ms)
        if key is None:
            key = await self._history.api_key_by_hash(hashed)
            if key is None:
                raise _not_valid("The API key is not valid.")
            self._keys.put(hashed, key, now_ms)
        user = await self._user(key.user_id)
        if user is None:
            raise _not_valid("The API key is not valid.")
        return _caller(user, "key")

    async def _user(self, user_id: str) -> User | None:
        now_ms = self._clock.monotonic_ms()
        user = self._users.get(user_id, now_ms)
        if user is None:
            user = await self._history.user_by_id(user_id)
            if user is not None:
                self._users.put(user_id, user, now_ms)
        return user


def _caller(user: User, proof: Literal["cookie", "token", "key"]) -> Caller:
    return Caller(user_id=user.user_id, tier=user.tier, email=user.email, proof=proof)


def _not_valid(detail: str) -> Refused:
    return refuse("unauthenticated", detail)

"""Session tokens: JWTs (RFC 7519) signed with HS256 under a named key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from contracts.ids import is_id
from edge.config import TokenKey

_ISSUER = "parley"
_ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class Session:
    """What a token says: whose session it is, which one, and from when to when it lasts.
    `session_id` '' : issued before sessions had names; it can only end with all others."""

    user_id: str
    session_id: str
    issued_ms: int
    expires_ms: int


class SessionTokens:
    """Issues and verifies tokens. The first key signs; any key verifies its own."""

    def __init__(self, keys: Sequence[TokenKey], *, lifetime_s: int) -> None:
        self._signing = keys[0]
        self._secrets = {key.key_id: key.secret for key in keys}
        self._lifetime_s = lifetime_s

    def issue(self, user_id: str, session_id: str, now_ms: int) -> str:
        """Return a token for a session that is valid from now for the lifetime."""
        claims = {
            "iss": _ISSUER,
            "sub": user_id,
            "jti": session_id,
            "iat": now_ms / 1000,
            "exp": now_ms // 1000 + self._lifetime_s,
        }
        return jwt.encode(
            claims,
            self._signing.secret,
            algorithm=_ALGORITHM,
            headers={"kid": self._signing.key_id},
        )

    def verify(self, token: str, now_ms: int) -> Session | None:
        """Return the session of a token that we signed and that has not expired."""
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            secret = self._secrets.get(key_id) if isinstance(key_id, str) else None
            if secret is None:
                return None
            claims = jwt.decode(
                token,
                secret,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                options={
                    "require": ["sub", "exp", "iat", "iss"],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidTokenError:
            return None
        return _session(claims, now_ms)


def _session(claims: dict[str, Any], now_ms: int) -> Session | None:
    user_id, session_id = claims["sub"], claims.get("jti", "")
    issued_s, expires_s = claims["iat"], claims["exp"]
    if not isinstance(expires_s, int) or not isinstance(issued_s, int | float):
        return None
    named = is_id(user_id, "user") and (session_id == "" or is_id(session_id, "login"))
    if not named or expires_s * 1000 <= now_ms:
        return None
    return Session(user_id, session_id, round(issued_s * 1000), expires_s * 1000)

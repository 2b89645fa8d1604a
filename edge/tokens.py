"""Session tokens: JWTs (RFC 7519) signed with HS256 under a named key."""

from collections.abc import Sequence

import jwt

from contracts.ids import is_id
from edge.config import TokenKey

_ISSUER = "parley"
_ALGORITHM = "HS256"


class SessionTokens:
    """Issues and verifies tokens. The first key signs; any key verifies its own."""

    def __init__(self, keys: Sequence[TokenKey], *, lifetime_s: int) -> None:
        self._signing = keys[0]
        self._secrets = {key.key_id: key.secret for key in keys}
        self._lifetime_s = lifetime_s

    def issue(self, user_id: str, now_ms: int) -> str:
        """Return a token for `user_id` that is valid from now for the lifetime."""
        now_s = now_ms // 1000
        claims = {"iss": _ISSUER, "sub": user_id, "iat": now_s, "exp": now_s + self._lifetime_s}
        return jwt.encode(
            claims,
            self._signing.secret,
            algorithm=_ALGORITHM,
            headers={"kid": self._signing.key_id},
        )

    def verify(self, token: str, now_ms: int) -> str | None:
        """Return the user id of a token that we signed and that has not expired."""
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
                    "require": ["sub", "exp", "iss"],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidTokenError:
            return None
        user_id, expires_s = claims["sub"], claims["exp"]
        if not isinstance(expires_s, int) or expires_s * 1000 <= now_ms:
            return None
        return user_id if is_id(user_id, "user") else None

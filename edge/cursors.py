"""Page cursors: opaque, signed, bound to what they page through."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from edge.problems import FieldError, InvalidRequest

_SIGNATURE_BYTES = 12
_LENGTH_MAX = 512


class CursorSigner:
    """Makes and checks cursors. The first secret signs, any verifies."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._keys = [blake2b(secret, person=b"parley.cursor").digest() for secret in secrets]

    def sign(self, scope: str, values: Sequence[int | str]) -> str:
        """Return the cursor that carries `values` for the listing named `scope`."""
        payload = msgspec.json.encode(values)
        signature = self._signature(self._keys[0], scope, payload)
        return urlsafe_b64encode(signature + payload).rstrip(b"=").decode()

    def open(self, scope: str, cursor: str) -> list[int | str]:
        """Return the values. Raises InvalidRequest (400) unless we made it for `scope`."""
        if len(cursor) > _LENGTH_MAX or not cursor.isascii():
            raise _bad_cursor()
        try:
            raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except ValueError as error:
            raise _bad_cursor() from error
        signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not any(
            hmac.compare_digest(signature, self._signature(key, scope, payload))
            for key in self._keys
        ):
            raise _bad_cursor()
        return msgspec.json.decode(payload, type=list[int | str])

    @staticmethod
    def _signature(key: bytes, scope: str, payload: bytes) -> bytes:
        signed = scope.encode() + b"\0" + payload
        return blake2b(signed, key=key[:64], digest_size=_SIGNATURE_BYTES).digest()


def _bad_cursor() -> InvalidRequest:
    return InvalidRequest(
        "The cursor is not one that this listing gave; begin without one.",
        (FieldError(field="cursor", message="is not valid here"),),
        code="bad_request",
    )

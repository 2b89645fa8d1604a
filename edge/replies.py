"""Answers as small ASGI applications: Litestar routes to them and is out of their way."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar.types import Receive, Scope, Send

_encoder = msgspec.json.Encoder()

JSON_TYPE = b"application/json"


def rfc3339(at_ms: int) -> str:
    """Return milliseconds since 1970 as RFC 3339 in UTC."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class BytesReply:
    """A whole answer. `headers` are names in lower case and values."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(
        self,
        body: bytes,
        *,
        status: int = 200,
        media_type: bytes = JSON_TYPE,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        self._body = body
        self._status = status
        self._headers = [
            (b"content-type", media_type),
            (b"content-length", str(len(body)).encode()),
            *headers,
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it (ASGI)."""
        await send(
            {"type": "http.response.start", "status": self._status, "headers": self._headers}
        )
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


class EmptyReply:
    """An answer without a body."""

    __slots__ = ("_headers", "_status")

    def __init__(self, status: int = 204, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._status = status
        self._headers = list(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it (ASGI)."""
        await send(
            {"type": "http.response.start", "status": self._status, "headers": self._headers}
        )
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def json_reply(
    value: Mapping[str, Any] | msgspec.Struct,
    *,
    status: int = 200,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> BytesReply:
    """Return `value` as a JSON answer that no cache keeps."""
    return BytesReply(
        _encoder.encode(value),
        status=status,
        headers=((b"cache-control", b"no-store"), *headers),
    )

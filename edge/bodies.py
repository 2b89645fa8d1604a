"""Reading requests: JSON bodies into strict structs, query values into checked ones."""

import re
from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from litestar import Request

from contracts.ids import IdKind, is_id
from edge.problems import FieldError, InvalidRequest, refuse

T = TypeVar("T")

PAGE_DEFAULT = 20
PAGE_MAX = 100

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The base of every body that Parley's own routes take: unknown fields are refused."""


@cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


async def read_bytes(request: Request[Any, Any, Any]) -> bytes:
    """Return a JSON body as it is, empty if there is none.

    Raises:
        InvalidRequest: it has another media type. Requiring JSON also keeps other sites'
            forms out: a browser asks first before it sends JSON across origins.
    """
    data = await request.body()
    if data:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise InvalidRequest(
                "The body must be JSON: send Content-Type: application/json.",
                code="unsupported_media_type",
            )
    return data


def decode_json(data: bytes, kind: type[T]) -> T:
    """Return the value of type `kind` that `data` encodes; no type is converted.

    Raises:
        InvalidRequest: 400 if it is not JSON, 422 with the field if it is not of that type.
    """
    decoder: msgspec.json.Decoder[T] = _decoder(cast("Hashable", kind))
    try:
        value = decoder.decode(data)
    except msgspec.ValidationError as error:
        found = _field_error(str(error))
        where = f"{found.field}: " if found.field else ""
        raise InvalidRequest(f"{where}{found.message}", (found,)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The body is not JSON: {error}", code="bad_request") from error
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deeply.", code="bad_request") from error
    return value


async def read_body(request: Request[Any, Any, Any], kind: type[T]) -> T:
    """Return the request's body as a `kind`; a missing body reads as an empty object."""
    return decode_json(await read_bytes(request) or b"{}", kind)


def _field_error(text: str) -> FieldError:
    match = _AT.match(text)
    what, path = (match["what"], match["path"] or "") if match else (text, "")
    if unknown := _UNKNOWN.search(what):
        path = f"{path}.{unknown['name']}" if path else unknown["name"]
        what = "is not a field of this request"
    return FieldError(field=path, message=what)


def invalid(field: str, message: str) -> InvalidRequest:
    """Return the refusal of one field."""
    return InvalidRequest(f"{field}: {message}", (FieldError(field=field, message=message),))


def page_limit(request: Request[Any, Any, Any]) -> int:
    """Return `?limit`, 1–100, default 20."""
    text = request.query_params.get("limit")
    if text is None:
        return PAGE_DEFAULT
    value = whole_number(text, most=PAGE_MAX)
    if value is None or value < 1:
        raise InvalidRequest(
            f"limit must be a whole number from 1 to {PAGE_MAX}.",
            (FieldError(field="limit", message=f"must be from 1 to {PAGE_MAX}"),),
            code="bad_request",
        )
    return value


def whole_number(text: str, *, most: int) -> int | None:
    """Return the number that ASCII digits write, None if it is none or above `most`."""
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        return None
    value = int(text)
    return value if value <= most else None


def path_id(request: Request[Any, Any, Any], name: str, kind: IdKind) -> str:
    """Return an id of the path. What can't be an id is nobody's: 404."""
    text: str = request.path_params[name]
    if not is_id(text, kind):
        raise refuse("not_found", f"There is no such {_WORDS[kind]}.")
    return text


_WORDS: dict[IdKind, str] = {
    "run": "run",
    "chat": "chat",
    "msg": "message",
    "user": "user",
    "key": "key",
    "req": "request",
    "gpu": "worker",
    "host": "host",
    "login": "session",
    "file": "file",
    "share": "share",
    "resp": "response",
}

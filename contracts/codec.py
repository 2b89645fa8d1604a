"""JSON encoding of wire structs, by cached encoders and decoders.

JSON, because operators read the streams with the NATS CLI.
"""

from collections.abc import Hashable
from functools import cache
from types import UnionType
from typing import Any, TypeVar, overload

import msgspec

from contracts.errors import BadMessage

T = TypeVar("T")

_encoder = msgspec.json.Encoder()


def encode(value: msgspec.Struct) -> bytes:
    """Return the JSON form of a wire struct."""
    return _encoder.encode(value)


@cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    shape: Any = kind
    return msgspec.json.Decoder(shape)


@overload
def decode(data: bytes, kind: type[T]) -> T: ...
@overload
def decode(data: bytes, kind: UnionType) -> Any: ...
def decode(data: bytes, kind: Any) -> Any:
    """Return the struct of type `kind` (a struct or a tagged union) that `data` encodes.

    Raises:
        BadMessage: the bytes are not JSON, or not of that shape. The shell that received
            them drops the message and counts it; a sender of ours never makes one.
    """
    try:
        return _decoder(kind).decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadMessage(str(error)) from error

"""Ids: opaque strings that sort by time.

The form is a kind and 26 characters of Crockford base 32 (the ULID layout: 48 bits of
milliseconds, 80 bits of entropy), lower case, so an id is also a legal subject token.
Time and entropy come from the caller: this module is pure.
"""

from typing import Literal

IdKind = Literal[
    "run", "chat", "msg", "user", "key", "req", "gpu", "host", "login", "file", "share", "resp"
]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ENTROPY_BYTES = 10
SECRET_ENTROPY_BYTES = 16


def make_id(kind: IdKind, now_ms: int, entropy: bytes) -> str:
    """Return a new id of `kind` that sorts after every id made in an earlier millisecond.

    Args:
        kind: the prefix.
        now_ms: wall clock, milliseconds since 1970, 0 ≤ now_ms < 2**48.
        entropy: exactly `ENTROPY_BYTES` random bytes.
    Raises:
        ValueError: time or entropy out of range (a bug of the caller).
    """
    if len(entropy) != ENTROPY_BYTES or not 0 <= now_ms < 1 << 48:
        raise ValueError("an id needs 48 bits of time and 10 bytes of entropy")
    return _written(kind, now_ms << 80 | int.from_bytes(entropy, "big"))


def make_secret_id(kind: IdKind, entropy: bytes) -> str:
    """Return a new id of `kind` that tells no time and that nobody can guess: whoever has it
    may see what it names.

    Raises:
        ValueError: not exactly `SECRET_ENTROPY_BYTES` random bytes (a bug of the caller).
    """
    if len(entropy) != SECRET_ENTROPY_BYTES:
        raise ValueError("a secret id needs 16 bytes of entropy")
    return _written(kind, int.from_bytes(entropy, "big"))


def _written(kind: IdKind, number: int) -> str:
    digits = "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
    return f"{kind}_{digits}"


def is_id(text: str, kind: IdKind) -> bool:
    """Say whether `text` has the form of an id of `kind`; nothing else may enter a subject."""
    prefix, _, digits = text.partition("_")
    return prefix == kind and len(digits) == 26 and all(c in _ALPHABET for c in digits)


def id_time_ms(text: str) -> int:
    """Return the millisecond in which a well-formed id was made."""
    number = 0
    for char in text.partition("_")[2]:
        number = number << 5 | _ALPHABET.index(char)
    return number >> 80


def made_since_ms(run_id: str) -> int | None:
    """Return a time before which a run was not made: that of its id, or of the chat or whatever
    its id begins with; None for a name that tells no time."""
    digits = run_id.partition("_")[2][:26]
    if len(digits) < 26 or any(char not in _ALPHABET for char in digits):
        return None
    return id_time_ms(f"_{digits}")


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of `key`, 0 ≤ p < `partitions`: FNV-1a-32 modulo the count.

    The same as the NATS server's `{{partition(n,1)}}` mapping, so an operator can compute it.
    """
    value = 0x811C9DC5
    for byte in key.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value % partitions

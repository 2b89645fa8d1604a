"""The secrets that sign session tokens: a file of `id secret-in-hex` lines; the first signs,
all verify, so a key is rotated by putting a new line in front."""

import contextlib
import os
import secrets
from pathlib import Path

from contracts.errors import ParleyError
from edge.config import TOKEN_SECRET_BYTES_MIN, TokenKey


class BadTokenKeys(ParleyError):
    """The file can't be read or made, or is malformed."""


def load_token_keys(path: Path) -> tuple[TokenKey, ...]:
    """Return the keys of the file; it is made with one new key if it is not there.

    Several edges that start at once agree on one file.

    Raises:
        BadTokenKeys: with the line or the reason.
    """
    try:
        if not path.exists():
            _create(path)
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadTokenKeys(
            f"The token keys {path} can't be read or made ({error.strerror}): edges need them to "
            "recognise who has logged in."
        ) from error
    keys = tuple(_parse(line, number, path) for number, line in enumerate(lines, 1) if line.strip())
    if not keys:
        raise BadTokenKeys(f"The token keys {path} are empty: delete the file to have one made.")
    return keys


def _create(path: Path) -> None:
    """Written aside and linked into place, so that nobody reads half and the first one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{secrets.token_hex(4)} {secrets.token_hex(TOKEN_SECRET_BYTES_MIN)}\n")
    with contextlib.suppress(FileExistsError):
        os.link(mine, path)
    mine.unlink()


def _parse(line: str, number: int, path: Path) -> TokenKey:
    key_id, _, secret = line.strip().partition(" ")
    try:
        return TokenKey(key_id, bytes.fromhex(secret))
    except ValueError as error:
        raise BadTokenKeys(
            f"Line {number} of the token keys {path} is not an id and at least "
            f"{2 * TOKEN_SECRET_BYTES_MIN} hex digits."
        ) from error

"""Files: the bytes that users upload. Real: a local folder or an S3-like store (obstore);
fake: in memory."""

from typing import Protocol

from contracts.errors import ParleyError


class FilesUnavailable(ParleyError):
    """The file store can't be reached, or takes no more; a write's effect is unknown."""


class Files(Protocol):
    """Bytes by name: letters, digits, `_` and `.`. Every call may be repeated,
    and raises `FilesUnavailable` when the store does."""

    async def put(self, name: str, data: bytes) -> None:
        """Store, in place of what had this name: wholly or not at all."""
        ...

    async def get(self, name: str) -> bytes | None:
        """Return what was stored, None if nothing was."""
        ...

    async def delete(self, name: str) -> None:
        """Forget it, if it is there."""
        ...

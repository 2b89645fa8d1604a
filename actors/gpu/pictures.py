"""The bytes of a run's pictures, read from the file store and checked (ADR 0027)."""

import asyncio
from collections.abc import Sequence
from hashlib import sha256

from contracts.errors import ParleyError
from contracts.ports.clock import Clock
from contracts.ports.files import Files, FilesUnavailable
from contracts.runs import Picture

_TRIES = 5
_AGAIN_S = 0.3


class PictureLost(ParleyError):
    """A picture is not what the prompt was made with; the message says it to the user."""


class PictureReader:
    """Reads pictures; one that is gone, or another by now, is never replaced in silence."""

    def __init__(self, files: Files, clock: Clock) -> None:
        self._files = files
        self._clock = clock

    async def read(self, pictures: Sequence[Picture]) -> tuple[bytes, ...]:
        """Return their bytes, in order. Raises PictureLost."""
        return tuple(await asyncio.gather(*(self._one(picture) for picture in pictures)))

    async def _one(self, picture: Picture) -> bytes:
        data = await self._data(picture.name)
        if data is None:
            raise PictureLost("A picture of this conversation has been deleted.")
        if sha256(data).hexdigest() != picture.digest:
            raise PictureLost("A picture of this conversation is not what it was.")
        return data

    async def _data(self, name: str) -> bytes | None:
        for _ in range(_TRIES - 1):
            try:
                return await self._files.get(name)
            except FilesUnavailable:
                await self._clock.sleep(_AGAIN_S)
        try:
            return await self._files.get(name)
        except FilesUnavailable as error:
            raise PictureLost("The pictures of this conversation can't be read now.") from error

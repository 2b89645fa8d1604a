"""A file's two halves in the file store: its bytes, and the text that was found in it."""

import asyncio

from contracts.ports.files import Files


class StoredFiles:
    """Keeps uploads by their id."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def keep(self, file_id: str, data: bytes, text: str) -> None:
        """Store both. Raises FilesUnavailable."""
        await self._files.put(f"{file_id}.data", data)
        if text:
            await self._files.put(f"{file_id}.text", text.encode())

    async def data(self, file_id: str) -> bytes | None:
        """Return the bytes, None if they are gone. Raises FilesUnavailable."""
        return await self._files.get(f"{file_id}.data")

    async def text(self, file_id: str) -> str:
        """Return the text, '' if there is none. Raises FilesUnavailable."""
        return (await self._files.get(f"{file_id}.text") or b"").decode()

    async def forget(self, file_id: str) -> None:
        """Delete both. Raises FilesUnavailable."""
        await asyncio.gather(
            self._files.delete(f"{file_id}.data"), self._files.delete(f"{file_id}.text")
        )

"""Files in a folder or an S3-like store, through obstore.

Its calls that block are made in threads: those that it offers to asyncio end now and then, when
the interpreter does, with an abort of the whole process (obstore 0.12.1).
"""

# ruff: noqa: D102 - the port says what each call promises

import asyncio
import contextlib
from pathlib import Path

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, S3Store

from contracts.ports.files import FilesUnavailable

TROUBLE = (BaseError, OSError)
"""What obstore raises when the store is the reason."""


class ObjectStoreFiles:
    """Files as the objects of a store. A write is seen wholly or not at all."""

    def __init__(self, store: LocalStore | S3Store) -> None:
        self._store = store

    async def put(self, name: str, data: bytes) -> None:
        try:
            await asyncio.to_thread(obstore.put, self._store, name, data)
        except TROUBLE as error:
            raise FilesUnavailable(f"the file could not be stored: {error}") from error

    async def get(self, name: str) -> bytes | None:
        try:
            return await asyncio.to_thread(self._read, name)
        except (NotFoundError, FileNotFoundError):
            return None
        except TROUBLE as error:
            raise FilesUnavailable(f"the file could not be read: {error}") from error

    async def delete(self, name: str) -> None:
        try:
            with contextlib.suppress(NotFoundError, FileNotFoundError):
                await asyncio.to_thread(obstore.delete, self._store, name)
        except TROUBLE as error:
            raise FilesUnavailable(f"the file could not be deleted: {error}") from error

    def _read(self, name: str) -> bytes:
        return bytes(obstore.get(self._store, name).bytes())


def folder(path: Path) -> ObjectStoreFiles:
    """Return the files in a folder, for its owner's eyes. Raises FilesUnavailable."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ObjectStoreFiles(LocalStore(path.absolute()))
    except TROUBLE as error:
        raise FilesUnavailable(f"{path} can't hold files: {error}") from error


def s3(bucket: str, prefix: str) -> ObjectStoreFiles:
    """Return the files of a bucket, under a prefix if it is not ''."""
    return ObjectStoreFiles(S3Store(bucket, prefix=prefix or None))

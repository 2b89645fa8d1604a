"""`MemoryFiles`: the fake, and `memory:` for trying things out."""

# ruff: noqa: D102 - the port says what each call promises

from contracts.ports.files import FilesUnavailable


class MemoryFiles:
    """Files in a dictionary. While `available` is False every call raises FilesUnavailable."""

    def __init__(self) -> None:
        self.available = True
        self.stored: dict[str, bytes] = {}

    async def put(self, name: str, data: bytes) -> None:
        self._check()
        self.stored[name] = data

    async def get(self, name: str) -> bytes | None:
        self._check()
        return self.stored.get(name)

    async def delete(self, name: str) -> None:
        self._check()
        self.stored.pop(name, None)

    def _check(self) -> None:
        if not self.available:
            raise FilesUnavailable("the files in memory are switched off")

"""The part of history that keeps responses of the API; see `contracts.ports.history`."""

from typing import Protocol

from contracts.responses import ResponseRecord


class Responses(Protocol):
    """Stored responses."""

    async def create_response(self, record: ResponseRecord) -> ResponseRecord:
        """Store a response, unless it is there; return what is stored under its id. Raises
        HistoryConflict if another response of this user has its idempotency key."""
        ...

    async def response(self, response_id: str) -> ResponseRecord | None: ...

    async def response_by_key(self, user_id: str, idempotency_key: str) -> ResponseRecord | None:
        """Return the user's response that was made under this idempotency key."""
        ...

    async def finish_response(self, record: ResponseRecord) -> bool:
        """Store the end. Return False, changing nothing, if it is not active (any more)."""
        ...

    async def delete_response(self, response_id: str) -> bool:
        """Return whether there was one."""
        ...

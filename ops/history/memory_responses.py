"""Responses of the API in the history in memory."""

# ruff: noqa: D102 - the port says what each call promises

from contracts.errors import HistoryConflict
from contracts.responses import ResponseRecord
from ops.history.memory_accounts import MemoryAccounts, first


class MemoryResponses(MemoryAccounts):
    """The port's calls on responses, in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self._responses: dict[str, ResponseRecord] = {}

    async def create_response(self, record: ResponseRecord) -> ResponseRecord:
        self._check()
        present = self._responses.get(record.response_id)
        if present is not None:
            return present
        key = record.idempotency_key
        if key and await self.response_by_key(record.user_id, key) is not None:
            raise HistoryConflict("another response has this idempotency key")
        self._responses[record.response_id] = record
        return record

    async def response(self, response_id: str) -> ResponseRecord | None:
        self._check()
        return self._responses.get(response_id)

    async def response_by_key(self, user_id: str, idempotency_key: str) -> ResponseRecord | None:
        self._check()
        return first(
            record
            for record in self._responses.values()
            if (record.user_id, record.idempotency_key) == (user_id, idempotency_key)
        )

    async def finish_response(self, record: ResponseRecord) -> bool:
        self._check()
        present = self._responses.get(record.response_id)
        if present is None or present.state != "active":
            return False
        self._responses[record.response_id] = record
        return True

    async def delete_response(self, response_id: str) -> bool:
        self._check()
        return self._responses.pop(response_id, None) is not None

    def _forget_user(self, user_id: str) -> None:
        super()._forget_user(user_id)
        self._responses = {k: v for k, v in self._responses.items() if v.user_id != user_id}

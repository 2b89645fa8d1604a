"""Responses of the API in CQL.

A response is listed before it is made and unlisted after it is deleted, so the deletion of an
account finds all of them. The claim of an idempotency key comes before both and becomes final
after both: until then it gives way to the next, so a maker that died holds no key, and of several
at once the one whose claim became final stands.
"""

# ruff: noqa: D102 - the port says what each call promises

from contracts.errors import HistoryConflict
from contracts.responses import ResponseRecord
from ops.history import cql_queries as q
from ops.history.cql_link import CqlLink
from ops.history.rows import from_row, to_row

_TAKEN = "another response has this idempotency key"


class CqlResponses:
    """The port's calls on responses."""

    def __init__(self, link: CqlLink) -> None:
        self._link = link

    async def create_response(self, record: ResponseRecord) -> ResponseRecord:
        present = await self._response(q.RESPONSE_SERIAL, record.response_id)
        if present is None:
            if record.idempotency_key:
                await self._claim_key(record)
            await self._link.rows(q.INSERT_LISTED_RESPONSE, record.user_id, record.response_id)
            if not await self._link.applied(q.INSERT_RESPONSE, *to_row(record)):
                present = await self._response(q.RESPONSE_SERIAL, record.response_id)
        if record.idempotency_key:
            await self._keep_key(record)
        return present or record

    async def _claim_key(self, record: ResponseRecord) -> None:
        """Take the key, also from a response that was not made yet: it may never be."""
        user_id, key, response_id = record.user_id, record.idempotency_key, record.response_id
        if await self._link.applied(q.CLAIM_RESPONSE_KEY, user_id, key, response_id, False):
            return
        claim = await self._link.row(q.RESPONSE_KEY_SERIAL, user_id, key)
        holder = claim[0] if claim is not None else ""
        if holder != response_id and not await self._link.applied(
            q.RECLAIM_RESPONSE_KEY, response_id, user_id, key, holder
        ):
            raise HistoryConflict(_TAKEN)

    async def _keep_key(self, record: ResponseRecord) -> None:
        """Make the claim final. From here on nobody takes it; who lost it before lost the
        response."""
        user_id, key, response_id = record.user_id, record.idempotency_key, record.response_id
        if not await self._link.applied(q.KEEP_RESPONSE_KEY, user_id, key, response_id):
            await self._forget_response(record)
            raise HistoryConflict(_TAKEN)

    async def _response(self, query: q.Query, response_id: str) -> ResponseRecord | None:
        row = await self._link.row(query, response_id)
        return None if row is None else from_row(ResponseRecord, row)

    async def response(self, response_id: str) -> ResponseRecord | None:
        return await self._response(q.RESPONSE, response_id)

    async def response_by_key(self, user_id: str, idempotency_key: str) -> ResponseRecord | None:
        claim = await self._link.row(q.RESPONSE_KEY_SERIAL, user_id, idempotency_key)
        if claim is None or claim[1] is False:
            return None
        return await self._response(q.RESPONSE_SERIAL, claim[0])

    async def finish_response(self, record: ResponseRecord) -> bool:
        return await self._link.applied(q.FINISH_RESPONSE, *to_row(record)[1:], record.response_id)

    async def delete_response(self, response_id: str) -> bool:
        record = await self._response(q.RESPONSE_SERIAL, response_id)
        if record is None:
            return False
        await self._forget_response(record)
        return True

    async def _forget_response(self, record: ResponseRecord) -> None:
        key = record.idempotency_key
        if key:
            await self._link.applied(q.DELETE_RESPONSE_KEY, record.user_id, key, record.response_id)
        await self._link.applied(q.DELETE_RESPONSE, record.response_id)
        await self._link.rows(q.DELETE_LISTED_RESPONSE, record.user_id, record.response_id)

    async def _forget_responses(self, user_id: str) -> None:
        """Delete all of a user's; may be repeated."""
        for (response_id,) in await self._link.rows(q.LISTED_RESPONSES, user_id):
            record = await self._response(q.RESPONSE_SERIAL, response_id)
            if record is not None:
                await self._forget_response(record)
            else:
                await self._link.rows(q.DELETE_LISTED_RESPONSE, user_id, response_id)

"""Keys for API developers: shown once, stored as a hash."""

from base64 import b32encode
from typing import Annotated, Any

import msgspec
from litestar.types import ASGIApp

from contracts.ids import ENTROPY_BYTES, make_id
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.records import ApiKey
from edge.bodies import Body, path_id, read_body
from edge.config import EdgeConfig
from edge.identity import API_KEY_PREFIX, Caller, Identity, secret_hash
from edge.problems import refuse
from edge.replies import EmptyReply, json_reply, rfc3339
from edge.routes import AnyRequest, Route
from edge.scopes import SCOPES, Scope

_SECRET_BYTES = 25


class NewApiKey(Body, frozen=True):
    """A name by which its owner knows the key, and what it may be used for: everything, unless
    `scopes` says less."""

    name: Annotated[str, msgspec.Meta(max_length=100)] = ""
    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1)] | None = None


class ApiKeys:
    """The routes of API keys. A key can't make or delete keys: one that leaked could
    otherwise outlive its deletion."""

    def __init__(
        self, config: EdgeConfig, history: History, identity: Identity, clock: Clock
    ) -> None:
        self._keys_max = config.api_keys_max
        self._history = history
        self._identity = identity
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        return [
            Route("GET", "/api-keys", self.list_keys, "Your API keys"),
            Route("POST", "/api-keys", self.create_key, "Make an API key", NewApiKey),
            Route("DELETE", "/api-keys/{key_id:str}", self.delete_key, "Delete an API key"),
        ]

    async def list_keys(self, request: AnyRequest) -> ASGIApp:
        """GET /api-keys."""
        caller = await self._identity.caller(request)
        keys = await self._history.list_api_keys(caller.user_id)
        return json_reply({"data": [_view(key) for key in keys]})

    async def create_key(self, request: AnyRequest) -> ASGIApp:
        """POST /api-keys."""
        caller = await self._owner(request)
        body = await read_body(request, NewApiKey)
        if len(await self._history.list_api_keys(caller.user_id)) >= self._keys_max:
            raise refuse("conflict", f"You have {self._keys_max} keys; delete one first.")
        random = b32encode(self._clock.entropy(_SECRET_BYTES)).decode().lower()
        secret = API_KEY_PREFIX + random
        now_ms = self._clock.now_ms()
        key = ApiKey(
            key_id=make_id("key", now_ms, self._clock.entropy(ENTROPY_BYTES)),
            user_id=caller.user_id,
            name=body.name,
            secret_hash=secret_hash(secret),
            created_at_ms=now_ms,
            scope=" ".join(dict.fromkeys(body.scopes or ())),
        )
        await self._history.create_api_key(key)
        return json_reply({**_view(key), "key": secret}, status=201)

    async def delete_key(self, request: AnyRequest) -> ASGIApp:
        """DELETE /api-keys/{keyId}."""
        caller = await self._owner(request)
        key_id = path_id(request, "key_id", "key")
        keys = await self._history.list_api_keys(caller.user_id)
        key = next((key for key in keys if key.key_id == key_id), None)
        if key is None or not await self._history.delete_api_key(caller.user_id, key_id):
            raise refuse("not_found", "There is no such key.")
        self._identity.forget_key(key)
        return EmptyReply()

    async def _owner(self, request: AnyRequest) -> Caller:
        caller = await self._identity.caller(request)
        if caller.proof == "key":
            raise refuse("forbidden", "Log in to make or delete keys; a key can't.")
        return caller


def _view(key: ApiKey) -> dict[str, Any]:
    used_ms = key.last_used_at_ms
    return {
        "id": key.key_id,
        "name": key.name,
        "createdAt": rfc3339(key.created_at_ms),
        "lastUsedAt": None if used_ms is None else rfc3339(used_ms),
        "scopes": key.scope.split(" ") if key.scope else list(SCOPES),
    }

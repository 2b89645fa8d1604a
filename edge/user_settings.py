"""What a user wants in every chat that does not say otherwise."""

from typing import Annotated, Any

import msgspec
from litestar.types import ASGIApp

from contracts.ports.history import History
from contracts.records import UserSettings
from edge.bodies import Body, read_body
from edge.identity import Identity
from edge.models import Models
from edge.replies import json_reply
from edge.routes import AnyRequest, Route
from edge.sessions import Sessions

PROMPT_MAX = 4_000


class NewSettings(Body, frozen=True):
    """All settings: what is absent or null is as if it were never set."""

    system_prompt: Annotated[str, msgspec.Meta(max_length=PROMPT_MAX)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    model: str | None = None


class UserSettingsRoutes:
    """The routes of settings."""

    def __init__(
        self, history: History, identity: Identity, sessions: Sessions, models: Models
    ) -> None:
        self._history = history
        self._identity = identity
        self._sessions = sessions
        self._models = models

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        return [
            Route("GET", "/me/settings", self.read, "Your settings"),
            Route("PUT", "/me/settings", self.change, "Set them all", NewSettings),
        ]

    async def read(self, request: AnyRequest) -> ASGIApp:
        """GET /me/settings."""
        caller = await self._identity.caller(request)
        return json_reply(_view(caller.settings))

    async def change(self, request: AnyRequest) -> ASGIApp:
        """PUT /me/settings."""
        caller = await self._identity.caller(request)
        body = await read_body(request, NewSettings)
        if body.model is not None:
            self._models.find(body.model)
        settings = UserSettings(
            system_prompt=(body.system_prompt or "").strip(),
            temperature=body.temperature,
            model=body.model,
        )
        await self._history.update_user(caller.user_id, settings=settings)
        self._sessions.changed(caller.user_id)
        return json_reply(_view(settings))


def _view(settings: UserSettings) -> dict[str, Any]:
    return {
        "systemPrompt": settings.system_prompt,
        "temperature": settings.temperature,
        "model": settings.model,
    }

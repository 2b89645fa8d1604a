"""Reads event streams as a client does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import EventSource


@dataclass(frozen=True)
class Seen:
    """One event as it came."""

    id: int
    type: str
    data: dict[str, Any]


class SseReader:
    """The events of one response, one at a time."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._events = EventSource(response).aiter_sse()

    async def next(self) -> Seen | None:
        """Return the next event, None when the stream was closed."""
        event = await anext(self._events, None)
        if event is None:
            return None
        data = event.json()
        assert data["type"] == event.event
        if event.event == "ping":
            return Seen(0, "ping", data)
        assert data["seq"] == int(event.id)
        return Seen(int(event.id), event.event, data)

    async def rest(self) -> list[Seen]:
        """Return all events but pings until the stream is closed."""
        seen = []
        while (event := await self.next()) is not None:
            if event.type != "ping":
                seen.append(event)
        return seen


@asynccontextmanager
async def reading(
    client: httpx.AsyncClient, method: str, path: str, **options: Any
) -> AsyncIterator[SseReader]:
    """Open an event stream that must be there."""
    async with client.stream(method, path, **options) as response:
        if response.status_code != 200:
            await response.aread()
            raise AssertionError(f"{response.status_code}: {response.text}")
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        yield SseReader(response)


def text_of(events: list[Seen]) -> str:
    """Return what a page shows after these events."""
    text = ""
    for event in events:
        if event.type == "message.delta":
            text += event.data["delta"]
        elif event.type == "message.snapshot":
            text = event.data["text"]
    return text

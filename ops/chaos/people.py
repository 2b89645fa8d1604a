"""People who chat while things break: they reconnect as a browser does, and keep the time."""

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import EventSource

from ops.chaos.verdict import require, until

TERMINAL = ("run.completed", "run.cancelled", "run.failed")
ANSWER_S = 120.0
RETRY_S = 0.05
NO_CONTENT = 204
UNAVAILABLE = 503


@dataclass(frozen=True)
class Seen:
    """One event, and when it came (monotonic seconds)."""

    id: int
    kind: str
    data: dict[str, Any]
    at_s: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seen) and (self.id, self.kind, self.data) == (
            other.id, other.kind, other.data,
        )  # fmt: skip

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Story:
    """One run as one viewer saw it; `after` is where it joined, `connections` how many it took,
    `troubles` what went wrong meanwhile: refusals, and connections that broke; `asked_s` is when
    the prompt was sent for the first time (monotonic seconds)."""

    chat_id: str
    run_id: str
    after: int | None = 0
    events: list[Seen] = field(default_factory=list)
    connections: int = 0
    troubles: list[str] = field(default_factory=list)
    asked_s: float = 0.0

    @property
    def text(self) -> str:
        """What a page shows."""
        text = ""
        for event in self.events:
            if event.kind == "message.delta":
                text += event.data["delta"]
            elif event.kind == "message.snapshot":
                text = event.data["text"]
        return text

    @property
    def kinds(self) -> list[str]:
        """The types of the events in order."""
        return [event.kind for event in self.events]

    @property
    def ids(self) -> list[int]:
        """Their ids in order."""
        return [event.id for event in self.events]

    @property
    def deltas(self) -> int:
        """How many deltas have come."""
        return sum(event.kind == "message.delta" for event in self.events)

    @property
    def end(self) -> str:
        """The terminal event's type, '' while there is none."""
        return self.events[-1].kind if self.events and self.events[-1].kind in TERMINAL else ""

    @property
    def gap_ms(self) -> int:
        """The longest silence between two events."""
        times = [event.at_s for event in self.events]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        return round(1000 * max(gaps, default=0.0))

    @property
    def first_ms(self) -> int:
        """From the moment of asking, refusals included, to the first text."""
        first = (event.at_s for event in self.events if event.kind == "message.delta")
        return round(1000 * (next(first, self.asked_s) - self.asked_s))

    @property
    def duration_ms(self) -> int:
        """From the first event to the last."""
        return round(1000 * (self.events[-1].at_s - self.events[0].at_s)) if self.events else 0

    def take(self, event: Seen) -> None:
        """Add an event that must be the next one: no gap, no duplicate, nothing after an end."""
        require(not self.end, f"{event} came after {self.end}")
        last = self.events[-1].id if self.events else self.after
        if event.kind != "message.snapshot" and last is not None:
            require(event.id == last + 1, f"event {event.id} came after {last}")
        self.events.append(event)

    async def reached(self, deltas: int) -> None:
        """Return when so many deltas have come, or the end."""
        await until(lambda: self.deltas >= deltas or self.end, ANSWER_S)

    async def ended(self) -> "Story":
        """Return when the terminal event has come."""
        await until(lambda: self.end, ANSWER_S)
        return self


@dataclass(frozen=True)
class _Prompt:
    """What is sent until it is taken, and since when (monotonic seconds)."""

    chat_id: str
    body: dict[str, Any]
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    asked_s: float = field(default_factory=time.monotonic)


class Person:
    """A guest with any number of chats, at one edge or, with the same token, at another."""

    def __init__(self, http: httpx.AsyncClient, group: asyncio.TaskGroup, token: str) -> None:
        self._http = http
        self._group = group
        self.token = token

    async def chat(self) -> str:
        """Return a new chat."""
        reply = await self._http.post("/chats")
        reply.raise_for_status()
        chat_id: str = reply.json()["chatId"]
        return chat_id

    async def post(
        self, chat_id: str, content: str, max_tokens: int, *, key: str = ""
    ) -> httpx.Response:
        """Send a prompt without a stream, perhaps with an idempotency key; return whatever the
        edge says."""
        body = _body(content, max_tokens)
        head = {"Idempotency-Key": key} if key else {}
        return await self._http.post(f"/chats/{chat_id}/messages", json=body, headers=head)

    async def ask(
        self, content: str, max_tokens: int, *, stay: bool = True, chat_id: str = ""
    ) -> Story:
        """Send a prompt in a chat of its own (or in `chat_id`), again while it is refused for the
        moment, and return once it is accepted. It has one idempotency key, as the page gives
        it: who is refused can't know whether it was stored.

        The answer to the POST is the stream, which is followed in the background to the end,
        over as many connections as it takes. Without `stay` the client leaves after the head.
        """
        prompt = _Prompt(chat_id or await self.chat(), _body(content, max_tokens))
        accepted: asyncio.Future[Story] = asyncio.get_running_loop().create_future()
        self._group.create_task(self._ask(prompt, accepted, stay=stay))
        return await accepted

    async def _ask(self, prompt: _Prompt, accepted: asyncio.Future[Story], *, stay: bool) -> None:
        troubles: list[str] = []
        while not accepted.done():
            late = time.monotonic() > prompt.asked_s + ANSWER_S
            require(not late, "nobody accepts a prompt")
            try:
                await self._first(prompt, accepted, stay=stay)
            except httpx.HTTPError as error:
                troubles.append(_named(error))
                await asyncio.sleep(RETRY_S)
        accepted.result().troubles[:0] = troubles
        if stay:
            await self._until_end(accepted.result())

    async def _first(self, prompt: _Prompt, accepted: asyncio.Future[Story], *, stay: bool) -> None:
        head = {"Accept": "text/event-stream", "Idempotency-Key": prompt.key}
        path = f"/chats/{prompt.chat_id}/messages"
        async with self._http.stream("POST", path, json=prompt.body, headers=head) as response:
            await _taken(response)
            run_id = response.headers["x-run-id"]
            story = Story(prompt.chat_id, run_id, asked_s=prompt.asked_s)
            accepted.set_result(story)
            if stay:
                await _read(response, story)

    def join(self, of: Story, after: int | None) -> Story:
        """Begin to follow a run after event `after` (None: from wherever the edge begins)."""
        story = Story(of.chat_id, of.run_id, after)
        self._group.create_task(self._until_end(story))
        return story

    async def read(self, of: Story, after: int | None) -> Story | None:
        """Read a finished run after event `after`; None where nothing follows."""
        story = Story(of.chat_id, of.run_id, after)
        return story if await self._connect(story) else None

    async def _until_end(self, story: Story) -> None:
        """Follow a run over as many connections as it takes. As HTTP clients do (RFC 9112, 9.3.1),
        a GET whose connection was closed before anything was answered is repeated once."""
        deadline = time.monotonic() + ANSWER_S
        repeated = False
        while not story.end:
            late = time.monotonic() >= deadline
            require(not late, f"{story.run_id} has no end: {story.kinds[-3:]}")
            answered = story.connections
            try:
                await self._connect(story)
                repeated = False
            except httpx.HTTPError as error:
                if _closed(error) and story.connections == answered and not repeated:
                    repeated = True
                    continue
                story.troubles.append(_named(error))
                await asyncio.sleep(RETRY_S)

    async def _connect(self, story: Story) -> bool:
        """Read one connection to its end; False where there was nothing to read."""
        last = story.events[-1].id if story.events else story.after
        head = {} if last is None else {"Last-Event-ID": str(last)}
        path = f"/chats/{story.chat_id}/runs/{story.run_id}/events"
        async with self._http.stream("GET", path, headers=head) as response:
            if response.status_code == NO_CONTENT:
                return False
            await _taken(response)
            await _read(response, story)
        return True

    async def cancel(self, story: Story) -> httpx.Response:
        """Stop the run."""
        return await self._http.post(f"/chats/{story.chat_id}/runs/{story.run_id}/cancel")

    async def stored(self, story: Story) -> dict[str, Any]:
        """Return the answer as history has it, once it is no longer pending."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            try:
                reply = await self._http.get(f"/chats/{story.chat_id}/messages")
                reply.raise_for_status()
            except httpx.HTTPError:
                await asyncio.sleep(RETRY_S)
            else:
                found = [
                    message
                    for message in reply.json()["data"]
                    if message["role"] == "assistant" and message.get("runId") == story.run_id
                ]
                require(len(found) == 1, f"{len(found)} answers of one run")
                message: dict[str, Any] = found[0]
                if message["status"] != "pending":
                    return message
            late = time.monotonic() >= deadline
            require(not late, f"the answer of {story.run_id} stays pending")
            await asyncio.sleep(RETRY_S)

    async def messages(self, chat_id: str) -> list[dict[str, Any]]:
        """Return the chat's messages, newest first."""
        reply = await self._http.get(f"/chats/{chat_id}/messages")
        reply.raise_for_status()
        messages: list[dict[str, Any]] = reply.json()["data"]
        return messages

    async def usage(self) -> dict[str, Any]:
        """Return what one may still spend and do at once."""
        reply = await self._http.get("/usage")
        reply.raise_for_status()
        usage: dict[str, Any] = reply.json()
        return usage

    async def readiness(self) -> int:
        """Return the status of `/readyz`."""
        return (await self._http.get("/readyz")).status_code


def _body(content: str, max_tokens: int) -> dict[str, Any]:
    return {"content": content, "maxTokens": max_tokens, "temperature": 0}


def _closed(error: httpx.HTTPError) -> bool:
    return isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError)


async def _taken(response: httpx.Response) -> None:
    """Return if the answer is a stream. Raises httpx.HTTPStatusError with what was said."""
    if response.is_error:
        said = (await response.aread()).decode(errors="replace")
        raise httpx.HTTPStatusError(said, request=response.request, response=response)


def _named(error: httpx.HTTPError) -> str:
    return f"{error.request.method} {error.request.url.path}: {type(error).__name__} {error}"


async def _read(response: httpx.Response, story: Story) -> None:
    story.connections += 1
    async for event in EventSource(response).aiter_sse():
        if event.event == "ping":
            continue
        story.take(Seen(int(event.id), event.event, event.json(), time.monotonic()))


class _Balanced(httpx.AsyncHTTPTransport):
    """A load balancer before several edges: each request goes to the first that takes it."""

    def __init__(self, edges: Sequence[str]) -> None:
        super().__init__(limits=httpx.Limits(max_connections=None, max_keepalive_connections=20))
        self._edges = [httpx.URL(edge) for edge in edges]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        *first, last = self._edges
        for edge in first:
            request.url = request.url.copy_with(host=edge.host, port=edge.port)
            response = await super().handle_async_request(request)
            if response.status_code != UNAVAILABLE:
                return response
            await response.aclose()
        request.url = request.url.copy_with(host=last.host, port=last.port)
        return await super().handle_async_request(request)


@asynccontextmanager
async def person(*edges: str, token: str = "") -> AsyncIterator[Person]:
    """Come as a new guest, or with a token as one who is known; leave at the end. Of several
    edges a later one is asked where those before it refuse."""
    head = {"X-Parley-Client": "web"}
    async with (
        httpx.AsyncClient(
            base_url=edges[0], timeout=30.0, transport=_Balanced(edges), headers=head
        ) as http,
        asyncio.TaskGroup() as group,
    ):
        if not token:
            reply = await http.post("/auth/guest")
            reply.raise_for_status()
            token = reply.json()["token"]
        http.headers["Authorization"] = f"Bearer {token}"
        yield Person(http, group, token)

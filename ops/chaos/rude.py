"""Clients that misbehave: readers that stop reading their socket, and one that floods the edge.

What is expected of the edge stands in `ops/chaos/README.md`; each function raises Broken where it
was not kept. The people of the round, who chat meanwhile, are judged by the campaign.
"""

import asyncio
import json
import socket
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from contracts.errors import STATUS
from ops.chaos.people import Person, Seen, Story, person
from ops.chaos.verdict import require

STALLED = 12
STALLED_TOKENS = 1_200
_STALLED_PROMPT = "Tell me everything, slowly and at length."
_RECEIVE_BUFFER = 4_096
_CUT_S = 60.0
_QUIET_S = 2.0
_HEAD_END = b"\r\n\r\n"
_GROWTH_MAX = 64 << 20
_STALLED = 'parley_edge_streams_ended_total{kind="run",why="slow"}'

FLOOD_PROMPTS = 160
_FLOOD_TOKENS = 1_500
_HALF_REQUESTS = 60
_AT_ONCE = 160
_FLOOD_END_S = 90.0
_REFUSALS = (429, 503)


class StalledReader:
    """A viewer on a socket of its own, with a small receive buffer, that reads the head of the
    answer and no more until it is told to."""

    def __init__(self, url: str, guest: Person, story: Story) -> None:
        self._place = _place(url)
        self._token = guest.token
        self._of = story
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._socket.setblocking(False)
        self._read = b""

    async def begin(self) -> None:
        """Ask for the run's events from the first on, and read the head of the answer."""
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, self._place)
        path = f"/chats/{self._of.chat_id}/runs/{self._of.run_id}/events?after=0"
        head = f"GET {path} HTTP/1.1\r\nHost: parley\r\nAuthorization: Bearer {self._token}\r\n\r\n"
        await loop.sock_sendall(self._socket, head.encode())
        while _HEAD_END not in self._read:
            self._read += await loop.sock_recv(self._socket, 512)
        require(self._read.startswith(b"HTTP/1.1 200 "), f"a viewer was told {self._read!r}")
        self._read = self._read.partition(_HEAD_END)[2]

    async def rest(self) -> Story:
        """Read what the kernel still has, to the end of the connection, or until nothing more
        comes: the edge's kernel gives up who took nothing, and may not say so. Return the story as
        far as whole events of it came."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(_QUIET_S):
                    data = await loop.sock_recv(self._socket, 65_536)
            except (ConnectionError, TimeoutError):
                break
            if not data:
                break
            self._read += data
        return _told(_dechunked(self._read), self._of)

    def close(self) -> None:
        """Leave."""
        self._socket.close()


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80


def _dechunked(data: bytes) -> bytes:
    """Return the content of a chunked body (RFC 9112, 7.1) as far as its chunks are whole."""
    content: list[bytes] = []
    while True:
        size, line_end, data = data.partition(b"\r\n")
        length = int(size, 16) if line_end and size else 0
        if not length or len(data) < length:
            return b"".join(content)
        content.append(data[:length])
        data = data[length + 2 :]


def _told(body: bytes, of: Story) -> Story:
    story = Story(of.chat_id, of.run_id, after=0)
    *blocks, _ = body.decode(errors="replace").split("\n\n")
    for block in blocks:
        fields = dict(line.partition(": ")[::2] for line in block.splitlines())
        if fields.get("event", "ping") != "ping":
            data = json.loads(fields["data"])
            story.take(Seen(int(fields["id"]), fields["event"], data, time.monotonic()))
    return story


async def stop_reading(url: str, edge_pid: int) -> int:
    """Let viewers of a long answer stop reading; return how many of them were cut off.

    Raises Broken unless each is cut off, the edge stays small, and each, coming back from the
    last event that it has, has seen exactly what a viewer that read saw.
    """
    async with person(url) as guest, AsyncExitStack() as left:
        weight = psutil.Process(edge_pid).memory_info().rss
        cut_before = await _cut_off(url)
        seen = await guest.ask(_STALLED_PROMPT, STALLED_TOKENS)
        readers = [StalledReader(url, guest, seen) for _ in range(STALLED)]
        for reader in readers:
            left.callback(reader.close)
            await reader.begin()
        deadline = time.monotonic() + _CUT_S
        while (cut := await _cut_off(url) - cut_before) < STALLED:
            late = time.monotonic() > deadline
            require(not late, f"{cut} of {STALLED} viewers who read nothing were cut off")
            await asyncio.sleep(0.25)
        growth = psutil.Process(edge_pid).memory_info().rss - weight
        require(growth < _GROWTH_MAX, f"the edge grew by {growth >> 20} MiB")
        await seen.ended()
        for reader in readers:
            begun = await reader.rest()
            require(not begun.end, "a viewer who was cut off got the end")
            going_on = guest.join(seen, begun.ids[-1] if begun.ids else 0)
            await going_on.ended()
            require(
                [*begun.events, *going_on.events] == seen.events,
                f"{len(begun.events)} and {len(going_on.events)} events are not {len(seen.events)}",
            )
        stored = await guest.stored(seen)
        require(stored["content"] == seen.text, "another text is stored than was streamed")
    return cut


async def _cut_off(url: str) -> int:
    """Return how many streams the edge ended because their reader took nothing."""
    async with httpx.AsyncClient(base_url=url, timeout=10.0) as http:
        text = (await http.get("/metrics")).text
    found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(_STALLED)]
    return int(float(found[0])) if found else 0


async def flood(url: str) -> Counter[str]:
    """Let one guest send prompts over many connections at once, beside connections that never
    finish their request; return how often each answer was given.

    Raises Broken for an answer that is neither an acceptance nor a documented refusal that says
    when to come back, and if a run that was accepted has no end after it was cancelled.
    """
    answers: Counter[str] = Counter()
    halves = await _half_requests(url)
    try:
        async with person(url) as guest:
            turn = asyncio.Semaphore(_AT_ONCE)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_one_prompt(guest, turn)) for _ in range(FLOOD_PROMPTS)]
            taken: list[Story] = []
            for reply, story in (task.result() for task in tasks):
                answers[reply] += 1
                if story is not None:
                    taken.append(story)
            async with asyncio.TaskGroup() as group:
                for story in taken:
                    group.create_task(_end(guest, story, turn))
    finally:
        for half in halves:
            half.close()
    return answers


async def _half_requests(url: str) -> list[socket.socket]:
    found = []
    for _ in range(_HALF_REQUESTS):
        half = socket.socket()
        half.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(half, _place(url))
        await loop.sock_sendall(half, b"POST /chats HTTP/1.1\r\nHost: parley\r\nContent-Length: 9")
        found.append(half)
    return found


async def _one_prompt(guest: Person, turn: asyncio.Semaphore) -> tuple[str, Story | None]:
    async with turn:
        chat_id = await guest.chat()
        reply = await guest.post(chat_id, "Now! And again!", _FLOOD_TOKENS)
    if reply.status_code == 202:
        return "accepted", Story(chat_id, reply.json()["runId"])
    problem: dict[str, Any] = reply.json()
    code = problem.get("code", "")
    documented = code in STATUS and STATUS[code][0] == reply.status_code
    require(documented and reply.status_code in _REFUSALS, f"a flood got {reply.text}")
    waits = int(reply.headers.get("retry-after", "0"))
    require(waits >= 1, f"{code} does not say when to come back")
    return code, None


async def _end(guest: Person, story: Story, turn: asyncio.Semaphore) -> None:
    """Stop a run, which may have ended by itself, and see its end in history."""
    async with turn:
        reply = await guest.cancel(story)
        require(reply.status_code in (200, 202), f"a cancel got {reply.text}")
        async with asyncio.timeout(_FLOOD_END_S):
            await guest.stored(story)

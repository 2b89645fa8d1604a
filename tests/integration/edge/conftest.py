"""The real application on a real socket, before scripted peers."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryBus, MemoryServer
from actors.runtime.token_log import BusTokenLog
from contracts.ports.text import TextDecoder, ToolForm, Turn
from edge.app import create_app
from edge.config import EdgeConfig, ModelPool, PasswordCost, TokenKey
from edge.server import EdgeServer
from ops.files.memory import MemoryFiles
from ops.history.memory import MemoryHistory
from ops.streams import declare_streams
from tests.integration.edge.peers import Peers
from tests.support.waiting import until


class WordCodec:
    """One token a word: enough to count prompts."""

    eos_tokens = frozenset((0,))

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(len(word) for word in text.split())

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join("x" * token for token in tokens)

    tool_form: ToolForm = ""
    picture_mark: int | None = None

    def render_chat(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Mapping[str, Any]] = (),  # noqa: ARG002
    ) -> tuple[int, ...]:
        marks = {turn: (self.picture_mark or 0,) * len(turn.pictures) for turn in turns}
        return tuple(
            token for turn in turns for token in (1, *marks[turn], *self.encode(turn.content))
        )

    def token_bytes(self, token: int) -> bytes:
        return b"x" * token

    def decoder(self) -> TextDecoder:
        raise NotImplementedError


@dataclass
class EdgeStack:
    """One edge (or several) on one bus and one history."""

    config: EdgeConfig
    server: MemoryServer
    bus: MemoryBus
    history: MemoryHistory
    files: MemoryFiles
    peers: Peers
    client: httpx.AsyncClient
    edge: EdgeServer

    async def guest(self) -> dict[str, str]:
        """Return the headers that prove a new guest."""
        answer = await self.client.post("/auth/guest", json={})
        self.client.cookies.clear()
        return {"Authorization": f"Bearer {answer.json()['token']}"}

    async def chat(self, headers: dict[str, str], **body: Any) -> str:
        """Return a new chat."""
        answer = await self.client.post("/chats", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        chat_id: str = answer.json()["chatId"]
        return chat_id

    async def prompt(self, headers: dict[str, str], chat_id: str, **body: Any) -> dict[str, Any]:
        """Submit a prompt without streaming and return the answer."""
        answer = await self.client.post(
            f"/chats/{chat_id}/messages", json={"content": "hello", **body}, headers=headers
        )
        assert answer.status_code == 202, answer.text
        accepted: dict[str, Any] = answer.json()
        return accepted


@asynccontextmanager
async def serving(stack: EdgeStack, bus: MemoryBus) -> AsyncIterator[tuple[EdgeServer, str]]:
    """Serve one more edge of the stack; yield it and its address."""
    clock = SystemClock()
    app = create_app(
        stack.config,
        bus=bus,
        log=BusTokenLog(bus, clock),
        history=stack.history,
        files=stack.files,
        codecs={model.model: WordCodec() for model in stack.config.models},
        clock=clock,
    )
    edge = EdgeServer(app, stack.config)
    address = f"http://127.0.0.1:{edge.bind()}"
    running = asyncio.create_task(edge.run())
    try:
        await until(lambda: edge.serving or running.done())
        yield edge, address
    finally:
        await edge.stop()
        await running


@pytest.fixture
def edge_settings() -> dict[str, Any]:
    """Settings that differ from the defaults; a test module may override it."""
    return {}


@pytest.fixture
async def stack(edge_settings: dict[str, Any], tmp_path: Path) -> AsyncIterator[EdgeStack]:
    """An edge before scripted peers whose pool is healthy."""
    clock = SystemClock()
    server = MemoryServer(clock)
    bus, far = await server.connect("edge"), await server.connect("peers")
    await declare_streams(far)
    history = MemoryHistory()
    config = EdgeConfig(
        **{
            "models": (ModelPool(model="tiny", pool="default"),),
            "token_keys": (TokenKey(key_id="k1", secret=b"0123456789abcdef" * 2),),
            "port": 0,
            "password_cost": PasswordCost(time_cost=1, memory_kib=8, lanes=1),
            "static_dir": tmp_path,
            "shutdown_grace_s": 1.0,
            **edge_settings,
        }
    )
    peers = Peers(bus=far, log=BusTokenLog(far, clock), history=history, clock=clock)
    peers.others = {m.pool: m.model for m in config.models if m.pool != peers.pool}
    await peers.start()
    behind = asyncio.create_task(peers.run())
    stack = EdgeStack(config, server, bus, history, MemoryFiles(), peers, None, None)  # type: ignore[arg-type]
    try:
        async with (
            serving(stack, bus) as (edge, address),
            httpx.AsyncClient(base_url=address, timeout=20, verify=False) as client,
        ):
            stack.client, stack.edge = client, edge
            peers.say_status()
            await until_healthy(client)
            yield stack
    finally:
        behind.cancel()
        await asyncio.wait([behind])
        await bus.close()
        await far.close()


async def until_healthy(client: httpx.AsyncClient) -> None:
    """Return when the edge has heard its pool."""
    while (await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110
        await asyncio.sleep(0.01)

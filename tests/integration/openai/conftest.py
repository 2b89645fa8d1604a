"""Everything behind `/v1` in one process: sessions, scheduler, two simulated engines, two
edges, on the bus in memory. Only the engine is not what runs in production, and the wires."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import openai
import pytest

from actors.gpu.actor import GpuActor
from actors.gpu.config import GpuConfig
from actors.gpu.embedding_actor import EmbeddingActor, EmbeddingConfig
from actors.gpu.sim_embedder import SimEmbedder, SimEmbedderConfig
from actors.gpu.sim_engine import SimConfig, SimEngine
from actors.runtime.byte_codec import EOS, ByteCodec
from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryBus, MemoryServer
from actors.runtime.presence import Presence
from actors.runtime.token_log import BusTokenLog
from actors.scheduler import SchedulerActor, SchedulerConfig
from actors.session import ModelContext, SessionConfig, SessionHost
from contracts.embeddings import EMBEDDING_POOL
from contracts.errors import BusError, EngineDead
from contracts.records import ApiKey, User
from contracts.scheduling import ActorInfo
from contracts.subjects import TOKEN_PARTITIONS, token_stream
from edge.app import create_app
from edge.config import EdgeConfig, ModelPool, PasswordCost, TokenKey
from edge.identity import secret_hash
from edge.server import EdgeServer
from ops.files.memory import MemoryFiles
from ops.history.memory import MemoryHistory
from ops.streams import declare_streams
from tests.support.waiting import until

POOL, MODEL = "default", "tiny"
EMBEDDER, EMBEDDED_MAX = "tiny-embed", 64
CONTEXT = 2_048
CODEC = ByteCodec()
VOCABULARY = tuple(b"abcdefghijklmnopqrstuvwxyz .,")


class Runnable(Protocol):
    """What a process runs."""

    async def run(self) -> None: ...


@dataclass
class Edge:
    """An edge of the stack, and how to cut it off."""

    name: str
    url: str
    bus: MemoryBus
    presence: asyncio.Task[None]
    server: MemoryServer

    def lose(self) -> None:
        """Let it be as gone as after kill -9 for everything behind it: it says no word."""
        self.presence.cancel()
        self.server.cut(self.bus)


@dataclass
class Stack:
    """The stack, and the clients of one user at each edge."""

    server: MemoryServer
    history: MemoryHistory
    static: Path
    stack: AsyncExitStack
    clock: SystemClock = field(default_factory=SystemClock)
    engines: dict[str, SimEngine] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)

    async def bus(self, name: str) -> MemoryBus:
        bus = await self.server.connect(name)
        self.stack.push_async_callback(bus.close)
        return bus

    def start(self, name: str, actor: Runnable) -> asyncio.Task[None]:
        """Run an actor until the end of the test, its death by itself included."""

        async def live() -> None:
            try:
                await actor.run()
            except* (BusError, EngineDead):
                pass

        self.tasks[name] = task = asyncio.create_task(live(), name=name)
        return task

    async def gpu(self, name: str, **settings: int) -> None:
        """Add a worker."""
        usual = SimConfig(
            vocabulary=VOCABULARY,
            model=MODEL,
            eos_token=EOS,
            seed=7,
            step_ms=5,
            context_length=CONTEXT,
            slots=16,
        )
        config = msgspec.structs.replace(usual, **settings)
        engine = self.engines[name] = SimEngine(config, self.clock)
        bus = await self.bus(name)
        actor = GpuActor(
            GpuConfig(worker=name, pool=POOL, model=MODEL),
            bus=bus,
            log=BusTokenLog(bus, self.clock),
            engine=engine,
            codec=CODEC,
            clock=self.clock,
        )
        self.start(name, actor)

    async def embedder(self, name: str, **settings: int) -> EmbeddingActor:
        """Add an embedding worker."""
        bus = await self.bus(name)
        usual = SimEmbedderConfig(model=EMBEDDER, context_length=EMBEDDED_MAX, dimensions=16)
        config = msgspec.structs.replace(usual, **settings)
        actor = EmbeddingActor(
            EmbeddingConfig(worker=name, pool=EMBEDDING_POOL),
            bus=bus,
            embedder=SimEmbedder(config, self.clock, CODEC.decode, 262),
            codec=CODEC,
            clock=self.clock,
        )
        self.start(name, actor)
        await until(lambda: actor.info(1, "h").state == "embedding")
        return actor

    def forget_logs(self) -> None:
        """Let every token log be as old as none is kept."""
        for partition in range(TOKEN_PARTITIONS):
            stream = self.server.streams[token_stream(partition)]
            for seq in list(stream.messages):
                stream.remove(seq)

    def writer(self) -> str:
        """Return the worker that has a run."""
        return max(self.engines, key=lambda name: self.engines[name].load().running)

    async def edge(self, name: str, **settings: Any) -> Edge:
        """Add an edge."""
        bus = await self.bus(name)
        config = EdgeConfig(
            models=(ModelPool(model=MODEL, pool=POOL, context_length=CONTEXT),),
            token_keys=(TokenKey(key_id="k1", secret=b"0123456789abcdef" * 2),),
            port=0,
            reader=f"{name}@1",
            password_cost=PasswordCost(time_cost=1, memory_kib=8, lanes=1),
            static_dir=self.static,
            shutdown_grace_s=0.5,
            disconnect_cancel_s=1.0,
            cancel_wait_s=5.0,
            **settings,
        )
        app = create_app(
            config,
            bus=bus,
            log=BusTokenLog(bus, self.clock),
            history=self.history,
            codecs={MODEL: CODEC},
            files=MemoryFiles(),
            clock=self.clock,
        )
        server = EdgeServer(app, config)
        url = f"http://127.0.0.1:{server.bind()}"

        def row() -> ActorInfo:
            return ActorInfo(role="edge", id=name, pid=1, host="h", state="serving", epoch=1)

        presence = Presence(bus, self.clock, row)
        self.start(name, server)
        said = self.start(f"presence of {name}", presence)
        await until(lambda: server.serving)
        edge = Edge(name, url, bus, said, self.server)
        self.edges.append(edge)
        return edge

    async def key(self, name: str = "ann", *, scope: str = "") -> str:
        """Return an API key of a user, who is made where needed."""
        user_id = f"user_{name}"
        await self.history.create_user(User(user_id=user_id, created_at_ms=1, tier="paid"))
        secret = f"pk_{name}{scope}"
        await self.history.create_api_key(
            ApiKey(
                key_id=f"key_{name}{scope}",
                user_id=user_id,
                name=name,
                secret_hash=secret_hash(secret),
                created_at_ms=1,
                scope=scope,
            )
        )
        return secret

    async def client(self, edge: int = 0, name: str = "ann") -> openai.AsyncOpenAI:
        """Return the SDK of a user at an edge."""
        client = openai.AsyncOpenAI(
            base_url=f"{self.edges[edge].url}/v1", api_key=await self.key(name), max_retries=4
        )
        return await self.stack.enter_async_context(client)


@asynccontextmanager
async def running(static: Path, **engine: int) -> AsyncIterator[Stack]:
    """The stack with two workers and two edges."""
    clock = SystemClock()
    server = MemoryServer(clock)
    async with AsyncExitStack() as held:
        stack = Stack(server, MemoryHistory(), static, held, clock)
        await declare_streams(await stack.bus("admin"))
        context = ModelContext(
            model=MODEL,
            pool=POOL,
            codec=CODEC,
            context_length=CONTEXT,
            output_reserve=256,
            max_output=512,
        )
        bus = await stack.bus("session")
        session = SessionHost(
            SessionConfig(models={MODEL: context}, default_model=MODEL),
            bus=bus,
            log=BusTokenLog(bus, clock),
            history=stack.history,
            clock=clock,
            host_id="host_1",
        )
        stack.start("session", session)
        bus = await stack.bus("scheduler")
        scheduler = SchedulerActor(
            SchedulerConfig(pool=POOL, model=MODEL, context_length=CONTEXT, reader_silent_ms=3_000),
            bus=bus,
            log=BusTokenLog(bus, clock),
            clock=clock,
            actor_id="scheduler_1",
        )
        stack.start("scheduler", scheduler)
        for name in ("gpu_1", "gpu_2"):
            await stack.gpu(name, **engine)
        for name in ("edge_1", "edge_2"):
            await stack.edge(name)
        try:
            await _ready(stack)
            yield stack
        finally:
            await _end(stack.tasks.values())


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    living = list(tasks)
    for task in living:
        task.cancel()
    await asyncio.wait(living)


async def _ready(stack: Stack) -> None:
    """Return when both edges would take a prompt, and every partition has its owner."""
    client = await stack.client()
    other = await stack.client(1)
    for each in (client, other):
        patient = each.with_options(max_retries=20)
        await patient.responses.create(model=MODEL, input="hi", max_output_tokens=1)


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path) as made:
        yield made


@pytest.fixture
async def sdk(stack: Stack) -> openai.AsyncOpenAI:
    return await stack.client()

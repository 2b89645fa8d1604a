"""Sessions, summarizers and a scripted pool, on the memory bus with history in memory, and on
NATS with SQLite."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from actors.gpu.embedding_actor import EmbeddingActor, EmbeddingConfig
from actors.gpu.sim_embedder import SimEmbedder, SimEmbedderConfig
from actors.runtime.byte_codec import ByteCodec
from actors.runtime.clock import SystemClock
from actors.runtime.host import Actor
from actors.runtime.memory_bus import MemoryServer
from actors.runtime.nats_bus import NatsBus
from actors.runtime.token_log import BusTokenLog
from actors.session import ModelContext, SessionConfig, SessionHost, Shares
from actors.session.embedded_retrieval import EmbeddedRetrieval, VectorRoom
from actors.session.embedding import TurnEmbedder
from actors.session.sqlite_retrieval import SqliteRetrieval
from actors.summarizer import SummarizerConfig, SummarizerHost
from contracts.codec import encode
from contracts.embeddings import EMBEDDING_POOL
from contracts.errors import Problem, Refused
from contracts.ports.bus import Bus
from contracts.ports.history import History
from contracts.ports.text import TextCodec, Turn
from contracts.records import Chat, Summary
from contracts.runs import RunSpec, Sampling
from contracts.session import SubmitPrompt
from contracts.subjects import session_commands
from ops.history import open_history
from ops.streams import declare_streams
from tests.support.nats import nats_node
from tests.support.scribe import Say, Scribe
from tests.support.waiting import PATIENCE_S

Started = TypeVar("Started", bound=Actor)
WINDOW = 2_000
CODEC = ByteCodec()
VOCABULARY = 262
REST_MS = 500


def take_notes(spec: RunSpec, prompt: str) -> str:
    """Note each `fact`; answer a chat with its last word."""
    if spec.chat_id is not None:
        return f"Heard {prompt.rsplit(maxsplit=1)[-1]}"
    told = prompt.partition("Summary so far:")[2] or prompt.partition("New turns:")[2]
    words = [word.strip(".,-") for word in told.split()]
    facts = dict.fromkeys(word for word in words if word.startswith("fact"))
    return "\n".join(f"- {fact}" for fact in facts) or "- Nothing to remember."


class RefusingCodec(ByteCodec):
    """A model whose template takes no conversation."""

    def render_chat(
        self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[int, ...]:
        del turns, tools
        raise Refused(Problem(code="invalid_value", detail="no"))


class Place:
    """One server, one history, and the actors that a test starts."""

    def __init__(self, connect: Callable[[], Awaitable[Bus]], history: History) -> None:
        self.connect = connect
        self.history = history
        self.clock = SystemClock()
        self.say: Say = take_notes
        self._room = VectorRoom(1 << 24)
        self._running: list[tuple[Actor, asyncio.Task[None], Bus]] = []
        self._bus: Bus | None = None
        self.scribe: Scribe

    async def start(self) -> None:
        """Declare the streams and open the pool."""
        self._bus = await self.connect()
        await declare_streams(self._bus)
        log = BusTokenLog(self._bus, self.clock)
        self.scribe = Scribe(self._bus, log, self.clock, self._say)
        await self.scribe.start()

    async def stop(self) -> None:
        """Stop all that still runs."""
        for actor, task, bus in self._running:
            if not task.done():
                await actor.stop()
                await task
            await bus.close()
        await self.scribe.stop()
        if self._bus is not None:
            await self._bus.close()

    async def session(
        self, messages_loaded: int = 200, *, titles: bool = False, embeds: bool = False
    ) -> SessionHost:
        """Start a session host. `embeds`: it looks for older turns by meaning, too."""
        model = ModelContext(
            model="m",
            pool="default",
            codec=CODEC,
            context_length=WINDOW,
            output_reserve=200,
            max_output=200,
            system_prompt="Be brief.",
            shares=Shares(),
        )
        config = SessionConfig(
            models={"m": model},
            default_model="m",
            lease_ttl_s=1.0,
            messages_loaded=messages_loaded,
            titles=titles,
        )
        bus = await self.connect()
        return self._run(
            SessionHost(
                config,
                bus=bus,
                log=BusTokenLog(bus, self.clock),
                history=self.history,
                clock=self.clock,
                host_id=f"session_{uuid.uuid4().hex[:8]}",
                new_index=self._embedded if embeds else SqliteRetrieval,
                embedder=TurnEmbedder(bus, self.clock, query_ms=2_000, rest_ms=REST_MS)
                if embeds
                else None,
            ),
            bus,
        )

    async def embedder(self, *, drain_ms: int = 5_000, **sim: Any) -> EmbeddingActor:
        """Start an embedding worker with a simulated embedder."""
        bus = await self.connect()
        settings = SimEmbedderConfig(context_length=WINDOW, **sim)
        return self._run(
            EmbeddingActor(
                EmbeddingConfig(
                    worker=f"embed_{uuid.uuid4().hex[:8]}", pool=EMBEDDING_POOL, drain_ms=drain_ms
                ),
                bus=bus,
                embedder=SimEmbedder(settings, self.clock, CODEC.decode, VOCABULARY),
                codec=CODEC,
                clock=self.clock,
            ),
            bus,
        )

    def _embedded(self) -> EmbeddedRetrieval:
        return EmbeddedRetrieval(SqliteRetrieval(), self._room)

    async def summarizer(self, codec: TextCodec = CODEC) -> SummarizerHost:
        """Start a summarizer host."""
        bus = await self.connect()
        config = SummarizerConfig(
            pool="fast",
            model="m",
            codec=codec,
            context_length=4_000,
            tokens_max=800,
            retry_ms=50,
            lease_ttl_s=1.0,
        )
        return self._run(
            SummarizerHost(
                config,
                bus=bus,
                log=BusTokenLog(bus, self.clock),
                history=self.history,
                clock=self.clock,
                host_id=f"summarizer_{uuid.uuid4().hex[:8]}",
            ),
            bus,
        )

    @staticmethod
    def pending_folds(host: SummarizerHost) -> int:
        """Return how many folds a host has at work."""
        return host.info(0, "").running

    async def ended(self, told: Actor) -> None:
        """Return once an actor that was told to end has ended."""
        for actor, task, _ in self._running:
            if actor is told:
                await task

    async def kill(self, killed: Actor) -> None:
        """End an actor as kill -9 does: it says nothing more."""
        for actor, task, bus in self._running:
            if actor is killed:
                await bus.close()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def chat(self) -> str:
        """Make a chat."""
        chat_id = f"chat_{uuid.uuid4().hex[:20]}"
        await self.history.create_chat(
            Chat(chat_id=chat_id, user_id="user", created_at_ms=1, active_at_ms=1)
        )
        return chat_id

    async def turn(self, chat_id: str, content: str) -> RunSpec:
        """Say something, and return the run when its answer is stored."""
        run_id = f"run_{uuid.uuid4().hex[:20]}"
        now_ms = self.clock.now_ms()
        submit = SubmitPrompt(
            run_id=run_id,
            chat_id=chat_id,
            user_id="user",
            prompt_id=f"p_{run_id}",
            answer_id=f"a_{run_id}",
            content=content,
            sampling=Sampling(max_tokens=0),
            submitted_at_ms=now_ms,
            expires_at_ms=now_ms + 60_000,
        )
        assert self._bus is not None, "started"
        await self._bus.append(session_commands(chat_id), encode(submit))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                record = await self.history.run(chat_id, run_id)
                if record is not None and record.state != "active":
                    break
                await asyncio.sleep(0.005)
        return next(spec for spec in self.scribe.specs if spec.run_id == run_id)

    async def summary(self, chat_id: str) -> Summary | None:
        """Return the stored summary."""
        record = await self.history.load_session(chat_id, messages=1, runs=1)
        return record.summary if record is not None else None

    async def summarised(self, chat_id: str, beyond: int = -1) -> Summary:
        """Return the summary once it reaches beyond a position."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.summary(chat_id)
                if found is not None and found.position > beyond:
                    return found
                await asyncio.sleep(0.01)

    def _say(self, spec: RunSpec, prompt: str) -> str:
        return self.say(spec, prompt)

    def _run(self, actor: Started, bus: Bus) -> Started:
        task = asyncio.ensure_future(actor.run())
        self._running.append((actor, task, bus))
        return actor


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.nats)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    clock = SystemClock()
    if request.param == "memory":
        server = MemoryServer(clock)
        made = Place(lambda: server.connect("test"), open_history("memory:"))
        await made.start()
        yield made
        await made.stop()
        return
    with nats_node() as node:
        history = open_history(f"sqlite:{tmp_path / 'history.db'}")
        await history.open()
        made = Place(lambda: NatsBus.connect([node.url], name="test", clock=clock), history)
        await made.start()
        yield made
        await made.stop()
        await history.close()

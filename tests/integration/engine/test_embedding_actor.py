"""The embedding worker with a simulated embedder, on the memory bus."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors.gpu.embedding_actor import EmbeddingActor, EmbeddingConfig
from actors.gpu.sim_embedder import SimEmbedder, SimEmbedderConfig
from actors.runtime.byte_codec import ByteCodec
from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryBus, MemoryServer
from contracts.codec import decode, encode
from contracts.embeddings import BATCH_MAX, Embedded, EmbedInputs, EmbedRefused, EmbedReply
from contracts.errors import BusTimeout, EngineDead, NoResponders
from contracts.ports.bus import Inbound
from contracts.subjects import embed_requests
from tests.support.waiting import until

CLOCK = SystemClock()
CODEC = ByteCodec()
WINDOW = 32
SUBJECT = embed_requests("embeddings")


@dataclass
class Pool:
    """A bus, and the workers that a test starts."""

    server: MemoryServer
    bus: MemoryBus
    running: list[tuple[EmbeddingActor, asyncio.Task[None]]] = field(default_factory=list)

    async def worker(self, name: str = "e1", *, sim: Any = None, **config: int) -> EmbeddingActor:
        settings = SimEmbedderConfig(context_length=WINDOW, **(sim or {}))
        actor = EmbeddingActor(
            EmbeddingConfig(worker=name, pool="embeddings", **config),
            bus=await self.server.connect(name),
            embedder=SimEmbedder(settings, CLOCK, CODEC.decode, 262),
            codec=CODEC,
            clock=CLOCK,
        )
        self.running.append((actor, asyncio.ensure_future(actor.run())))
        await until(lambda: actor.info(1, "h").state == "embedding")
        return actor

    async def ask(self, *inputs: str | tuple[int, ...], truncate: bool = False) -> Any:
        body = EmbedInputs(inputs=inputs, within_ms=5_000, truncate=truncate)
        return decode(await self.bus.request(SUBJECT, encode(body), timeout_s=5.0), EmbedReply)


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    server = MemoryServer(CLOCK)
    made = Pool(server, await server.connect("test"))
    yield made
    for actor, task in made.running:
        if not task.done():
            await actor.stop()
            await task


async def test_request_is_answered_with_a_vector_an_input_in_order(pool: Pool) -> None:
    await pool.worker()
    answer = await pool.ask("one text", tuple(b"another"), "one text")
    assert isinstance(answer, Embedded)
    assert (answer.model, answer.tokens, len(answer.vectors)) == ("sim", 8 + 7 + 8, 3)
    assert answer.vectors[0] == answer.vectors[2] != answer.vectors[1]


async def test_each_request_is_answered_by_one_of_the_workers(pool: Pool) -> None:
    await pool.worker("e1")
    await pool.worker("e2")
    inbox = pool.bus.new_inbox()
    heard: list[Inbound] = []
    await pool.bus.subscribe(inbox, heard.append)
    body = encode(EmbedInputs(inputs=("x",), within_ms=5_000))
    for _ in range(20):
        pool.bus.publish(SUBJECT, body, reply=inbox)
    await until(lambda: len(heard) >= 20)
    await asyncio.sleep(0.05)
    assert len(heard) == 20


async def test_long_text_is_refused_unless_it_may_be_cut(pool: Pool) -> None:
    await pool.worker()
    refused = await pool.ask("x" * (WINDOW + 1))
    assert isinstance(refused, EmbedRefused)
    assert refused.problem.code == "prompt_too_long"
    assert isinstance(cut := await pool.ask("x" * 500, truncate=True), Embedded)
    assert cut.tokens == WINDOW


@pytest.mark.parametrize("inputs", [("",), ((999,),)])
async def test_input_that_can_not_be_read_is_refused_by_name(
    pool: Pool, inputs: tuple[str | tuple[int, ...], ...]
) -> None:
    await pool.worker()
    refused = await pool.ask(*inputs)
    assert isinstance(refused, EmbedRefused)
    assert refused.problem.code == "invalid_value"


async def test_request_that_does_not_decode_or_has_too_many_inputs_is_refused(pool: Pool) -> None:
    await pool.worker()
    for inputs in ((), ("x",) * (BATCH_MAX + 1)):
        assert (await pool.ask(*inputs)).problem.code == "bad_request"
    answer = await pool.bus.request(SUBJECT, b"{", timeout_s=5.0)
    assert decode(answer, EmbedReply).problem.code == "bad_request"


async def test_requests_beyond_the_limit_are_refused_and_those_taken_are_answered(
    pool: Pool,
) -> None:
    worker = await pool.worker(sim={"batch_ms": 100}, at_once=1, waiting_max=2)
    asked = [asyncio.ensure_future(pool.ask("x")) for _ in range(6)]
    answers = await asyncio.gather(*asked)
    refused = [a for a in answers if isinstance(a, EmbedRefused)]
    assert 3 <= len(refused) <= 4
    assert {(a.problem.code, a.problem.retry_after_ms) for a in refused} == {("at_capacity", 1_000)}
    assert worker.info(1, "h").waiting == 0


async def test_request_that_waited_too_long_is_dropped(pool: Pool) -> None:
    worker = await pool.worker(sim={"batch_ms": 200}, at_once=1)
    first = asyncio.ensure_future(pool.ask("x"))
    await until(lambda: worker.info(1, "h").running == 1)
    late = encode(EmbedInputs(inputs=("late",), within_ms=10))
    with pytest.raises(BusTimeout):
        await pool.bus.request(SUBJECT, late, timeout_s=0.4)
    assert isinstance(await first, Embedded)


async def test_request_that_is_due_first_is_answered_first(pool: Pool) -> None:
    worker = await pool.worker(sim={"batch_ms": 100}, at_once=1)
    busy = asyncio.ensure_future(pool.ask("x"))
    await until(lambda: worker.info(1, "h").running == 1)
    inbox = pool.bus.new_inbox()
    heard: list[Inbound] = []
    await pool.bus.subscribe(inbox, heard.append)
    for text, within_ms in (("a client's", 60_000), ("a prompt's message", 5_000)):
        body = encode(EmbedInputs(inputs=(text,), within_ms=within_ms))
        pool.bus.publish(SUBJECT, body, reply=inbox)
    await until(lambda: len(heard) == 2)
    first, second = (decode(each.data, EmbedReply) for each in heard)
    assert (first.tokens, second.tokens) == (18, 10)
    await busy


async def test_worker_told_to_end_answers_what_it_has_and_takes_no_more(pool: Pool) -> None:
    worker = await pool.worker(sim={"batch_ms": 100})
    asked = asyncio.ensure_future(pool.ask("x"))
    await until(lambda: worker.info(1, "h").running == 1)
    await worker.stop()
    assert isinstance(await asked, Embedded)
    with pytest.raises(NoResponders):
        await pool.ask("x")


async def test_worker_that_does_not_finish_is_ended_all_the_same(pool: Pool) -> None:
    worker = await pool.worker(sim={"stall_after": 1}, drain_ms=50)
    asked = asyncio.ensure_future(pool.ask("x"))
    await until(lambda: worker.info(1, "h").running == 1)
    await worker.stop()
    asked.cancel()


async def test_dead_embedder_ends_its_worker_with_the_reason(pool: Pool) -> None:
    await pool.worker(sim={"crash_after": 1})
    asked = asyncio.ensure_future(pool.ask("x"))
    with pytest.raises(EngineDead, match="told to crash"):
        await pool.running[0][1]
    asked.cancel()

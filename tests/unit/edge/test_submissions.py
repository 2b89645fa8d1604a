"""Commands outlive a connection that breaks around them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryBus, MemoryServer
from contracts.codec import decode, encode
from contracts.errors import BusUnavailable
from contracts.ports.bus import Delivery
from contracts.runs import Sampling
from contracts.session import CancelRun, PromptAccepted, SessionCommand, SubmitPrompt
from contracts.subjects import SESSION_STREAM
from edge.config import EdgeConfig, ModelPool, TokenKey
from edge.submissions import Submissions
from ops.streams import declare_streams
from tests.support.lossy_bus import LossyBus

ACCEPTED = PromptAccepted(run_id="run_1", prompt_id="msg_p", answer_id="msg_a")
PROMPT = SubmitPrompt(
    run_id="run_1",
    chat_id="chat_1",
    user_id="user_1",
    prompt_id="msg_p",
    answer_id="msg_a",
    content="hello",
    sampling=Sampling(max_tokens=5),
    submitted_at_ms=0,
    expires_at_ms=10**15,
)


class Wires:
    """An edge's bus, and the session at the far end, which answers with `answer`."""

    def __init__(self, server: MemoryServer, near: MemoryBus, far: MemoryBus) -> None:
        self.server = server
        self.near = near
        self.far = far
        self.heard = 0
        self.answer: Callable[[SubmitPrompt | CancelRun], None] = self.accept

    def accept(self, command: SubmitPrompt | CancelRun) -> None:
        self.far.publish(command.reply_to, encode(ACCEPTED))

    def deliver(self, delivery: Delivery) -> None:
        command = decode(delivery.stored.data, SessionCommand)
        assert isinstance(command, SubmitPrompt | CancelRun)
        self.heard += 1
        delivery.ack()
        self.answer(command)


@asynccontextmanager
async def wired() -> AsyncIterator[Wires]:
    server = MemoryServer(SystemClock())
    near, far = await server.connect("edge"), await server.connect("session")
    await declare_streams(far)
    wires = Wires(server, near, far)
    consumer = await far.consume(SESSION_STREAM, "session-0", "sess.*.*", wires.deliver)
    yield wires
    await consumer.stop()
    await near.close()
    await far.close()


def config(submit_s: float = 5.0) -> EdgeConfig:
    return EdgeConfig(
        models=(ModelPool(model="m", pool="default"),),
        token_keys=(TokenKey(key_id="k", secret=b"0" * 32),),
        static_dir=Path(),
        submit_timeout_s=submit_s,
        cancel_wait_s=0.3,
    )


@pytest.mark.parametrize("loss", ["message", "answer"])
async def test_prompt_whose_append_was_not_acknowledged_is_accepted(loss: str) -> None:
    async with wired() as wires:
        bus = LossyBus(wires.near, [loss])  # type: ignore[list-item]
        submissions = Submissions(config(), bus)
        await submissions.listen()
        assert await submissions.submit(PROMPT) == ACCEPTED


async def test_prompt_whose_reply_was_lost_with_the_connection_is_sent_again() -> None:
    async with wired() as wires:
        submissions = Submissions(config(), wires.near)
        await submissions.listen()

        def break_off(command: SubmitPrompt | CancelRun) -> None:
            wires.server.cut(wires.near)
            wires.accept(command)
            wires.answer = wires.accept
            wires.server.mend(wires.near)

        wires.answer = break_off
        assert await submissions.submit(PROMPT) == ACCEPTED
        assert wires.heard == 2


async def test_cancel_that_could_not_be_stored_says_so() -> None:
    async with wired() as wires:
        submissions = Submissions(config(), wires.near)
        await submissions.listen()
        wires.server.cut(wires.near)
        with pytest.raises(BusUnavailable):
            await submissions.cancel(CancelRun(run_id="run_1", chat_id="chat_1", user_id="user_1"))

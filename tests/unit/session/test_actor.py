"""The host of sessions: full inboxes and idle chats, in virtual time on the in-memory bus."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import REGISTRY

from actors.runtime.byte_codec import ByteCodec
from actors.runtime.memory_bus import MemoryBus, MemoryServer
from actors.runtime.token_log import BusTokenLog
from actors.session import ModelContext, SessionConfig, SessionHost
from contracts.codec import decode, encode
from contracts.ports.bus import Inbound
from contracts.records import Chat, Message, RunRecord
from contracts.runs import RunOutcome, Sampling
from contracts.session import (
    CancelRun,
    PromptAccepted,
    PromptRejected,
    RunFinished,
    SessionCommand,
    SubmitPrompt,
    SubmitReply,
)
from contracts.subjects import session_commands
from ops.history.memory import MemoryHistory
from ops.streams import declare_streams
from tests.simulation.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual

USER = "user_1"


class Deployment:
    """One host, its bus and its history."""

    def __init__(self, bus: MemoryBus, history: MemoryHistory, clock: VirtualClock) -> None:
        self.bus = bus
        self.history = history
        self.clock = clock

    async def answering_chat(self, name: str) -> None:
        """Make a chat whose run is on its way."""
        await self.history.create_chat(
            Chat(chat_id=name, user_id=USER, created_at_ms=1, active_at_ms=1)
        )
        prompt = Message(
            message_id=f"p_{name}",
            chat_id=name,
            position=0,
            role="user",
            content="hello",
            created_at_ms=1,
            run_id=f"r_{name}",
        )
        answer = Message(
            message_id=f"a_{name}",
            chat_id=name,
            position=1,
            role="assistant",
            content="",
            created_at_ms=1,
            status="pending",
            run_id=f"r_{name}",
        )
        run = RunRecord(
            run_id=f"r_{name}",
            chat_id=name,
            user_id=USER,
            prompt_id=f"p_{name}",
            answer_id=f"a_{name}",
            created_at_ms=1,
            model="m",
        )
        await self.history.accept_prompt(name, prompt=prompt, answer=answer, run=run, title="")

    async def send(self, command: SessionCommand) -> None:
        """Append a command as an edge or a worker would."""
        await self.bus.append(session_commands(command.chat_id), encode(command))

    def submit(self, chat: str, number: int, reply_to: str) -> SubmitPrompt:
        """Return a prompt that comes while the chat answers."""
        now_ms = self.clock.now_ms()
        return SubmitPrompt(
            run_id=f"r_{chat}_{number}",
            chat_id=chat,
            user_id=USER,
            prompt_id=f"p_{chat}_{number}",
            answer_id=f"a_{chat}_{number}",
            content="hello",
            sampling=Sampling(max_tokens=0),
            submitted_at_ms=now_ms,
            expires_at_ms=now_ms + 1_000,
            reply_to=reply_to,
        )


@asynccontextmanager
async def deployed(clock: VirtualClock, **limits: Any) -> AsyncIterator[Deployment]:
    """A host that owns all partitions."""
    server = MemoryServer(clock)
    bus, its_bus = await server.connect("test"), await server.connect("host")
    await declare_streams(bus)
    history = MemoryHistory()
    model = ModelContext(
        model="m",
        pool="default",
        codec=ByteCodec(),
        context_length=256,
        output_reserve=16,
        max_output=16,
    )
    host = SessionHost(
        SessionConfig(models={"m": model}, default_model="m", **limits),
        bus=its_bus,
        log=BusTokenLog(its_bus, clock),
        history=history,
        clock=clock,
        host_id="host_1",
    )
    running = asyncio.ensure_future(host.run())
    await asyncio.sleep(1.5)
    try:
        yield Deployment(bus, history, clock)
    finally:
        await host.stop()
        await running
        await bus.close()
        await its_bus.close()


def played(story: Callable[[VirtualClock], Awaitable[None]]) -> None:
    """Let a story happen in virtual time."""

    async def play() -> None:
        await story(clock)

    loop = VirtualTimeLoop()
    clock = VirtualClock(loop, random.Random(1))
    run_virtual(play(), loop)


def passivations() -> float:
    return REGISTRY.get_sample_value("parley_session_passivations_total") or 0.0


def test_full_inbox_takes_the_end_of_a_run_and_refuses_prompts() -> None:
    async def story(clock: VirtualClock) -> None:
        async with deployed(clock, mailbox_max=3) as world:
            replies: list[SubmitReply] = []

            def hear(message: Inbound) -> None:
                replies.append(decode(message.data, SubmitReply))

            await world.answering_chat("chat")
            inbox = world.bus.new_inbox()
            heard = await world.bus.subscribe(inbox, hear)
            world.history.available = False
            for number in range(5):
                await world.send(world.submit("chat", number, inbox))
            for _ in range(3):
                await world.send(CancelRun(run_id="r_chat", chat_id="chat", user_id=USER))
            await world.send(
                RunFinished(
                    run_id="r_chat",
                    chat_id="chat",
                    epoch=0,
                    next_seq=1,
                    text="",
                    outcome=RunOutcome(finish_reason="cancelled"),
                    model="m",
                    message_id="a_chat",
                )
            )
            await asyncio.sleep(2)
            refused = [r for r in replies if isinstance(r, PromptRejected)]
            assert [r.problem.code for r in refused] == ["rate_limited"] * 2
            world.history.available = True
            await asyncio.sleep(2)
            run = await world.history.run("chat", "r_chat")
            assert run is not None
            assert run.state == "cancelled"
            await heard.stop()

    played(story)


@pytest.mark.parametrize("busy", [3, 70])
def test_idle_chat_is_forgotten_however_many_busy_ones_are_older(busy: int) -> None:
    async def story(clock: VirtualClock) -> None:
        async with deployed(clock, idle_ms=300) as world:
            before = passivations()
            for number in range(busy):
                await world.answering_chat(f"chat_{number}")
                await world.send(
                    CancelRun(run_id=f"r_chat_{number}", chat_id=f"chat_{number}", user_id=USER)
                )
            await world.history.create_chat(
                Chat(chat_id="idle", user_id=USER, created_at_ms=1, active_at_ms=1)
            )
            await world.send(CancelRun(run_id="r_x", chat_id="idle", user_id="mallory"))
            await asyncio.sleep(3)
            assert passivations() == before + 1

    played(story)


def test_prompt_after_a_switch_that_the_session_did_not_see_follows_what_is_shown() -> None:
    async def story(clock: VirtualClock) -> None:
        async with deployed(clock) as world:
            replies: list[SubmitReply] = []
            inbox = world.bus.new_inbox()
            heard = await world.bus.subscribe(
                inbox, lambda message: replies.append(decode(message.data, SubmitReply))
            )

            async def turn(number: int, **branch: Any) -> None:
                submit = replace(world.submit("chat", number, inbox), **branch)
                await world.send(submit)
                await asyncio.sleep(0.2)
                assert isinstance(replies[-1], PromptAccepted), replies[-1]
                await world.send(
                    RunFinished(
                        run_id=submit.run_id,
                        chat_id="chat",
                        epoch=0,
                        next_seq=1,
                        text=f"answer {number}",
                        outcome=RunOutcome(finish_reason="stop"),
                        model="m",
                        message_id=submit.answer_id,
                    )
                )
                await asyncio.sleep(0.2)

            await world.history.create_chat(
                Chat(chat_id="chat", user_id=USER, created_at_ms=1, active_at_ms=1)
            )
            await turn(1)
            await turn(2)
            await turn(3, prompt_id="p_chat_1", regenerate=True, content="")
            await world.history.update_chat("chat", leaf_id="a_chat_2")
            await turn(4)
            await turn(5, parent_id="")
            shown = await world.history.path(
                "chat", leaf_id="a_chat_4", start=None, limit=9, ascending=True
            )
            ids = [f"{kind}_chat_{number}" for number in (1, 2, 4) for kind in "pa"]
            assert [message.message_id for message in shown] == ids
            chat = await world.history.chat("chat")
            assert chat is not None and chat.leaf_id == "a_chat_5"
            assert len(replies) == 5
            await heard.stop()

    played(story)

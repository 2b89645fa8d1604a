"""Simulated people: they prompt, watch from several windows, leave, and press stop."""

import asyncio
import contextlib
import random
from dataclasses import dataclass, field

from actors.runtime.token_log import BusTokenLog
from contracts.codec import decode, encode
from contracts.errors import BusUnavailable
from contracts.events import MessageDelta, MessageSnapshot, RunEvent
from contracts.ids import make_id
from contracts.ports.bus import Inbound
from contracts.records import Chat
from contracts.runs import Sampling
from contracts.session import (
    CancelReply,
    CancelRun,
    PromptAccepted,
    PromptRejected,
    SubmitPrompt,
    SubmitReply,
)
from contracts.subjects import session_commands
from tests.simulation.faults import FaultyBus
from tests.simulation.world import World

TERMINALS = ("RunCompleted", "RunCancelled", "RunFailed")


@dataclass(slots=True)
class Seen:
    """What one viewer saw. `start` is its cursor, None for "whatever you have"."""

    run_id: str
    start: int | None
    events: list[tuple[int, RunEvent]] = field(default_factory=list)

    def text(self) -> str:
        """Return the text as the page would show it."""
        text = ""
        for _, event in self.events:
            if isinstance(event, MessageDelta):
                text += event.delta
            elif isinstance(event, MessageSnapshot):
                text = event.text
        return text

    @property
    def ended(self) -> bool:
        """Whether a terminal event came."""
        return bool(self.events) and type(self.events[-1][1]).__name__ in TERMINALS


@dataclass(slots=True)
class Prompt:
    """One prompt as its client knows it."""

    command: SubmitPrompt
    reply: PromptAccepted | PromptRejected | None = None
    cancel_confirmed_ms: int | None = None
    cancel_state: str = ""
    viewers: list[Seen] = field(default_factory=list)


class Person:
    """Owns one chat and sends a few prompts, one after another."""

    def __init__(self, world: World, rng: random.Random, number: int, prompts: int) -> None:
        self._world = world
        self._rng = rng
        self._count = prompts
        self.user_id = f"user_{number}"
        self.chat_id = make_id("chat", world.clock.now_ms(), rng.randbytes(10))
        self.prompts: list[Prompt] = []

    async def live(self) -> None:
        """Chat until all prompts are sent and all windows are closed or done."""
        inner = await self._world.server.connect(self.user_id)
        bus = self._world.faulty(inner)
        now = self._world.clock.now_ms()
        await self._world.history.create_chat(
            Chat(chat_id=self.chat_id, user_id=self.user_id, created_at_ms=now, active_at_ms=now)
        )
        log = BusTokenLog(bus, self._world.clock)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._count):
                await asyncio.sleep(self._rng.random())
                prompt = self._compose(bus.new_inbox())
                self.prompts.append(prompt)
                windows = [
                    group.create_task(self._watch(log, prompt, self._rng.random() * 2 * i))
                    for i in range(self._rng.choice((1, 1, 2, 3)))
                ]
                if self._rng.random() < 0.3:
                    group.create_task(self._press_stop(bus, prompt, self._rng.random()))
                await self._send(bus, prompt)
                if isinstance(prompt.reply, PromptAccepted):
                    await asyncio.wait(windows)
                else:
                    for window in windows:
                        window.cancel()

    def _compose(self, inbox: str) -> Prompt:
        now = self._world.clock.now_ms()
        rng = self._rng
        command = SubmitPrompt(
            run_id=make_id("run", now, rng.randbytes(10)),
            chat_id=self.chat_id,
            user_id=self.user_id,
            prompt_id=make_id("msg", now, rng.randbytes(10)),
            answer_id=make_id("msg", now, rng.randbytes(10)),
            content=f"prompt {rng.randrange(1000)}",
            sampling=Sampling(
                max_tokens=rng.randrange(1, 120),
                temperature=0.0,
                stop=("ab",) if rng.random() < 0.3 else (),
            ),
            submitted_at_ms=now,
            expires_at_ms=now + 8_000,
            reply_to=inbox,
        )
        return Prompt(command)

    async def _send(self, bus: FaultyBus, prompt: Prompt) -> None:
        """Send the command (sometimes twice) and wait as long as an edge would."""
        answered = asyncio.Event()

        def hear(message: Inbound) -> None:
            if prompt.reply is None:
                prompt.reply = decode(message.data, SubmitReply)
                answered.set()

        inbox = await bus.subscribe(prompt.command.reply_to, hear)
        for _ in range(2 if self._rng.random() < 0.2 else 1):
            with contextlib.suppress(BusUnavailable):
                await bus.append(
                    session_commands(self.chat_id),
                    encode(prompt.command),
                    msg_id=prompt.command.run_id,
                )
        try:
            async with asyncio.timeout(10):
                await answered.wait()
        except TimeoutError:
            pass
        await inbox.stop()

    async def _watch(self, log: BusTokenLog, prompt: Prompt, after_s: float) -> None:
        """Open a window, sometimes late, sometimes leaving, from any cursor."""
        await asyncio.sleep(after_s)
        start = self._rng.choice((None, 0, 0, self._rng.randrange(12)))
        seen = Seen(prompt.command.run_id, start)
        prompt.viewers.append(seen)
        leave_after = self._rng.randrange(1, 30) if self._rng.random() < 0.2 else 1 << 30
        while True:
            cursor = seen.events[-1][0] if seen.events else start
            try:
                async with log.follow(seen.run_id, after=cursor) as reader:
                    async for batch in reader.batches():
                        seen.events += [(e.seq, e.event) for e in batch.events]
                        if len(seen.events) >= leave_after:
                            return
                return
            except BusUnavailable:
                await asyncio.sleep(0.3)

    async def _press_stop(self, bus: FaultyBus, prompt: Prompt, after_s: float) -> None:
        await asyncio.sleep(after_s)
        inbox = bus.new_inbox()

        def hear(message: Inbound) -> None:
            reply = decode(message.data, CancelReply)
            if reply.status == "ended" and prompt.cancel_confirmed_ms is None:
                prompt.cancel_confirmed_ms = self._world.clock.now_ms()
                prompt.cancel_state = reply.state

        await bus.subscribe(inbox, hear)
        cancel = CancelRun(
            run_id=prompt.command.run_id,
            chat_id=self.chat_id,
            user_id=self.user_id,
            reply_to=inbox,
        )
        for _ in range(5):
            try:
                await bus.append(session_commands(self.chat_id), encode(cancel))
            except BusUnavailable:
                await asyncio.sleep(0.2)
            else:
                return

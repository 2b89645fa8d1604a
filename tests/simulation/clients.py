"""Simulated people: they prompt, watch from several windows, leave, and press stop."""

import asyncio
import contextlib
import random
from dataclasses import dataclass, field

import msgspec

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
from tests.simulation.story import Prompted, Window
from tests.simulation.verdict import require
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
    stop_pressed: bool = False
    stopped_first: bool = False
    stop_stored_ms: int | None = None
    told_early: bool = False
    held_on: bool = False
    again: "Prompt | None" = None
    viewers: list[Seen] = field(default_factory=list)


class Person:
    """Owns one chat and sends a few prompts, one after another."""

    def __init__(self, world: World, number: int, prompts: tuple[Prompted, ...]) -> None:
        self._world = world
        self._rng = random.Random(f"{world.story.seed}/{number}")
        self._plans = prompts
        self.user_id = f"user_{number}"
        self.chat_id = make_id("chat", world.clock.now_ms(), self._rng.randbytes(10))
        self.prompts: list[Prompt] = []

    async def once_more(self) -> None:
        """Send one prompt when all faults are over: it is answered at once."""
        self._plans = (Prompted(after_s=0.0, content="still there?", max_tokens=9),)
        await self.live()
        last = self.prompts[-1]
        told = isinstance(last.reply, PromptAccepted) and last.viewers[0].ended
        require(told, "liveness", f"{last.command.run_id} is not answered in fair weather")

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
            for plan in self._plans:
                await asyncio.sleep(plan.after_s)
                prompt = self._compose(plan, bus.new_inbox())
                self.prompts.append(prompt)
                windows = [
                    group.create_task(self._watch(log, prompt, window)) for window in plan.windows
                ]
                if plan.stopped_after_s is not None:
                    stop = group.create_task(
                        self._press_stop(bus, prompt, max(0.0, plan.stopped_after_s))
                    )
                    if plan.stopped_after_s < 0:
                        prompt.stopped_first = await stop
                await self._send(bus, prompt, times=2 if plan.twice else 1)
                if plan.keyed:
                    await self._send_again(bus, prompt)
                if isinstance(prompt.reply, PromptAccepted):
                    await asyncio.wait(windows)
                else:
                    for window in windows:
                        window.cancel()

    def _compose(self, plan: Prompted, inbox: str) -> Prompt:
        now = self._world.clock.now_ms()
        rng = self._rng
        command = SubmitPrompt(
            run_id=make_id("run", now, rng.randbytes(10)),
            chat_id=self.chat_id,
            user_id=self.user_id,
            prompt_id=make_id("msg", now, rng.randbytes(10)),
            answer_id=make_id("msg", now, rng.randbytes(10)),
            content=plan.content,
            sampling=Sampling(max_tokens=plan.max_tokens, temperature=0.0, stop=plan.stop),
            submitted_at_ms=now,
            expires_at_ms=now + 8_000,
            idempotency_key=f"key-{len(self.prompts)}" if plan.keyed else None,
            body_hash="same" if plan.keyed else "",
            reply_to=inbox,
        )
        return Prompt(command)

    async def _send(self, bus: FaultyBus, prompt: Prompt, *, times: int) -> None:
        """Send the command (perhaps twice) and wait as long as an edge would."""
        answered = asyncio.Event()

        def hear(message: Inbound) -> None:
            if prompt.reply is None:
                prompt.reply = decode(message.data, SubmitReply)
                answered.set()

        inbox = await bus.subscribe(prompt.command.reply_to, hear)
        for _ in range(times):
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

    async def _send_again(self, bus: FaultyBus, first: Prompt) -> None:
        """The same prompt by another device: new ids, the same key and body."""
        now = self._world.clock.now_ms()
        again = Prompt(
            msgspec.structs.replace(
                first.command,
                run_id=make_id("run", now, self._rng.randbytes(10)),
                prompt_id=make_id("msg", now, self._rng.randbytes(10)),
                answer_id=make_id("msg", now, self._rng.randbytes(10)),
                submitted_at_ms=now,
                expires_at_ms=now + 8_000,
                reply_to=bus.new_inbox(),
            )
        )
        first.again = again
        await self._send(bus, again, times=1)

    async def _watch(self, log: BusTokenLog, prompt: Prompt, window: Window) -> None:
        """Read from the window's cursor on, to the end or until the viewer leaves."""
        await asyncio.sleep(window.after_s)
        seen = Seen(prompt.command.run_id, window.start)
        prompt.viewers.append(seen)
        leave_after = window.leaves_after or 1 << 30
        while True:
            cursor = seen.events[-1][0] if seen.events else window.start
            try:
                async with log.follow(seen.run_id, after=cursor) as reader:
                    async for batch in reader.batches():
                        seen.events += [(e.seq, e.event) for e in batch.events]
                        if seen.ended:
                            await self._check_durable(prompt)
                        if len(seen.events) >= leave_after:
                            return
                return
            except BusUnavailable:
                await asyncio.sleep(0.3)

    async def _check_durable(self, prompt: Prompt) -> None:
        """Whoever saw the end finds it in history."""
        record = await self._world.history.run(self.chat_id, prompt.command.run_id)
        prompt.told_early |= record is None or record.state == "active"

    async def _press_stop(self, bus: FaultyBus, prompt: Prompt, after_s: float) -> bool:
        """Ask for a stop; return whether the request is stored."""
        await asyncio.sleep(after_s)
        prompt.stop_pressed = True
        inbox = bus.new_inbox()

        def hear(message: Inbound) -> None:
            reply = decode(message.data, CancelReply)
            if reply.status == "ended" and prompt.cancel_confirmed_ms is None:
                prompt.cancel_confirmed_ms = self._world.clock.now_ms()
                prompt.cancel_state = reply.state
                prompt.held_on = self._world.holds(prompt.command.run_id)

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
                prompt.stop_stored_ms = self._world.clock.now_ms()
                return True
        return False

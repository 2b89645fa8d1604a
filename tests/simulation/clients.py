"""Simulated people: they prompt, watch from several windows, leave, and press stop."""

import asyncio
import random
from dataclasses import dataclass, field

import msgspec

from contracts.codec import encode
from contracts.errors import Refused
from contracts.ids import make_id
from contracts.records import Chat
from contracts.runs import Sampling
from contracts.session import CancelReply, CancelRun, PromptAccepted, SubmitPrompt
from contracts.subjects import session_commands, session_partition
from tests.simulation.edges import Exchange, Gone, NotServed, Shown, SimulatedEdge
from tests.simulation.story import Prompted, Window
from tests.simulation.verdict import require
from tests.simulation.world import World

TERMINALS = ("run.completed", "run.cancelled", "run.failed")
PATIENCE_S = 9.5
_AGAIN_S = 0.3
_TRIES = 20


@dataclass(slots=True)
class Seen:
    """What one viewer saw. `start` is its cursor, None for "whatever you have"."""

    run_id: str
    start: int | None
    events: list[Shown] = field(default_factory=list)

    def text(self) -> str:
        """Return the text as the page would show it."""
        text = ""
        for event in self.events:
            text = event.text if event.kind == "message.snapshot" else text + event.text
        return text

    @property
    def ended(self) -> bool:
        """Whether a terminal event came."""
        return bool(self.events) and self.events[-1].kind in TERMINALS


@dataclass(slots=True)
class Prompt:
    """One prompt as its client knows it."""

    command: SubmitPrompt
    reply: PromptAccepted | Refused | None = None
    cancel_confirmed_ms: int | None = None
    cancel_state: str = ""
    stop_pressed: bool = False
    stopped_first: bool = False
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
        self.chat_id = self._chat_id()
        self.prompts: list[Prompt] = []

    def _chat_id(self) -> str:
        """Return the first id drawn that is in one of the story's partitions."""
        while True:
            made = make_id("chat", self._world.clock.now_ms(), self._rng.randbytes(10))
            if session_partition(made) < self._world.story.partitions:
                return made

    async def once_more(self) -> None:
        """Send one prompt when all faults are over: it is answered at once, or as soon as
        there is room."""
        self._plans = (Prompted(after_s=0.0, content="still there?", max_tokens=9),)
        for _ in range(_TRIES):
            await self.live()
            if not self._was_full():
                break
            await asyncio.sleep(_AGAIN_S)
        last = self.prompts[-1]
        told = isinstance(last.reply, PromptAccepted) and last.viewers[0].ended
        story = f"{last.command.run_id} is not answered in fair weather: {last.reply!r}"
        require(told, "liveness", story)

    def _was_full(self) -> bool:
        """Whether the last prompt found no room, in one queue or the other."""
        last = self.prompts[-1]
        if isinstance(last.reply, Refused):
            return last.reply.problem.code == "at_capacity"
        failed = any(seen.ended and seen.events[-1].kind == "run.failed" for seen in last.viewers)
        return failed and bool(self._world.story.queue_max)

    async def live(self) -> None:
        """Chat until all prompts are sent and all windows are closed or done."""
        now = self._world.clock.now_ms()
        await self._world.history.create_chat(
            Chat(chat_id=self.chat_id, user_id=self.user_id, created_at_ms=now, active_at_ms=now)
        )
        async with asyncio.TaskGroup() as group:
            for plan in self._plans:
                await asyncio.sleep(plan.after_s)
                prompt = self._compose(plan)
                self.prompts.append(prompt)
                own = Exchange() if plan.windows[0].start == 0 else None
                windows = [
                    group.create_task(self._watch(prompt, window, None if number else own))
                    for number, window in enumerate(plan.windows)
                ]
                if plan.stopped_after_s is not None:
                    group.create_task(self._press_stop(prompt, max(0.0, plan.stopped_after_s)))
                    if plan.stopped_after_s < 0:
                        prompt.stopped_first = await self._stop_is_stored(prompt)
                await self._send(prompt, own)
                if plan.twice:
                    await self._repeat(prompt)
                if plan.keyed:
                    await self._send_again(prompt)
                if isinstance(prompt.reply, PromptAccepted):
                    await asyncio.wait(windows)
                else:
                    for window in windows:
                        window.cancel()

    def _edge(self) -> SimulatedEdge:
        """Return an edge, as a balancer would choose it. Raises Gone if it is not there."""
        name = f"edge_{self._rng.choice('ab')}"
        edge = self._world.processes[name].actor
        if not isinstance(edge, SimulatedEdge):
            raise Gone(name)
        return edge

    def _compose(self, plan: Prompted) -> Prompt:
        now = self._world.clock.now_ms()
        rng = self._rng
        number = len(self.prompts)
        command = SubmitPrompt(
            run_id=make_id("run", now, rng.randbytes(10)),
            chat_id=self.chat_id,
            user_id=self.user_id,
            prompt_id=make_id("msg", now, rng.randbytes(10)),
            answer_id=make_id("msg", now, rng.randbytes(10)),
            content=f"{number}: {plan.content}",
            sampling=Sampling(max_tokens=plan.max_tokens, temperature=0.0, stop=plan.stop),
            submitted_at_ms=now,
            expires_at_ms=now + int(PATIENCE_S * 1000),
            idempotency_key=f"key-{number}" if plan.keyed else None,
            body_hash="same" if plan.keyed else "",
        )
        return Prompt(command)

    async def _send(self, prompt: Prompt, exchange: Exchange | None) -> None:
        """Send the prompt; who gets no answer does not know whether it was taken."""
        try:
            prompt.reply = await self._edge().prompt(prompt.command, exchange)
        except Refused as refusal:
            prompt.reply = refusal
        except (Gone, NotServed):
            if exchange is not None:
                exchange.close()

    async def _repeat(self, prompt: Prompt) -> None:
        """The same command once more, as an edge sends it that lost its connection."""
        try:
            await self._edge().append(session_commands(self.chat_id), encode(prompt.command))
        except (Gone, NotServed):
            return

    async def _send_again(self, first: Prompt) -> None:
        """The same prompt by another device: new ids, the same key and body."""
        now = self._world.clock.now_ms()
        again = Prompt(
            msgspec.structs.replace(
                first.command,
                run_id=make_id("run", now, self._rng.randbytes(10)),
                prompt_id=make_id("msg", now, self._rng.randbytes(10)),
                answer_id=make_id("msg", now, self._rng.randbytes(10)),
                submitted_at_ms=now,
                expires_at_ms=now + int(PATIENCE_S * 1000),
            )
        )
        first.again = again
        await self._send(again, None)

    async def _watch(self, prompt: Prompt, window: Window, own: Exchange | None) -> None:
        """Read from the window's cursor on, on the prompt's own connection or by joining, at
        any edge, to the end or until the viewer leaves."""
        await asyncio.sleep(window.after_s)
        seen = Seen(prompt.command.run_id, window.start)
        prompt.viewers.append(seen)
        exchange = own
        while True:
            try:
                if exchange is None:
                    exchange = Exchange()
                    cursor = seen.events[-1].seq if seen.events else window.start
                    edge = self._edge()
                    await edge.join(exchange, self.chat_id, seen.run_id, cursor)
            except (Gone, NotServed):
                exchange = None
                await asyncio.sleep(_AGAIN_S)
                continue
            if await self._read(prompt, seen, exchange, window.leaves_after or 1 << 30):
                return
            exchange = None
            await asyncio.sleep(_AGAIN_S)

    async def _read(self, prompt: Prompt, seen: Seen, exchange: Exchange, most: int) -> bool:
        """Read one connection; return whether the viewer is done."""
        try:
            async for event in exchange.events():
                seen.events.append(event)
                if seen.ended:
                    await self._check_durable(prompt)
                    return True
                if len(seen.events) >= most:
                    return True
        finally:
            exchange.leave()
        return exchange.status == 204

    async def _check_durable(self, prompt: Prompt) -> None:
        """Whoever saw the end finds it in history."""
        record = await self._world.history.run(self.chat_id, prompt.command.run_id)
        prompt.told_early |= record is None or record.state == "active"

    async def _press_stop(self, prompt: Prompt, after_s: float) -> None:
        """Ask for a stop until an edge has taken it."""
        await asyncio.sleep(after_s)
        prompt.stop_pressed = True
        cancel = CancelRun(run_id=prompt.command.run_id, chat_id=self.chat_id, user_id=self.user_id)
        for _ in range(5):
            try:
                reply = await self._edge().cancel(cancel)
            except (Gone, NotServed, Refused):
                await asyncio.sleep(_AGAIN_S)
                continue
            self._confirmed(prompt, reply)
            return

    def _confirmed(self, prompt: Prompt, reply: CancelReply | None) -> None:
        if reply is not None and reply.status == "ended":
            prompt.cancel_confirmed_ms = self._world.clock.now_ms()
            prompt.cancel_state = reply.state
            prompt.held_on = self._world.holds(prompt.command.run_id)

    async def _stop_is_stored(self, prompt: Prompt) -> bool:
        """Wait for a stop that precedes its prompt; return whether it is stored."""
        for _ in range(50):
            if prompt.command.run_id in self._world.server.stops_ms:
                return True
            await asyncio.sleep(0.02)
        return False

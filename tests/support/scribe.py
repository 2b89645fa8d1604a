"""A pool that says what it is told to: scheduler and worker of every run in `RUNS`."""

import asyncio
from collections.abc import Callable

from actors.runtime.byte_codec import ByteCodec
from contracts.codec import decode, encode
from contracts.events import MessageDelta, RunStarted
from contracts.log import LogEntry
from contracts.ports.bus import Bus, Consumer, Delivery
from contracts.ports.clock import Clock
from contracts.ports.token_log import TokenLog
from contracts.runs import RunOutcome, RunSpec, Usage
from contracts.session import RunFinished
from contracts.subjects import RUNS_STREAM, session_commands

Say = Callable[[RunSpec, str], str]


class Scribe:
    """Answers each run with what `say` makes of its spec and prompt, by the byte codec. While
    `open` is not set, background runs wait. `specs` are all runs that came, in order."""

    def __init__(self, bus: Bus, log: TokenLog, clock: Clock, say: Say) -> None:
        self._bus = bus
        self._log = log
        self._clock = clock
        self._say = say
        self._codec = ByteCodec()
        self._tasks: set[asyncio.Task[None]] = set()
        self._consumer: Consumer | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.specs: list[RunSpec] = []

    async def start(self) -> None:
        """Begin to answer."""
        self._consumer = await self._bus.consume(RUNS_STREAM, "scribe", "run.q.>", self._receive)

    async def stop(self) -> None:
        """Answer no more."""
        if self._consumer is not None:
            await self._consumer.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def prompt(self, spec: RunSpec) -> str:
        """Return a run's prompt as text."""
        return self._codec.decode(spec.prompt_tokens)

    @property
    def folds(self) -> list[RunSpec]:
        """The runs of summarizers."""
        return [spec for spec in self.specs if spec.chat_id is None]

    def _receive(self, delivery: Delivery) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, delivery: Delivery) -> None:
        spec = decode(delivery.stored.data, RunSpec)
        self.specs.append(spec)
        if spec.chat_id is None:
            await self.open.wait()
        text = self._say(spec, self.prompt(spec))
        writer = await self._log.claim(spec.run_id, writer="scribe", attempt=1, expect_epoch=None)
        tokens = self._codec.encode(text)
        usage = Usage(prompt_tokens=len(spec.prompt_tokens), completion_tokens=len(tokens))
        outcome = RunOutcome(finish_reason="stop", usage=usage)
        started = RunStarted(model=spec.model, message_id=spec.message_id)
        events = (started, MessageDelta(delta=text)) if text else (started,)
        entry = LogEntry(
            epoch=writer.epoch, seq=1, events=events, tokens=tokens, at_ms=1, end=outcome
        )
        await writer.append(entry)
        if spec.chat_id is not None:
            finished = RunFinished(
                run_id=spec.run_id,
                chat_id=spec.chat_id,
                epoch=writer.epoch,
                next_seq=entry.next_seq,
                text=text,
                outcome=outcome,
                model=spec.model,
                message_id=spec.message_id,
            )
            await self._bus.append(session_commands(spec.chat_id), encode(finished))
        delivery.ack()

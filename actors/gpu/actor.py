"""The shell of a gpu actor: bus, log and engine around the machine.

A run has two tasks while it is here: one iterates the engine's output, one performs what
concerns the run's log, one thing at a time.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import structlog

from actors.gpu import metrics
from actors.gpu.config import GpuConfig
from actors.gpu.log_hand import LogEffect, LogHand
from actors.gpu.machine import GpuMachine
from actors.gpu.pictures import PictureLost, PictureReader
from actors.gpu.protocol import (
    AbortEngine,
    Append,
    BlocksChanged,
    Denied,
    Effect,
    EngineReady,
    Forget,
    Freed,
    HandBack,
    Message,
    Output,
    StartEngine,
    Stop,
    Tell,
    Tick,
)
from actors.runtime.telling import tell
from contracts.codec import decode
from contracts.errors import BadMessage, BusUnavailable, EngineDead, EngineRefused
from contracts.ports.bus import Bus, Inbound
from contracts.ports.clock import Clock
from contracts.ports.engine import Engine
from contracts.ports.files import Files
from contracts.ports.text import TextCodec
from contracts.ports.token_log import TokenLog
from contracts.scheduling import (
    ActorInfo,
    Drain,
    RunRejected,
    RunSettled,
    WorkerCommand,
    WorkerGone,
    WorkerMessage,
)
from contracts.subjects import scheduler_workers, worker_commands

_log = structlog.get_logger()


class GpuActor:
    """One engine as a worker of a pool. `run` once; `stop` drains. Without `files` it takes no
    pictures, whatever the engine sees."""

    def __init__(
        self,
        config: GpuConfig,
        *,
        bus: Bus,
        log: TokenLog,
        engine: Engine,
        codec: TextCodec,
        clock: Clock,
        files: Files | None = None,
    ) -> None:
        self._config = config
        self._bus = bus
        self._token_log = log
        self._engine = engine
        self._clock = clock
        self._pictures: PictureReader | None = None
        if files is not None and codec.picture_mark is not None:
            self._pictures = PictureReader(files, clock)
        self._reading: set[str] = set()
        self._incarnation = clock.now_ms()
        self._machine = GpuMachine(config, codec, self._incarnation)
        self._commands: deque[WorkerCommand] = deque(maxlen=config.commands_max)
        self._commanded = asyncio.Event()
        self._hands: dict[tuple[str, int], LogHand] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None
        self._stopped = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()

    def info(self, pid: int, host: str) -> ActorInfo:
        """Return this actor's row of `parley ps`."""
        load = self._engine.load()
        return ActorInfo(
            role="gpu",
            id=self._config.worker,
            pid=pid,
            host=host,
            state=self._machine.state,
            epoch=self._incarnation,
            running=self._machine.running,
            waiting=load.waiting,
            kv_used=load.kv_used,
        )

    async def run(self) -> None:
        """Start the engine and serve until `stop`.

        Raises:
            EngineDead: the engine could not start, or died; its runs are not ended, the
                scheduler has been told and moves them. The process should exit.
        """
        self._ended.clear()
        try:
            await self._serve()
        except* EngineDead as group:
            reason = str(group.exceptions[0])
            _log.error("the engine is dead", worker=self._config.worker, reason=reason)
            gone = WorkerGone(
                worker=self._config.worker, incarnation=self._incarnation, reason=reason
            )
            self._tell(gone)
            raise EngineDead(reason) from None
        finally:
            await self._engine.close()
            self._ended.set()

    async def stop(self) -> None:
        """Take no new run, let the running ones finish for up to `drain_ms`, hand the rest
        back, and return when all has ended."""
        self._feed(Drain())
        deadline_ms = self._clock.monotonic_ms() + self._config.drain_ms
        while not self._stopped.is_set() and self._clock.monotonic_ms() < deadline_ms:
            await self._clock.sleep(0.02)
        self._feed(HandBack("the drain took too long"))
        await self._ended.wait()

    async def _serve(self) -> None:
        worker = self._config.worker
        async with asyncio.TaskGroup() as group:
            self._group = group
            commands = await self._bus.subscribe(worker_commands(worker), self._hear)
            self._spawn(self._start_engine(), "engine-start")
            self._spawn(self._obey(), "commands")
            self._spawn(self._tick(), "reports")
            try:
                await self._stopped.wait()
            finally:
                await commands.stop()
                await self._flush()
                for task in tuple(self._tasks):
                    task.cancel()

    async def _flush(self) -> None:
        try:
            await self._bus.flush()
        except BusUnavailable:
            _log.info("said goodbye to nobody", worker=self._config.worker)

    async def _start_engine(self) -> None:
        worker = self._config.worker
        self._engine.on_blocks(lambda changes: self._feed(BlocksChanged(tuple(changes))))
        await self._engine.start(
            lambda sentence: _log.info(sentence, worker=worker, event_kind="progress")
        )
        info = self._engine.info
        self._feed(EngineReady(info if self._pictures else replace(info, sight=None)))
        raise EngineDead(await self._engine.died())

    async def _tick(self) -> None:
        while True:
            self._feed(Tick(self._engine.load()))
            await self._clock.sleep(self._config.report_ms / 1000)

    # commands

    def _hear(self, inbound: Inbound) -> None:
        try:
            command = decode(inbound.data, WorkerCommand)
        except BadMessage as error:
            metrics.BAD_COMMANDS.labels(self._config.worker).inc()
            _log.warning("bad command", worker=self._config.worker, error=str(error))
            return
        if len(self._commands) == self._commands.maxlen:
            metrics.COMMANDS_DROPPED.labels(self._config.worker).inc()
        self._commands.append(command)
        self._commanded.set()

    async def _obey(self) -> None:
        while True:
            await self._commanded.wait()
            self._commanded.clear()
            while self._commands:
                self._feed(self._commands.popleft())

    # effects

    def _feed(self, message: Message) -> None:
        for effect in self._machine.handle(message, self._clock.now_ms()):
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Append():
                self._hands[effect.run_id, effect.attempt].put(effect)
            case Tell():
                self._tell(effect.message)
            case StartEngine():
                self._spawn(self._generate(effect), f"generate-{effect.run_id}")
            case AbortEngine():
                self._spawn(self._abort(effect), f"abort-{effect.run_id}")
            case Forget():
                self._forget(effect)
            case Stop():
                self._stopped.set()
            case _:
                self._hand_over(effect)

    def _hand_over(self, effect: LogEffect) -> None:
        key = (effect.run_id, effect.attempt)
        hand = self._hands.get(key)
        if hand is None:
            hand = LogHand(self._config, self._bus, self._token_log, self._clock, feed=self._feed)
            self._hands[key] = hand
            hand.task = self._spawn(hand.run(), f"log-{effect.run_id}")
            metrics.RUNNING.labels(self._config.worker).set(len(self._hands))
        hand.put(effect)

    def _forget(self, effect: Forget) -> None:
        hand = self._hands.pop((effect.run_id, effect.attempt), None)
        if hand is not None and hand.task is not None:
            hand.task.cancel()
        metrics.RUNNING.labels(self._config.worker).set(len(self._hands))

    def _tell(self, message: WorkerMessage) -> None:
        worker = self._config.worker
        if isinstance(message, RunSettled):
            reason = message.outcome.finish_reason if message.outcome else "superseded"
            metrics.SETTLED.labels(worker, reason).inc()
            _log.info("settled", run_id=message.run_id, attempt=message.attempt, reason=reason)
        elif isinstance(message, RunRejected):
            metrics.REJECTED.labels(worker).inc()
            _log.info("rejected", run_id=message.run_id, reason=message.reason)
        tell(self._bus, scheduler_workers(self._config.pool), message)

    async def _generate(self, effect: StartEngine) -> None:
        run_id, attempt, feed = effect.run_id, effect.attempt, self._feed
        try:
            pictures = await self._seen(effect) if effect.pictures else ()
            if pictures is None:
                return
            outputs = self._engine.generate(
                _request_id(effect), effect.prompt, effect.sampling, pictures
            )
            async for output in outputs:
                feed(Output(run_id, attempt, output))
        except (EngineRefused, PictureLost) as error:
            feed(Denied(run_id, attempt, str(error)))

    async def _seen(self, effect: StartEngine) -> tuple[bytes, ...] | None:
        """Return a run's pictures, None if it was aborted meanwhile. Raises PictureLost."""
        if self._pictures is None:
            raise PictureLost("This worker is given no pictures.")
        request_id = _request_id(effect)
        self._reading.add(request_id)
        try:
            pictures = await self._pictures.read(effect.pictures)
            return pictures if request_id in self._reading else None
        finally:
            self._reading.discard(request_id)

    async def _abort(self, effect: AbortEngine) -> None:
        # Its task began before this one, so the engine knows the request by now, unless its
        # pictures are still being read: then it never will.
        self._reading.discard(_request_id(effect))
        await self._engine.abort(_request_id(effect))
        self._feed(Freed(effect.run_id, effect.attempt))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        assert self._group is not None
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _request_id(effect: StartEngine | AbortEngine) -> str:
    return f"{effect.run_id}.{effect.attempt}"

"""The shell of all folds and titles of a host: partitions, deliveries, a task for each."""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog

from actors.runtime.partitions import SUMMARIZER_KEYS, PartitionOwner
from actors.summarizer import metrics
from actors.summarizer.config import SummarizerConfig
from actors.summarizer.effects import FoldHands
from actors.summarizer.machine import FoldMachine
from actors.summarizer.state import Begin, Finish, FoldEffect, TitleEffect
from actors.summarizer.titling import TitleMachine
from contracts.codec import decode
from contracts.errors import BadMessage, InvariantBroken, Refused
from contracts.memory import FoldWanted, SummarizerWish
from contracts.ports.bus import Bus, Consumer, Delivery
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.ports.token_log import TokenLog
from contracts.scheduling import ActorInfo
from contracts.subjects import (
    FOLD_STREAM,
    SESSION_PARTITIONS,
    fold_partition_filter,
    session_partition,
    summarizer_durable,
)

_log = structlog.get_logger()


class SummarizerHost:
    """Carries out the folds of the partitions that this host owns.

    What is not acknowledged when it ends, however it ends, goes to the next owner. Bounded by
    the consumers: `folds_max` deliveries of each partition.
    """

    def __init__(
        self,
        config: SummarizerConfig,
        *,
        bus: Bus,
        log: TokenLog,
        history: History,
        clock: Clock,
        host_id: str,
    ) -> None:
        self._config = config
        self._bus = bus
        self._clock = clock
        self._host_id = host_id
        self._hands = FoldHands(bus, log, history, clock)
        self._consumers: dict[int, Consumer] = {}
        self._folds: dict[asyncio.Task[None], int] = {}
        self._group: asyncio.TaskGroup | None = None
        self._owner = PartitionOwner(
            bus,
            clock,
            host_id,
            SESSION_PARTITIONS,
            on_gained=self._gained,
            on_lost=self._lost,
            ttl_s=config.lease_ttl_s,
            keys=SUMMARIZER_KEYS,
        )

    def info(self, pid: int, host: str) -> ActorInfo:
        """Return this host's row of `parley ps`; `running` counts the folds at work."""
        return ActorInfo(
            role="summarizer",
            id=self._host_id,
            pid=pid,
            host=host,
            state=f"{len(self._consumers)}/{SESSION_PARTITIONS} partitions",
            running=len(self._folds),
        )

    async def run(self) -> None:
        """Serve until `stop`; a broken invariant ends it with the error."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await self._owner.run()

    async def stop(self) -> None:
        """Hand all partitions over; folds at work are left to the next owner."""
        await self._owner.stop()

    async def _gained(self, partition: int, _epoch: int) -> None:
        self._consumers[partition] = await self._bus.consume(
            FOLD_STREAM,
            summarizer_durable(partition),
            fold_partition_filter(partition),
            self._receive,
            max_pending=self._config.folds_max,
        )

    async def _lost(self, partition: int) -> None:
        consumer = self._consumers.pop(partition, None)
        if consumer is not None:
            await consumer.stop()
        leaving = [task for task, owned in self._folds.items() if owned == partition]
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)

    def _receive(self, delivery: Delivery) -> None:
        try:
            wish: SummarizerWish = decode(delivery.stored.data, SummarizerWish)
        except BadMessage as error:
            _log.error("wish does not decode", subject=delivery.stored.subject, error=str(error))
            delivery.ack()
            return
        if self._group is None:
            return
        task = self._group.create_task(self._grant(wish, delivery))
        self._folds[task] = session_partition(wish.chat_id)
        metrics.ACTIVE.set(len(self._folds))
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._folds[task]
        metrics.ACTIVE.set(len(self._folds))

    async def _grant(self, wish: SummarizerWish, delivery: Delivery) -> None:
        """Carry out one wish to its end. One that breaks an invariant, or whose turns the model's
        template does not take, is dropped: its chat's next fold has other turns."""
        folds = isinstance(wish, FoldWanted)
        with structlog.contextvars.bound_contextvars(chat_id=wish.chat_id, wish_id=wish.wish_id):
            try:
                how = await self._carry_out(wish)
                _log.info("wish granted", how=how)
            except (InvariantBroken, AssertionError, Refused):
                how = "broken"
                _log.exception("wish dropped")
        (metrics.FOLDS if folds else metrics.TITLES).labels(how).inc()
        delivery.ack()

    async def _carry_out(self, wish: SummarizerWish) -> str:
        machine: FoldMachine | TitleMachine
        if isinstance(wish, FoldWanted):
            machine = FoldMachine(self._config, wish, self._clock.now_ms())
        else:
            machine = TitleMachine(self._config, wish, self._clock.now_ms())
        message: Any = Begin()
        while message is not None:
            effects: Sequence[FoldEffect | TitleEffect]
            effects = machine.handle(message, self._clock.now_ms())
            message = None
            for effect in effects:
                if isinstance(effect, Finish):
                    return effect.how
                message = await self._hands.perform(effect) or message
        raise InvariantBroken("a wish asked for nothing and has not finished")

"""The scheduler's shell, where the bus fails in the middle of its start."""

import asyncio
from typing import Any

import pytest

from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryServer
from actors.runtime.token_log import BusTokenLog
from actors.scheduler.actor import SchedulerActor
from actors.scheduler.config import SchedulerConfig
from contracts.codec import encode
from contracts.errors import BusTimeout, NoResponders
from contracts.ports.bus import Bus, Consumer
from contracts.scheduling import DescribePool
from contracts.subjects import scheduler_requests
from ops.streams import declare_streams
from tests.support.waiting import until


class StallingBus:
    """Passes everything on, but the first durable consumer can't be made."""

    def __init__(self, inner: Bus) -> None:
        self._inner = inner
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def consume(self, *words: Any, **options: Any) -> Consumer:
        if not self.refused:
            self.refused += 1
            raise BusTimeout("the disk stalls")
        return await self._inner.consume(*words, **options)


async def test_scheduler_that_began_in_vain_answers_each_request_once() -> None:
    clock = SystemClock()
    server = MemoryServer(clock)
    near, far = await server.connect("scheduler"), await server.connect("operator")
    await declare_streams(far)
    bus: Any = StallingBus(near)
    config = SchedulerConfig(pool="default", model="m", context_length=64, recovery_ms=1)
    actor = SchedulerActor(
        config, bus=bus, log=BusTokenLog(near, clock), clock=clock, actor_id="scheduler"
    )
    answers: list[bytes] = []
    inbox = far.new_inbox()
    listening = await far.subscribe(inbox, lambda message: answers.append(message.data))
    running = asyncio.create_task(actor.run())
    await until(lambda: bus.refused and actor.info(0, "").state == "active")
    while not answers:
        far.publish(scheduler_requests("default"), encode(DescribePool()), reply=inbox)
        await asyncio.sleep(0.1)
    answers.clear()
    far.publish(scheduler_requests("default"), encode(DescribePool()), reply=inbox)
    await asyncio.sleep(0.3)
    assert len(answers) == 1
    await actor.stop()
    await running
    await listening.stop()
    await near.close()
    await far.close()


async def test_requests_come_and_are_answered_over_the_bus_that_no_queue_passes() -> None:
    clock = SystemClock()
    server = MemoryServer(clock)
    near, aside = await server.connect("scheduler"), await server.connect("aside")
    far = await server.connect("operator")
    await declare_streams(far)
    config = SchedulerConfig(pool="default", model="m", context_length=64, recovery_ms=1)
    actor = SchedulerActor(
        config,
        bus=near,
        log=BusTokenLog(near, clock),
        clock=clock,
        actor_id="scheduler",
        side_bus=aside,
    )
    running = asyncio.create_task(actor.run())
    await until(lambda: actor.info(0, "").state == "active")
    ask, subject = encode(DescribePool()), scheduler_requests("default")
    while True:
        try:
            await far.request(subject, ask, timeout_s=1.0)
            break
        except NoResponders:
            await asyncio.sleep(0.01)
    await aside.close()
    with pytest.raises(NoResponders):
        await far.request(subject, ask, timeout_s=1.0)
    await actor.stop()
    await running
    await near.close()
    await far.close()

"""Which runs an edge says that it waits for."""

from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryServer
from contracts.codec import decode
from contracts.events import MessageDelta, NumberedEvent, RunQueued
from contracts.scheduling import WatchRuns
from contracts.subjects import scheduler_requests
from edge.config import ModelPool
from edge.queue_watch import QueueWatch

QUEUED = NumberedEvent(seq=1, event=RunQueued(position=3))
TEXT = NumberedEvent(seq=2, event=MessageDelta(delta="a"))


class Pools:
    """Models of two pools."""

    def all(self) -> tuple[ModelPool, ...]:
        return tuple(
            ModelPool(model=name, pool=pool, context_length=8)
            for name, pool in (("a", "one"), ("b", "two"), ("c", "one"))
        )


async def test_runs_are_told_while_somebody_waits_for_them_to_begin() -> None:
    server = MemoryServer(SystemClock())
    edge, schedulers = await server.connect("edge"), await server.connect("schedulers")
    heard: list[tuple[str, tuple[str, ...]]] = []
    for pool in ("one", "two"):
        await schedulers.subscribe(
            scheduler_requests(pool),
            lambda it, pool=pool: heard.append((pool, decode(it.data, WatchRuns).run_ids)),  # type: ignore[misc]
        )
    watch = QueueWatch(edge, Pools())  # type: ignore[arg-type]

    async def told() -> list[tuple[str, tuple[str, ...]]]:
        heard.clear()
        watch._tell_now()
        await edge.flush()
        await schedulers.flush()
        return list(heard)

    assert await told() == []
    with watch.reading("run_1") as first, watch.reading("run_1") as second:
        assert await told() == [("one", ("run_1",)), ("two", ("run_1",))]
        first.saw([QUEUED])
        second.saw([TEXT])
        second.saw([TEXT])
        assert len(await told()) == 2
        with watch.reading("run_2"):
            first.saw([QUEUED, TEXT])
            assert await told() == [("one", ("run_2",)), ("two", ("run_2",))]
    assert await told() == []
    await edge.close()
    assert not heard

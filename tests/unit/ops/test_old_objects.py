"""What the collector of cycles need not look at."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ops.old_objects import OldObjects


class Knot:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@asynccontextmanager
async def running(old: OldObjects) -> AsyncIterator[None]:
    task = asyncio.create_task(old.run())
    try:
        yield
    finally:
        await old.stop()
        await task


async def until(truth: Callable[[], bool]) -> None:
    while not truth():  # noqa: ASYNC110 - the collector tells nobody
        await asyncio.sleep(0.005)


async def test_old_objects_are_set_aside_and_looked_at_again_after_the_end() -> None:
    before = gc.get_freeze_count()
    async with running(OldObjects(set_aside_s=0.01)):
        kept = [[number] for number in range(5_000)]
        await until(lambda: not any(it is kept for it in gc.get_objects()))
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() == 0
    assert any(it is kept for it in gc.get_objects())


async def test_a_knot_that_was_set_aside_is_freed_by_a_whole_collection() -> None:
    async with running(OldObjects(set_aside_s=0.01, whole_s=0.1, whole_max=1 << 40)):
        knots = [Knot()]
        freed = weakref.ref(knots[0])
        await until(lambda: not any(it is knots[0] for it in gc.get_objects()))
        knots.clear()
        await until(lambda: freed() is None)


async def test_more_objects_than_may_be_looked_at_are_left_set_aside() -> None:
    async with running(OldObjects(set_aside_s=0.01, whole_s=0.0, whole_max=0)):
        knots = [Knot()]
        freed = weakref.ref(knots[0])
        await until(lambda: not any(it is knots[0] for it in gc.get_objects()))
        knots.clear()
        await asyncio.sleep(0.1)
        assert freed() is not None
    gc.collect()
    assert freed() is None


async def test_full_collections_are_left_to_it_while_it_runs() -> None:
    before = gc.get_threshold()
    async with running(OldObjects(set_aside_s=60)):
        await until(lambda: gc.get_threshold()[2] > 1_000_000)
        assert gc.get_threshold()[:2] == before[:2]
    assert gc.get_threshold() == before

import asyncio
from collections.abc import Callable

import pytest

from actors.runtime.failure import contained
from actors.runtime.host import Actor, Child, Host, Intensity, TooManyCrashes
from contracts.errors import BusUnavailable
from tests.support.waiting import until


class Worker:
    """Runs until stopped or told to crash; writes what happens into a diary."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self.name = name
        self.diary = diary
        self.crash: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.handler: Callable[[], None] | None = None

    async def run(self) -> None:
        self.handler = contained(self._fail)
        self.diary.append(f"run {self.name}")
        await self.crash

    async def stop(self) -> None:
        self.diary.append(f"stop {self.name}")
        self.crash.set_result(None)

    def _fail(self) -> None:
        raise ValueError("a handler failed")


class Stage:
    def __init__(self) -> None:
        self.diary: list[str] = []
        self.lives: dict[str, list[Worker]] = {}

    def child(self, name: str) -> Child:
        async def start() -> Actor:
            self.diary.append(f"start {name}")
            worker = Worker(name, self.diary)
            self.lives.setdefault(name, []).append(worker)
            return worker

        return Child(name, start)


async def test_host_starts_in_order_and_stops_in_reverse() -> None:
    stage = Stage()
    host = Host([stage.child(name) for name in "abc"])
    running = asyncio.create_task(host.run())
    await until(lambda: stage.diary.count("run c"))
    assert [line for line in stage.diary if line.startswith("start")] == [
        "start a",
        "start b",
        "start c",
    ]
    host.stop()
    host.stop()
    await running
    assert stage.diary[-3:] == ["stop c", "stop b", "stop a"]


async def test_host_restarts_a_crashed_child_alone() -> None:
    stage = Stage()
    host = Host([stage.child(name) for name in "ab"], pause_s=0.001)
    running = asyncio.create_task(host.run())
    await until(lambda: "run b" in stage.diary)
    stage.lives["a"][0].crash.set_exception(ValueError("crash"))
    await until(lambda: stage.diary.count("run a") == 2)
    assert stage.diary.count("run b") == 1
    host.stop()
    await running


async def test_host_ends_the_actor_whose_handler_raised() -> None:
    stage = Stage()
    host = Host([stage.child("a")], pause_s=0.001)
    running = asyncio.create_task(host.run())
    await until(lambda: "run a" in stage.diary)
    handler = stage.lives["a"][0].handler
    assert handler is not None
    handler()
    await until(lambda: stage.diary.count("run a") == 2)
    host.stop()
    await running


async def test_host_gives_up_beyond_the_intensity_and_stops_the_others() -> None:
    stage = Stage()
    host = Host(
        [stage.child("a"), stage.child("b")],
        Intensity(max_restarts=2, period_s=60),
        pause_s=0.001,
    )
    running = asyncio.create_task(host.run())
    for life in range(1, 4):
        await until(lambda life=life: stage.diary.count("run b") == life)  # type: ignore[misc]
        stage.lives["b"][-1].crash.set_exception(ValueError("crash"))
    with pytest.raises(TooManyCrashes):
        await running
    assert stage.diary.count("start b") == 3


async def test_host_whose_child_cannot_start_raises_and_stops_the_others() -> None:
    stage = Stage()

    async def start() -> Actor:
        raise BusUnavailable("no server")

    host = Host([stage.child("a"), Child("b", start)])
    with pytest.raises(BusUnavailable):
        await host.run()
    assert stage.diary[-1] == "stop a"


async def test_host_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    stage = Stage()
    host = Host([stage.child(name) for name in "ab"])
    running = asyncio.create_task(host.run())
    await until(lambda: "run b" in stage.diary)
    host.stop()
    await running
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before

import asyncio

from actors.runtime.clock import ManualClock, SystemClock


async def test_manual_clock_wakes_sleepers_at_their_time() -> None:
    clock = ManualClock(start_ms=1000)
    woken: list[tuple[str, int]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now_ms()))

    tasks = [asyncio.create_task(sleeper(n, s)) for n, s in (("b", 0.2), ("a", 0.1), ("c", 9))]
    await clock.advance(500)
    assert woken == [("a", 1100), ("b", 1200)]
    assert clock.monotonic_ms() == 1500
    tasks[2].cancel()


async def test_manual_clock_wakes_who_sleeps_again_within_the_advance() -> None:
    clock = ManualClock(start_ms=0)
    ticks: list[int] = []

    async def ticker() -> None:
        while True:
            await clock.sleep(0.1)
            ticks.append(clock.now_ms())

    task = asyncio.create_task(ticker())
    await clock.advance(350)
    assert ticks == [100, 200, 300]
    task.cancel()


async def test_manual_clock_repeats_its_entropy() -> None:
    assert ManualClock(seed=3).entropy(8) == ManualClock(seed=3).entropy(8)
    assert len(SystemClock().entropy(8)) == 8


async def test_system_clock_goes_on() -> None:
    clock = SystemClock()
    before = clock.monotonic_ms()
    await clock.sleep(0.01)
    assert clock.monotonic_ms() > before
    assert clock.now_ms() > 1_700_000_000_000

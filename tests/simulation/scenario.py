"""One seed: a mix of faults, people, and the checks."""

import asyncio
import random
from collections import Counter

from tests.simulation.checks import Records, check_prompt, check_rest
from tests.simulation.clients import Person
from tests.simulation.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from tests.simulation.world import World

FAULTY_S = 8.0
CALM_S = 60.0


def run_seed(seed: int) -> Counter[str]:
    """Play one seed and check it; returns how its runs ended.

    Raises Broken (with the invariant's name), or whatever an actor died of by itself.
    """
    loop = VirtualTimeLoop()
    rng = random.Random(seed)
    clock = VirtualClock(loop, random.Random(seed + 1))
    world = World(rng, clock, eos_every=rng.choice((0, 40, 200)), step_ms=rng.choice((5, 20, 50)))
    return run_virtual(_play(world, rng), loop)


async def _play(world: World, rng: random.Random) -> Counter[str]:
    await world.start()
    await asyncio.sleep(1.5)
    people = [Person(world, rng, i, rng.randrange(1, 4)) for i in range(rng.randrange(1, 5))]
    _draw_weather(world, rng)
    async with asyncio.TaskGroup() as group:
        living = [group.create_task(person.live()) for person in people]
        disaster = group.create_task(_disasters(world, rng))
        await disaster
        world.weather.clear()
        done, pending = await asyncio.wait(living, timeout=CALM_S)
        assert not pending, "liveness: a person still waits long after the faults stopped"
        assert done
    await _quiet(world, people)
    records = Records(world)
    endings: Counter[str] = Counter()
    for person in people:
        for prompt in person.prompts:
            endings[await check_prompt(world, records, person, prompt)] += 1
    await check_rest(world)
    await world.stop()
    return endings


async def _quiet(world: World, people: list[Person]) -> None:
    """Wait until nothing is left to do, and a moment more; at most the calm time: what is not
    done by then the checks name."""
    for _ in range(int(CALM_S)):
        await asyncio.sleep(1.0)
        active = [await world.history.chat(person.chat_id) for person in people]
        open_runs = any(chat is not None and chat.active_run_id for chat in active)
        if not world.server.streams["RUNS"].messages and not open_runs:
            await asyncio.sleep(3.0)
            return


def _draw_weather(world: World, rng: random.Random) -> None:
    weather = world.weather
    for name, worst in (
        ("lose", 0.2),
        ("double", 0.2),
        ("delay_s", 0.05),
        ("refuse", 0.1),
        ("forget_ack", 0.1),
        ("history_refuse", 0.1),
        ("history_forget", 0.1),
    ):
        if rng.random() < 0.4:
            setattr(weather, name, rng.random() * worst)


async def _disasters(world: World, rng: random.Random) -> None:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + FAULTY_S
    down: dict[str, float] = {}
    kills = rng.randrange(5)
    for at_s in sorted(rng.random() * FAULTY_S for _ in range(kills)):
        await asyncio.sleep(max(0.0, end_s - FAULTY_S + at_s - loop.time()))
        name = rng.choice(sorted(set(world.processes) - set(down)))
        await world.crash(name, seen=rng.random() < 0.5)
        down[name] = loop.time() + rng.random() * 5
        for other in [n for n, back_s in down.items() if back_s <= loop.time()]:
            world.processes[other].start()
            del down[other]
    await asyncio.sleep(max(0.0, end_s - loop.time()))
    for name in down:
        world.processes[name].start()

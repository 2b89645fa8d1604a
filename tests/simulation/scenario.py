"""One seed: its story, played and checked."""

import asyncio
from collections import Counter
from unittest.mock import patch

from actors.session import actor as session
from actors.summarizer import actor as summarizer
from tests.simulation.checks import Records, check_now, check_prompt, check_rest
from tests.simulation.clients import Person
from tests.simulation.fold_checks import check_background, check_folds
from tests.simulation.story import Disaster, Story, draw
from tests.simulation.verdict import Broken, require
from tests.simulation.virtual_time import VirtualTimeLoop, run_virtual
from tests.simulation.world import World

CALM_S = 60.0
BEGIN_S = 0.8
"""By then every partition has its owner and the pool its scheduler, in fair weather."""

LOOK_S = 0.2
REST_S = 1.0


def run_seed(seed: int, *, short: bool = False) -> Counter[str]:
    """Play one seed and check it; returns how its runs ended."""
    return play(draw(seed, short=short))


def play(story: Story) -> Counter[str]:
    """Play a story and check it; returns how its runs ended.

    Raises Broken (with the invariant's name), or whatever an actor died of by itself.
    """
    loop = VirtualTimeLoop()
    with (
        patch.object(session, "SESSION_PARTITIONS", story.partitions),
        patch.object(summarizer, "SESSION_PARTITIONS", story.partitions),
    ):
        return run_virtual(_play(World(story, loop)), loop)


async def _play(world: World) -> Counter[str]:
    story = world.story
    await world.start()
    await asyncio.sleep(BEGIN_S)
    people = [Person(world, number, prompts) for number, prompts in enumerate(story.people)]
    for name, value in story.weather:
        setattr(world.weather, name, value)
    async with asyncio.TaskGroup() as group:
        living = [group.create_task(person.live()) for person in people]
        watching = group.create_task(_watch(world))
        await _disasters(world, story.disasters, story.faulty_s)
        world.weather.clear()
        watching.cancel()
        _, pending = await asyncio.wait(living, timeout=CALM_S)
        require(not pending, "liveness", "a person still waits long after the faults stopped")
    await _quiet(world, people)
    try:
        async with asyncio.timeout(CALM_S), asyncio.TaskGroup() as group:
            for person in people:
                group.create_task(person.once_more())
    except TimeoutError as error:
        raise Broken("liveness: a prompt in fair weather is not answered") from error
    await _quiet(world, people)
    records = Records(world)
    endings: Counter[str] = Counter()
    for person in people:
        for prompt in person.prompts:
            endings[await check_prompt(world, records, person, prompt)] += 1
        await check_folds(world, records, person)
    await check_background(world, records)
    endings["summaries"] = len(world.history.folded)
    await check_rest(world)
    await world.stop()
    return endings


async def _watch(world: World) -> None:
    while True:
        world.check_crashes()
        check_now(world)
        await asyncio.sleep(0.02)


async def _disasters(world: World, disasters: tuple[Disaster, ...], faulty_s: float) -> None:
    """Let them happen in time; one that would befall a target in trouble is passed over."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    troubled: dict[str, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        for disaster in disasters:
            await asyncio.sleep(max(0.0, begun_s + disaster.at_s - loop.time()))
            earlier = troubled.get(disaster.target)
            if earlier is None or earlier.done():
                troubled[disaster.target] = group.create_task(world.suffer(disaster))
        await asyncio.sleep(max(0.0, begun_s + faulty_s - loop.time()))


async def _quiet(world: World, people: list[Person]) -> None:
    """Wait until nothing is left to do, and a moment more; at most the calm time: what is not
    done by then the checks name."""
    for _ in range(int(CALM_S / LOOK_S)):
        await asyncio.sleep(LOOK_S)
        active = [await world.history.chat(person.chat_id) for person in people]
        open_runs = any(chat is not None and chat.active_run_id for chat in active)
        streams = world.server.streams
        busy = any(streams[name].messages for name in ("RUNS", "SESS", "FOLD"))
        if not busy and not open_runs:
            await asyncio.sleep(REST_S)
            return

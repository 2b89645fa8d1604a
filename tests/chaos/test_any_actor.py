"""kill -9 of anything under streaming chats: each accepted run reaches one end, exactly told."""

import asyncio
import random
import signal
import time

import httpx
import pytest

from ops.chaos.figures import Report
from ops.chaos.people import Story
from ops.chaos.stack import RunningStack
from ops.supervision import leftovers
from tests.chaos.scene import PROMPT, SIMULATED, SOME_ROUNDS, Scene, exactly_told, scene

pytestmark = [pytest.mark.chaos, pytest.mark.nats, pytest.mark.timeout(480)]
TOKENS = 120
CHATS = 4
ROLES = ("session", "scheduler", "edge", "nats", "gpu")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("round_", range(1, SOME_ROUNDS + 1))
async def test_chats_survive_the_death_of_an_actor(
    sim_stack: RunningStack, report: Report, chance: random.Random, role: str, round_: int
) -> None:
    failure = f"kill -9 of {role} (simulated engine)"
    async with scene(sim_stack) as at:
        expected = await at.undisturbed(TOKENS)
        stories = [await at.guest.ask(PROMPT, TOKENS) for _ in range(CHATS)]
        await stories[0].reached(chance.randrange(1, TOKENS // 2))
        await asyncio.to_thread(sim_stack.kill, role)
        killed_s = time.monotonic()
        stories.append(await accepted(at))
        report.add(failure, "next prompt accepted after", since_ms(killed_s), round_)
        gap_ms = await exactly_told(at, stories, expected)
        await at.operator.workers_ready(2)
        report.add(failure, "gap", gap_ms, round_)


@pytest.mark.parametrize("round_", range(1, SOME_ROUNDS + 1))
async def test_prompts_sent_while_actors_die_are_refused_or_answered(
    sim_stack: RunningStack, report: Report, chance: random.Random, round_: int
) -> None:
    """One actor after another dies while prompts keep coming."""
    async with scene(sim_stack) as at:
        expected = await at.undisturbed(TOKENS)
        posting: list[asyncio.Task[Story | None]] = []
        async with asyncio.TaskGroup() as group:
            dying = group.create_task(kill_some(sim_stack, chance))
            while not dying.done():
                posting.append(group.create_task(post(at)))
                await asyncio.sleep(0.3)
        stories = [story for story in (task.result() for task in posting) if story]
        assert stories
        await exactly_told(at, stories, expected)
        await at.operator.workers_ready(2)
        refused = len(posting) - len(stories)
        report.note(f"storm, round {round_}: {len(stories)} prompts answered, {refused} refused")


async def kill_some(stack: RunningStack, chance: random.Random) -> None:
    for role in chance.sample(("session", "scheduler", "nats", "gpu"), 3):
        await asyncio.to_thread(stack.kill, role)
        await asyncio.sleep(chance.uniform(0.5, 2))


async def post(at: Scene) -> Story | None:
    """Send a prompt and follow its answer; None if it was refused, which must be said clearly."""
    chat_id = await at.guest.chat()
    reply = await at.guest.post(chat_id, PROMPT, TOKENS)
    if reply.status_code == 202:
        return at.guest.join(Story(chat_id, reply.json()["runId"]), after=0)
    assert reply.status_code == 503, reply.text
    assert int(reply.headers["retry-after"]) >= 1
    return None


async def accepted(at: Scene) -> Story:
    """Send a prompt, again and again until it is taken."""
    while True:
        try:
            story = await post(at)
        except httpx.HTTPError:
            story = None
        if story is not None:
            return story
        await asyncio.sleep(0.05)


def since_ms(moment_s: float) -> int:
    return round(1000 * (time.monotonic() - moment_s))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("round_", range(1, SOME_ROUNDS + 1))
async def test_chats_go_on_after_the_whole_stack_ended_and_started_again(
    tmp_path_factory: pytest.TempPathFactory,
    report: Report,
    chance: random.Random,
    how: signal.Signals,
    round_: int,
) -> None:
    """The supervisor is killed, or told to end by Ctrl-C, at a random moment."""
    drain_s = chance.choice(("0", "1", "10"))
    home = tmp_path_factory.mktemp("home")
    stack = RunningStack(home, *SIMULATED, "--drain-s", drain_s).start()
    try:
        async with scene(stack) as at:
            expected = await at.undisturbed(TOKENS)
            stories = []
            for _ in range(CHATS):
                stories.append(await at.guest.ask(PROMPT, TOKENS))
                await asyncio.sleep(chance.uniform(0, 0.5))
            await asyncio.sleep(chance.uniform(0, 1))
            code = await asyncio.to_thread(stack.end, how)
            assert code == (0 if how is signal.SIGINT else -how), stack.said
            assert not leftovers.find(home)
            await asyncio.to_thread(stack.start)
            gap_ms = await exactly_told(at, stories, expected)
            name = "kill -9 of parley up" if how is signal.SIGKILL else "Ctrl-C"
            report.add(f"{name}, then started again (simulated engine)", "gap", gap_ms, round_)
    finally:
        stack.end()

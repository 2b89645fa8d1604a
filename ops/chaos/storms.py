"""Storms: faults that don't wait for calm, and cancels by the hundred."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from contracts.errors import BusError
from ops.chaos.campaign import PROMPTS, TOKENS
from ops.chaos.faults import Fault, inflict, targets
from ops.chaos.operator import Operator, looking_at
from ops.chaos.people import Person, Story, person
from ops.chaos.reckoning import Reckoning, purse, reckon
from ops.chaos.stack import RunningStack
from ops.chaos.verdict import Broken

EVERY_S = 5.0
_ROLES = ("gpu", "session", "scheduler", "edge", "nats")
CHATS_AT_ONCE = 6
_CANCELS_AT_ONCE = 10
Say = Callable[[str], None]


@dataclass(slots=True)
class Storm:
    """`accepted` prompts, how their runs ended, and how many prompts were refused (each said
    when to come back). After a storm of cancels: `idle` if soon no worker had a run or memory of
    one, and what the guest's budget says."""

    accepted: int = 0
    refused: int = 0
    endings: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    idle: bool = True
    reckoning: Reckoning | None = None

    def ended(self, how: str) -> None:
        """Count an ending."""
        self.endings[how] = self.endings.get(how, 0) + 1

    @property
    def completed(self) -> float:
        """The share of accepted runs that completed, 0 to 1."""
        return self.endings.get("run.completed", 0) / max(1, self.accepted)

    @property
    def balanced(self) -> bool:
        """Whether what was charged is what was delivered, to the unit; so where nobody looked."""
        found = self.reckoning
        return found is None or found.charged == found.delivered


async def kill_storm(stack: RunningStack, rng: random.Random, minutes: float, say: Say) -> Storm:
    """Kill a random actor every five seconds while prompts keep coming."""
    storm, until_s = Storm(), time.monotonic() + 60 * minutes
    async with (
        looking_at(stack.home, stack.nats_url) as operator,
        person(stack.url) as guest,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(CHATS_AT_ONCE):
            group.create_task(keep_asking(guest, storm, rng, until_s))
        while time.monotonic() < until_s:
            await asyncio.sleep(EVERY_S)
            await _strike(stack, operator, rng, storm)
            say(f"{storm.kills} kills: {storm.accepted} accepted, {storm.endings}")
    return storm


async def _strike(
    stack: RunningStack, operator: Operator, rng: random.Random, storm: Storm
) -> None:
    try:
        known = await targets(stack, operator)
        await inflict(Fault("kill -9", rng.choice(_ROLES)), stack, operator, known, rng)
        storm.kills += 1
    except (Broken, BusError):
        return  # that role, or NATS, is on its way back from the last one


async def keep_asking(guest: Person, storm: Storm, rng: random.Random, until_s: float) -> None:
    """Ask in one new chat after the other, each to its end, until the clock says `until_s`."""
    while time.monotonic() < until_s:
        try:
            chat_id = await guest.chat()
            reply = await guest.post(chat_id, rng.choice(PROMPTS), TOKENS)
        except httpx.HTTPError:
            await asyncio.sleep(0.1)
            continue
        if reply.status_code != 202:
            storm.refused += 1
            await asyncio.sleep(0.2)
            continue
        storm.accepted += 1
        story = guest.join(Story(chat_id, reply.json()["runId"]), after=0)
        try:
            await story.ended()
            storm.ended(story.end)
        except Broken:
            storm.ended("no end")


async def cancel_storm(
    stack: RunningStack, rng: random.Random, count: int, say: Say, *, strikes: float = 0.1
) -> Storm:
    """Stop `count` answers at random moments, ten at once, a share `strikes` of these while an
    actor dies; each must end once. Afterwards look at the workers' memory and the guest's budget,
    which the stack must have given (`reckoning.BUDGET`)."""
    storm = Storm()
    stories: list[Story] = []
    async with looking_at(stack.home, stack.nats_url) as operator, person(stack.url) as guest:
        await (await guest.ask(PROMPTS[0], TOKENS)).ended()  # so that the budget isn't full
        await operator.idle()
        before = await purse(guest)
        for first in range(0, count, _CANCELS_AT_ONCE):
            number = min(_CANCELS_AT_ONCE, count - first)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_stop_one(guest, rng)) for _ in range(number)]
                if rng.random() < strikes:
                    await _strike(stack, operator, rng, storm)
            for task in tasks:
                storm.accepted += 1
                storm.ended(task.result().end)
                stories.append(task.result())
            if first % 100 == 0:
                say(f"{storm.accepted} cancels: {storm.endings}, {storm.kills} kills between")
        try:
            await operator.idle()
        except TimeoutError:
            storm.idle = False
        storm.reckoning = await reckon(guest, before, stories)
    return storm


async def _accepted(guest: Person, prompt: str) -> Story:
    """Ask until it is accepted: there is no chat to ask in while the edge is dead."""
    while True:
        try:
            return await guest.ask(prompt, TOKENS)
        except httpx.HTTPError:
            await asyncio.sleep(0.1)


async def _stop_one(guest: Person, rng: random.Random) -> Story:
    story = await _accepted(guest, rng.choice(PROMPTS))
    await asyncio.sleep(rng.uniform(0.0, 0.5))
    while True:
        try:
            reply = await guest.cancel(story)
            reply.raise_for_status()
            break
        except httpx.HTTPError:
            await asyncio.sleep(0.1)
    return await story.ended()

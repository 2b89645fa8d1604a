"""What a guest was charged, against what the guest's answers cost by their own usages: equal to
the unit, whatever died meanwhile."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from actors.scheduler.costs import Costs
from ops.chaos.people import Person, Story

COSTS = Costs()
"""A stack of a chaos run says nothing else."""

BUDGET = ("--tier", "free.budget_gpu_us=1000000000000", "--tier", "free.refill_gpu_us_s=1")
"""Flags of a stack whose guests have a budget: no storm comes to its end, and so little is added
that it can't be taken for a token."""

_SETTLED_S = 10.0
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Purse:
    """What a guest had left, in micro-GPU-seconds, at a moment between `asked_s` and `told_s`
    (monotonic seconds); `refill` is what is added a second."""

    remaining: int
    refill: int
    asked_s: float
    told_s: float


@dataclass(frozen=True, slots=True)
class Reckoning:
    """`charged` is what left the guest's budget, `delivered` what the answers cost by their
    usages; both in micro-GPU-seconds."""

    charged: int
    delivered: int


async def purse(guest: Person) -> Purse:
    """Read a guest's budget. Raises httpx.HTTPError."""
    asked_s = time.monotonic()
    budget = (await guest.usage())["budget"]
    return Purse(budget["remaining"], budget["refillPerSecond"], asked_s, time.monotonic())


async def reckon(guest: Person, before: Purse, stories: Sequence[Story]) -> Reckoning:
    """Compare the budget of now with the one before these stories, which have ended; what they
    still reserve is given back within seconds."""
    delivered = sum([cost(await guest.stored(story)) for story in stories])
    deadline = time.monotonic() + _SETTLED_S
    while True:
        try:
            found = Reckoning(_charged(before, await purse(guest), delivered), delivered)
        except httpx.HTTPError:
            found = Reckoning(0, delivered)
        if found.charged == delivered or time.monotonic() > deadline:
            return found
        await asyncio.sleep(_POLL_S)


def cost(answer: Mapping[str, Any]) -> int:
    """Return what a stored answer costs by its usage: nothing without a token."""
    usage = answer["usage"] or {}
    output = usage.get("completionTokens", 0)
    if not output:
        return 0
    return COSTS.charge(
        usage["promptTokens"] - usage["cachedTokens"], usage["cachedTokens"], output
    )


def _charged(before: Purse, after: Purse, delivered: int) -> int:
    """Return what was charged, as near to `delivered` as what was added meanwhile allows: that
    is known to the length of two requests."""
    least = math.floor(before.refill * (after.asked_s - before.told_s))
    most = math.ceil(before.refill * (after.told_s - before.asked_s))
    lost = before.remaining - after.remaining
    return min(max(delivered, lost + least), lost + most)

"""What operators ask a running stack, answered from live state alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec

from actors.runtime.clock import SystemClock
from actors.runtime.nats_bus import NatsBus
from contracts.codec import decode, encode
from contracts.errors import BadMessage, BusError, BusUnavailable, NoResponders, ParleyError
from contracts.ports.bus import Bus, Inbound
from contracts.scheduling import (
    ActorInfo,
    DescribePool,
    DescribeRun,
    PoolStatus,
    RunList,
    SchedulerRequest,
)
from contracts.subjects import POOL_STATUS_FILTER, actor_announcement, scheduler_requests
from ops.nats_server import facts_of
from ops.settings import Settings
from ops.supervision.leftovers import read_facts

ACTORS_FILTER = "actor.>"
_ANNOUNCE_S = 1.3
_STATUS_S = 0.7
_ANSWER_S = 2.0
_CONNECT_S = 3.0

T = TypeVar("T", bound=msgspec.Struct)


class NoStack(ParleyError):
    """Nothing runs where the command looked."""


@asynccontextmanager
async def operator_bus(settings: Settings) -> AsyncIterator[Bus]:
    """Connect as operator to the NATS server of `--nats`, or of the stack at the home.

    Raises:
        NoStack: there is none, or it does not answer.
    """
    facts = facts_of(settings.home)
    if not settings.nats and facts is None:
        raise NoStack(
            f"There is no stack at {settings.home}: start one with parley up, or say where it "
            "is with --home or --nats."
        )
    url = settings.nats or (facts.url("operator") if facts else "")
    where = "the address of --nats" if settings.nats else f"port {facts.port if facts else 0}"
    try:
        async with asyncio.timeout(_CONNECT_S):
            bus = await NatsBus.connect(url.split(","), name="operator", clock=SystemClock())
    except (BusError, TimeoutError) as error:
        raise NoStack(
            f"No NATS server answers at {where}: start the stack with parley up, or say where "
            "it is with --home or --nats."
        ) from error
    try:
        yield bus
    finally:
        await bus.close()


async def living_actors(bus: Bus) -> Sequence[ActorInfo]:
    """Return every actor that announced itself within 1.3 s (they do so each second)."""
    found = await _collect(bus, ACTORS_FILTER, ActorInfo, _ANNOUNCE_S)
    newest = {actor_announcement(info.role, info.id): info for info in found}
    return sorted(newest.values(), key=lambda info: (info.role, info.id))


async def pool_statuses(bus: Bus) -> Sequence[PoolStatus]:
    """Return the newest status of every pool that has an active scheduler."""
    found = await _collect(bus, POOL_STATUS_FILTER, PoolStatus, _STATUS_S)
    newest = {status.pool: status for status in found}
    return sorted(newest.values(), key=lambda status: status.pool)


def known_pools(settings: Settings) -> Sequence[str]:
    """Return the pools of the stack at the home; none where only its broadcasts know them."""
    facts = read_facts(settings.home)
    return () if settings.nats or facts is None else facts.pools


async def describe_pools(
    bus: Bus, limit: int, pools: Sequence[str] = ()
) -> Sequence[tuple[str, RunList]]:
    """Return runs and workers of `pools`, or of every pool that broadcasts within 0.7 s.

    Raises:
        NoStack: no scheduler answers.
    """
    answers = await _ask_all(bus, DescribePool(limit=limit), pools)
    if not answers:
        raise NoStack(
            "No scheduler answers: parley ps shows what lives; one that just started needs a "
            "moment."
        )
    return answers


async def describe_run(bus: Bus, run_id: str, pools: Sequence[str] = ()) -> RunList | None:
    """Return the run as its scheduler sees it, None if none knows it."""
    for _, answer in await _ask_all(bus, DescribeRun(run_id=run_id), pools):
        if answer.runs:
            return answer
    return None


async def _ask_all(
    bus: Bus, request: SchedulerRequest, pools: Sequence[str]
) -> list[tuple[str, RunList]]:
    answers: list[tuple[str, RunList]] = []
    for pool in pools or [status.pool for status in await pool_statuses(bus)]:
        subject = scheduler_requests(pool)
        try:
            data = await bus.request(subject, encode(request), timeout_s=_ANSWER_S)
            answers.append((pool, decode(data, RunList)))
        except (NoResponders, BusUnavailable):
            continue
    return answers


async def _collect(bus: Bus, subject: str, kind: type[T], seconds: float) -> list[T]:
    found: list[T] = []

    def take(message: Inbound) -> None:
        try:
            found.append(decode(message.data, kind))
        except BadMessage:
            return

    subscription = await bus.subscribe(subject, take)
    await asyncio.sleep(seconds)
    await subscription.stop()
    return found

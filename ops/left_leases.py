"""Leases that a dead process left behind: given up for it by who saw it end, so that a successor,
or another host, need not wait until they run out."""

import asyncio
from collections.abc import Sequence

from actors.runtime.lease import release_for_dead
from actors.runtime.lease_machine import LEASE_TTL_S
from actors.runtime.partitions import SESSION_KEYS, SUMMARIZER_KEYS, LeaseKeys
from contracts.ports.bus import Bus
from contracts.subjects import SESSION_PARTITIONS, scheduler_lease
from ops.placement import scheduler_ids
from ops.setting_table import Role

Leases = Sequence[tuple[str, str]]
"""Key and owner of each."""

_OF_HOSTS: dict[Role, LeaseKeys] = {"session": SESSION_KEYS, "summarizer": SUMMARIZER_KEYS}


def leased_by(role: Role, name: str, pools: Sequence[str]) -> Leases:
    """Return key and owner of every lease that a process of `role` called `name` may hold."""
    if role == "scheduler":
        ids = scheduler_ids(name, pools)
        return tuple((scheduler_lease(pool), owner) for pool, owner in ids.items())
    keys = _OF_HOSTS.get(role)
    if keys is None:
        return ()
    partitions = (keys.partition(number) for number in range(SESSION_PARTITIONS))
    return tuple((key, name) for key in (keys.host(name), *partitions))


async def give_up(bus: Bus, leases: Leases, pid: int) -> None:
    """Give up those of `leases` that process `pid` held.

    Raises BusUnavailable or TimeoutError: some run out by themselves.
    """
    async with asyncio.timeout(LEASE_TTL_S):  # then they have run out
        await asyncio.gather(*(release_for_dead(bus, key, owner, pid) for key, owner in leases))

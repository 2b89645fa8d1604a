"""Brings the embedded NATS server back after a full disk.

A stream whose write has failed takes no more until the server is started anew, also when there is
room again; the server says so itself (`/healthz`).
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx

ROOM_BYTES = 64 * 1_048_576
"""With so much free it is worth a start: a server that fails again is no better."""

_LOOK_S = 2.0


async def write_error(monitor_url: str) -> str:
    """Return what the server at this monitoring address says of a stream that it can't write;
    "" if there is none, or no answer."""
    try:
        async with httpx.AsyncClient(timeout=_LOOK_S) as client:
            told = (await client.get(f"{monitor_url}/healthz")).json().get("error", "")
    except (httpx.HTTPError, ValueError):
        return ""
    return str(told) if "write error" in told else ""


async def keep_writing(
    monitor_url: Callable[[], str],
    store: Path,
    say: Callable[[str], None],
    renew: Callable[[], None],
) -> None:
    """Look every 2 s, until cancelled; call `renew` where the server does not write any more
    although the disk of `store` has room again. `say` tells a person, once each time."""
    told = False
    while True:
        await asyncio.sleep(_LOOK_S)
        fault = await write_error(monitor_url())
        if fault and not told:
            say(f"{fault}; it is started anew once there is room")
        told = bool(fault)
        if fault and shutil.disk_usage(store).free >= ROOM_BYTES:
            renew()

"""Who leads the streams of a cluster: the two places of a log have their leaders on two nodes, so
that the death of one node leaves a log one place to go on in (ADR 0028)."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import structlog

from contracts.errors import BusError
from contracts.ports.bus import Bus
from contracts.subjects import TOKEN_PARTITIONS, token_sibling, token_stream

_LOOK_S = 5.0
_ANSWER_S = 2.0

_log = structlog.get_logger()


class LeadersApart:
    """Looks at the leaders every few seconds and asks for another where a pair has one node. An
    actor of a host; several in one system do no harm. Needs an account that may ask for
    `STREAM.INFO` and `STREAM.LEADER.STEPDOWN`."""

    def __init__(self, bus: Bus, look_s: float = _LOOK_S) -> None:
        self._bus = bus
        self._look_s = look_s
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Look until `stop`."""
        while not self._stopping.is_set():
            try:
                await part_leaders(self._bus)
            except BusError as error:
                _log.info("leaders not looked at", error=str(error))
            try:
                async with asyncio.timeout(self._look_s):
                    await self._stopping.wait()
            except TimeoutError:
                pass

    async def stop(self) -> None:
        """End now."""
        self._stopping.set()


async def part_leaders(bus: Bus, partitions: Iterable[int] = range(TOKEN_PARTITIONS // 2)) -> int:
    """Give every log of these partitions whose two places are led by one node another leader for
    the second; return how many those were. Raises BusError where the servers don't answer."""
    parted = 0
    for partition in partitions:
        sibling = token_sibling(partition)
        home, beside = [await _cluster_of(bus, token_stream(p)) for p in (partition, sibling)]
        leader = home.get("leader")
        if not leader or beside.get("leader") != leader:
            continue
        others = [
            peer["name"]
            for peer in beside.get("replicas", ())
            if peer.get("current") and not peer.get("offline")
        ]
        if others:
            wish = {"placement": {"preferred": others[partition % len(others)]}}
            subject = f"$JS.API.STREAM.LEADER.STEPDOWN.{token_stream(sibling)}"
            await bus.request(subject, json.dumps(wish).encode(), timeout_s=_ANSWER_S)
            parted += 1
    return parted


async def _cluster_of(bus: Bus, stream: str) -> dict[str, Any]:
    answer = await bus.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout_s=_ANSWER_S)
    cluster = json.loads(answer).get("cluster")
    return cluster if isinstance(cluster, dict) else {}

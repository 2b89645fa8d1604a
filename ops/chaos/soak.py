"""A soak: chats for long while nothing breaks; every process is weighed meanwhile, and what it
and the NATS server hold at rest is counted before and afterwards."""

import asyncio
import json
import random
import time
from dataclasses import dataclass

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from ops.chaos.people import Person, person
from ops.chaos.stack import RunningStack
from ops.chaos.storms import CHATS_AT_ONCE, Say, Storm, keep_asking
from ops.nats_server import facts_of
from ops.supervision import leftovers

_WEIGH_S = 15.0
_NAMES = ("up", "edge", "session", "scheduler", "gpu", "summarizer")
_KEPT = {"parley_tasks": "tasks", "process_open_fds": "open files"}
_WARM_S = 60.0
_LOOK_S = 5.0
_REST_S = 90.0
"""Chats are forgotten by their session some time after the last word, consumers by the server."""


@dataclass(frozen=True, slots=True)
class Weight:
    """Resident memory of one process over a soak: MiB at the start and at the end, and the
    slope of a straight line through the second half's samples, in MiB an hour: a process may
    grow while it warms up."""

    name: str
    first: float
    last: float
    slope: float


@dataclass(frozen=True, slots=True)
class Held:
    """How many of something there were at rest, before the soak and after it."""

    name: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Soaked:
    """What a soak found."""

    answers: int
    weights: list[Weight]
    held: list[Held]

    def report(self) -> str:
        """Return both tables in Markdown."""
        lines = [
            f"Soak: {self.answers} answers",
            "",
            "| Process | MiB first | MiB last | MiB an hour |",
        ]
        lines += ["|---|---:|---:|---:|"]
        lines += [
            f"| {w.name} | {w.first:.1f} | {w.last:.1f} | {w.slope:+.1f} |" for w in self.weights
        ]
        lines += ["", "| Held at rest | before | after |", "|---|---:|---:|"]
        lines += [f"| {held.name} | {held.before} | {held.after} |" for held in self.held]
        return "\n".join(lines) + "\n"


async def soak(stack: RunningStack, rng: random.Random, minutes: float, say: Say) -> Soaked:
    """Chat for so long while nothing breaks, and weigh every process four times a minute."""
    storm = Storm()
    samples: dict[str, list[tuple[float, float]]] = {}
    async with person(stack.url) as guest:
        await _chat(guest, storm, rng, _WARM_S)
        before = await _rest(stack, {})
        begun_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(_chat(guest, storm, rng, 60 * minutes))
            while time.monotonic() < begun_s + 60 * minutes:
                await asyncio.sleep(_WEIGH_S)
                at_h = (time.monotonic() - begun_s) / 3600
                for name, mebibytes in _weigh(stack):
                    samples.setdefault(name, []).append((at_h, mebibytes))
                say(f"{60 * at_h:.1f} min, {storm.accepted} answers")
        after = await _rest(stack, before)
    weights = [_weight(name, found) for name, found in sorted(samples.items()) if len(found) > 1]
    held = [Held(name, before.get(name, 0), after[name]) for name in sorted(after)]
    return Soaked(storm.accepted, weights, held)


async def _chat(guest: Person, storm: Storm, rng: random.Random, for_s: float) -> None:
    until_s = time.monotonic() + for_s
    async with asyncio.TaskGroup() as group:
        for _ in range(CHATS_AT_ONCE):
            group.create_task(keep_asking(guest, storm, rng, until_s))


async def _rest(stack: RunningStack, before: dict[str, int]) -> dict[str, int]:
    """Return what is held once nobody chats: when no more than `before` is, or, where that is
    empty or never comes, after some minutes."""
    give_up_s = time.monotonic() + _REST_S
    while True:
        await asyncio.sleep(_LOOK_S)
        found = await _held(stack)
        settled = before and all(count <= before.get(name, 0) for name, count in found.items())
        if settled or time.monotonic() > give_up_s:
            return found


async def _held(stack: RunningStack) -> dict[str, int]:
    """Count the tasks and files of each actor, and what the NATS server keeps for them."""
    found: dict[str, int] = {}
    targets = json.loads((stack.home / "prometheus.json").read_bytes())
    facts = facts_of(stack.home)
    async with httpx.AsyncClient(timeout=_LOOK_S) as client:
        for target in targets:
            page = (await client.get(f"http://{target['targets'][0]}/metrics")).text
            for family in text_string_to_metric_families(page):
                if family.name in _KEPT:
                    name = f"{target['labels']['id']}: {_KEPT[family.name]}"
                    found[name] = int(family.samples[0].value)
        if facts is not None:
            told = (await client.get(f"{facts.monitor_url}/jsz")).json()
            server = (await client.get(f"{facts.monitor_url}/varz")).json()
            found |= {
                "nats: consumers": told["consumers"],
                "nats: streams": told["streams"],
                "nats: connections": server["connections"],
                "nats: subscriptions": server["subscriptions"],
            }
    return found


def _weigh(stack: RunningStack) -> list[tuple[str, float]]:
    found = []
    for pid in (stack.pid, *leftovers.find(stack.home)):
        try:
            process = psutil.Process(pid)
            words = [word for word in process.cmdline() if not word.startswith("-")]
            name = next((w for w in words if w in _NAMES), process.name())
            found.append((f"{name} {pid}", process.memory_info().rss / 2**20))
        except psutil.NoSuchProcess:
            continue
    return found


def _weight(name: str, samples: list[tuple[float, float]]) -> Weight:
    late = samples[len(samples) // 2 :]
    mean_x = sum(x for x, _ in late) / len(late)
    mean_y = sum(y for _, y in late) / len(late)
    spread = sum((x - mean_x) ** 2 for x, _ in late)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in late) / spread if spread else 0.0
    return Weight(name, samples[0][1], samples[-1][1], slope)

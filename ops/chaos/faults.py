"""What a campaign does to a stack: a signal to the busiest process of a kind, its end, and clients
that misbehave. What is expected of each stands in `ops/chaos/README.md`."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import psutil

from contracts.subjects import token_partition, token_stream
from ops.chaos import rolling, rude
from ops.chaos.far_actor import far_actor
from ops.chaos.nats_cluster import NatsCluster
from ops.chaos.network_host import Way
from ops.chaos.operator import Operator
from ops.chaos.small_disk import full
from ops.chaos.stack import RunningStack
from ops.chaos.verdict import Broken
from ops.setting_table import Role
from ops.streams import stream_specs
from ops.supervision import leftovers

FaultKind = Literal[
    "kill -9", "SIGSTOP, SIGCONT", "SIGTERM", "stopped reading", "flood", "rolling restart",
    "planned restart", "network cut", "full disk",
]  # fmt: skip
Place = Literal["here", "two hosts", "small disk"]
"""What a fault needs: the stack as it is, another host, or a disk that can be filled."""

ROLES = ("gpu", "session", "scheduler", "edge", "summarizer", "nats")
_SIGNALS: dict[FaultKind, signal.Signals] = {
    "kill -9": signal.SIGKILL,
    "SIGSTOP, SIGCONT": signal.SIGSTOP,
    "SIGTERM": signal.SIGTERM,
}
_LONGEST_STOP_S = 4.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what happens to which kind of process, or what clients do (`role` "client")."""

    kind: FaultKind
    role: str

    @property
    def long(self) -> bool:
        """Whether it takes half a minute, not seconds."""
        return "parley up" in self.role or self.kind in ("stopped reading", "rolling restart")

    @property
    def place(self) -> Place:
        """Where it can happen."""
        if self.kind == "network cut":
            return "two hosts"
        return "small disk" if self.kind == "full disk" else "here"

    def __str__(self) -> str:
        if self.kind == "full disk":
            return self.kind
        if self.kind == "network cut":
            return f"{self.kind} of the {self.role} host"
        return (
            f"{self.kind} by a client" if self.role == "client" else f"{self.kind} of {self.role}"
        )


ALL = (
    *(Fault(kind, role) for kind in _SIGNALS for role in ROLES),
    Fault("kill -9", "parley up"),
    Fault("SIGTERM", "parley up"),
    Fault("stopped reading", "client"),
    Fault("flood", "client"),
    Fault("rolling restart", "every actor"),
)

OF_A_CLUSTER = (
    Fault("kill -9", "the NATS node that leads a run's log"),
    Fault("kill -9", "a NATS node that follows"),
    Fault("planned restart", "the NATS node that leads a run's log"),
)
"""For a stack on three NATS servers; there is no server of its own then."""

CUTS: tuple[Role, ...] = ("gpu", "session", "scheduler", "edge")
ELSEWHERE = (*(Fault("network cut", role) for role in CUTS), Fault("full disk", "every actor"))
"""For stacks of two hosts, and on a small disk."""

_STREAMS = [spec.name for spec in stream_specs()]
_NODE_AWAY_S = 12.0
_CUT_S = (0.5, 8.0)
_FULL_S = (0.5, 4.0)
_WAYS: tuple[Way, ...] = ("both", "in", "out")


def kinds_for(*, clustered: bool) -> tuple[Fault, ...]:
    """Return the faults that can happen to a stack with a NATS server of its own, or to one on a
    cluster."""
    if not clustered:
        return ALL
    return (*(fault for fault in ALL if fault.role != "nats"), *OF_A_CLUSTER)


@asynccontextmanager
async def set_up(
    fault: Fault, stack: RunningStack, operator: Operator
) -> AsyncIterator[tuple[str, ...]]:
    """Have what the fault is to hit; yields the edges that people should come to."""
    for role in CUTS:
        if fault == Fault("network cut", role):
            async with far_actor(stack, role, operator) as far:
                yield far.edges
            return
    yield (stack.url,)


async def targets(stack: RunningStack, operator: Operator) -> dict[str, list[int]]:
    """Return the processes of every role, those with the most to do first."""
    found: dict[str, list[int]] = {role: [] for role in ROLES}
    rows = await operator.actors()
    for row in sorted(rows, key=lambda row: (row.running, row.state == "active"), reverse=True):
        found.setdefault(row.role, []).append(row.pid)
    found["nats"] = [pid for pid in leftovers.find(stack.home) if _name(pid) == "nats-server"]
    return found


async def inflict(
    fault: Fault,
    stack: RunningStack,
    operator: Operator,
    known: Mapping[str, Sequence[int]],
    rng: random.Random,
) -> None:
    """Let the fault happen now, after `set_up`; returns when it is over (a stopped process goes
    on, a stack that ended is ready again, a network is whole, a disk has room); what died may
    still be on its way back.

    `known` are the targets as they were a moment ago; of the gpu actors the one is hit that
    writes most. Raises Broken if no process of the role lives, or if what the fault is expected
    to show was not kept.
    """
    if fault.role == "parley up":
        await asyncio.to_thread(stack.end, _SIGNALS[fault.kind])
        await asyncio.to_thread(stack.start)
    elif fault.kind == "stopped reading":
        await rude.stop_reading(stack.url, known["edge"][0])
    elif fault.kind == "flood":
        await rude.flood(stack.url)
    elif fault.kind == "rolling restart":
        await rolling.restart_all(stack, operator)
    elif fault.kind == "network cut" and stack.host is not None:
        with stack.host.isolated(rng.choice(_WAYS)):
            await asyncio.sleep(rng.uniform(*_CUT_S))
    elif fault.kind == "full disk" and stack.disk is not None:
        with full(stack.disk):
            await asyncio.sleep(rng.uniform(*_FULL_S))
    elif stack.nats is not None and "NATS node" in fault.role:
        await _hit_node(fault, stack.nats, operator, rng)
    else:
        await _signal(fault, operator, known, rng)


async def _hit_node(
    fault: Fault, cluster: NatsCluster, operator: Operator, rng: random.Random
) -> None:
    """Hit the node that leads the log of a run that is being written, or one that does not."""
    runs = [run.run_id for run in await operator.runs()]
    stream = token_stream(token_partition(runs[0]) if runs else 0)
    leader = await cluster.leader_of(operator.bus, stream)
    others = [name for name in cluster.nodes if name != leader]
    node = rng.choice(others) if "follows" in fault.role else leader
    if fault.kind == "kill -9":
        away_s = rng.uniform(0.5, _NODE_AWAY_S)
        await cluster.kill(operator.bus, node, away_s, _STREAMS)
    else:
        await cluster.restart(operator.bus, node, _STREAMS)


async def _signal(
    fault: Fault, operator: Operator, known: Mapping[str, Sequence[int]], rng: random.Random
) -> None:
    pids = list(known[fault.role])
    if fault.role == "gpu":
        workers = sorted(await operator.workers(), key=lambda worker: worker.running)
        pids = [worker.pid for worker in reversed(workers)] or pids
    for pid in pids:
        try:
            os.kill(pid, _SIGNALS[fault.kind])
        except ProcessLookupError:
            continue
        if fault.kind == "SIGSTOP, SIGCONT":
            await asyncio.sleep(rng.uniform(0.2, _LONGEST_STOP_S))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        return
    raise Broken(f"no {fault.role} lives")


def _name(pid: int) -> str:
    try:
        return str(psutil.Process(pid).name())
    except psutil.NoSuchProcess:
        return ""

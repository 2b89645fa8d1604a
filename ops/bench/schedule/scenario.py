"""A workload on a set of GPUs under one policy: what a cell of a table is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from actors.scheduler.config import SchedulerConfig, TierConfig
from actors.scheduler.journal import Recollection
from actors.scheduler.machine import SchedulerMachine
from actors.scheduler.order import Order
from ops.bench.schedule.gpu import GpuModel
from ops.bench.schedule.history import Fault, Outcome
from ops.bench.schedule.prompts import Workload
from ops.bench.schedule.simulator import Simulation

_NEVER_MS = 1 << 40

TABLE_A_GPU = GpuModel(tells_memory=False)
"""The GPU of scheduling.md's table A. It does not tell how large its memory is, so that the
scheduler's own room rule rests; `PeakRoom` keeps the artifact's."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a policy may be told: the workers, and (for oracles only) each answer's length,
    filled in as prompts come."""

    workers: tuple[str, ...]
    lengths: Mapping[str, int]
    seed: int


@dataclass(frozen=True, slots=True)
class Contender:
    """A policy by name: an order of its own, or production's (`order` None) as `changed`
    configures it. `wrap` puts something around whichever it is."""

    name: str
    order: Callable[[Setting], Order] | None = None
    wrap: Callable[[Order], Order] | None = None
    changed: Callable[[SchedulerConfig], SchedulerConfig] = lambda config: config


@dataclass(frozen=True, slots=True)
class Scenario:
    """`workload` makes what is asked from a seed; the simulation ends after `until_s`. `gated`:
    the edge asks for admission, and production's degradation is on. `faults` as told."""

    name: str
    workload: Callable[[int], Workload]
    gpus: tuple[GpuModel, ...] = (TABLE_A_GPU,)
    until_s: float = 10_000.0
    tiers: Mapping[str, TierConfig] = field(default_factory=lambda: open_tiers({"free": 1}))
    gated: bool = False
    faults: tuple[Fault, ...] = ()


def open_tiers(weights: Mapping[str, int]) -> dict[str, TierConfig]:
    """Return tiers of these weights that refuse nobody."""
    return {
        name: TierConfig(weight=weight, wait_limit_ms=_NEVER_MS, wait_soft_ms=_NEVER_MS)
        for name, weight in weights.items()
    }


def bench_config(scenario: Scenario) -> SchedulerConfig:
    """Return the production settings, with everything off that would refuse or shorten unless
    the scenario is gated."""
    if scenario.gated:
        return SchedulerConfig(
            pool="default",
            model="simulated",
            context_length=1 << 20,
            tiers=scenario.tiers,
            prefill_tokens_max=2 * scenario.gpus[0].chunk_tokens,
            notices_max=1 << 30,
            notice_ms=100,
        )
    return SchedulerConfig(
        pool="default",
        model="simulated",
        context_length=1 << 20,
        tiers=scenario.tiers,
        queue_max=1 << 30,
        notices_max=0,
        prefill_tokens_max=2 * scenario.gpus[0].chunk_tokens,
        first_token_ms=_NEVER_MS,
    )


def play(scenario: Scenario, contender: Contender, seed: int) -> Outcome:
    """Return what happens: the same for the same seed."""
    lengths: dict[str, int] = {}
    workers = tuple(f"gpu-{index}" for index in range(len(scenario.gpus)))
    config = contender.changed(bench_config(scenario))

    def make_machine(term: int, now_ms: int, known: Recollection | None) -> SchedulerMachine:
        order = contender.order
        made = None if order is None else order(Setting(workers, lengths, seed))
        machine = SchedulerMachine(config, term, now_ms, made, known)
        if contender.wrap is not None:
            machine._pool.order = contender.wrap(machine._pool.order)
        return machine

    simulation = Simulation(
        scenario.workload(seed),
        scenario.gpus,
        make_machine,
        seed=seed,
        until_us=round(scenario.until_s * 1e6),
        lengths=lengths,
        faults=scenario.faults,
        asks=scenario.gated,
    )
    return simulation.run()

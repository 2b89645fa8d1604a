"""The policies that the tables compare, by the names that they have there."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from actors.scheduler.config import SchedulerConfig
from actors.scheduler.order import Order
from ops.bench.schedule.policies.dlpm import Dlpm
from ops.bench.schedule.policies.plain import (
    FirstCome,
    Lmetric,
    RoundRobinUsers,
    RoundRobinWorkers,
)
from ops.bench.schedule.policies.room import PeakRoom
from ops.bench.schedule.policies.vtc import Vtc, VtcLast, VtcTold
from ops.bench.schedule.scenario import Contender, Setting

ARTIFACT_TOKENS = 10_000
OWN = "**Parley**"
Make = Callable[[Setting], Order]


def _vtc_orders(weights: Mapping[str, int]) -> dict[str, Make]:
    return {
        "VTC": lambda _: Vtc(weights),
        "VTC, mean of last 5": lambda _: VtcLast(weights),
        "VTC, told ± 50 %": lambda s: VtcTold(s.lengths, 0.5, weights, s.seed),
        "VTC, oracle": lambda s: VtcTold(s.lengths, 0.0, weights),
    }


def single_gpu(weights: Mapping[str, int] | None = None) -> list[Contender]:
    """Return the policies of tables A and B under the artifact's room rule. `weights` are
    VTC's, by user."""
    orders: dict[str, Make] = {
        "FCFS": lambda _: FirstCome(),
        "round robin": lambda _: RoundRobinUsers(),
        **_vtc_orders(weights or {}),
    }
    theirs = [Contender(name, make, _within_peak) for name, make in orders.items()]
    return [*theirs, Contender(OWN, wrap=_within_peak)]


def own_room() -> list[Contender]:
    """Return the policies of tables A and B under production's room rule."""
    orders: dict[str, Make] = {
        "FCFS": lambda _: FirstCome(),
        "round robin": lambda _: RoundRobinUsers(),
        **_vtc_orders({}),
    }
    strict = Contender(f"{OWN}, Q = 0", changed=_slack(0))
    return [*(Contender(name, make) for name, make in orders.items()), strict, Contender(OWN)]


def many_gpus() -> list[Contender]:
    """Return the policies of table C."""
    return [
        Contender("FCFS, round robin over GPUs", lambda s: RoundRobinWorkers(s.workers)),
        Contender("FCFS, LMETRIC", lambda s: Lmetric(s.workers)),
        Contender("VTC", lambda _: Vtc()),
        Contender("DLPM 5k", lambda _: Dlpm()),
        Contender("SFQ, Q = 0", changed=_slack(0)),
        Contender(OWN),
    ]


def slack_ablation() -> list[Contender]:
    """Return production's order with other slacks, in tokens of prefill."""
    slacks = (0, 1_000, 2_000, 4_000, 8_000, 16_000, 64_000)
    return [Contender(f"Q = {slack:,}", changed=_slack(slack)) for slack in slacks]


def _slack(tokens: int) -> Callable[[SchedulerConfig], SchedulerConfig]:
    return lambda config: replace(config, slack_tokens=tokens)


def _within_peak(order: Order) -> Order:
    return PeakRoom(order, ARTIFACT_TOKENS)

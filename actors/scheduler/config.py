"""The settings of a scheduler, parsed once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from actors.runtime.lease_machine import LEASE_TTL_S
from actors.scheduler.costs import Costs

Measure = Literal["cap", "downgrade", "defer", "shed"]
MEASURES: tuple[Measure, ...] = ("cap", "downgrade", "defer", "shed")
"""What degradation may do to a tier, the mildest first."""


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """A user's token bucket in a pool: `size` ≥ 1 micro-GPU-seconds, `refill` ≥ 1 of them a
    second, and `debt` ≥ 0, how far below zero a new run may take it."""

    size: int
    refill: int
    debt: int = 0


@dataclass(frozen=True, slots=True)
class TierConfig:
    """What a tier is given, and what may be taken from it.

    `weight` ≥ 1: its share when all tiers wait. `wait_limit_ms`: a run is refused while its
    expected wait is longer; `wait_soft_ms` the same for a user who has runs waiting already
    (0: half of the hard limit). `slots`: places on the workers that are kept for it;
    `lendable`: others may use them while it does not. `concurrency`: runs of one user on
    workers at once, `output_max`: new tokens of a run (0: no limit of the tier's). `measures`
    are what degradation may do; a capped tier has `concurrency_capped` and `output_capped`
    (0: not capped).
    """

    weight: int
    wait_limit_ms: int
    wait_soft_ms: int = 0
    slots: int = 0
    lendable: bool = True
    concurrency: int = 0
    output_max: int = 0
    budget: BudgetConfig | None = None
    measures: tuple[Measure, ...] = ()
    concurrency_capped: int = 0
    output_capped: int = 0

    @property
    def soft_ms(self) -> int:
        """The wait above which a user with runs waiting is refused."""
        return self.wait_soft_ms or self.wait_limit_ms // 2


def default_tiers() -> dict[str, TierConfig]:
    """Return the tiers of scheduling.md: paid, free and background at 100 : 10 : 1."""
    return {
        "paid": TierConfig(weight=100, wait_limit_ms=120_000, wait_soft_ms=10_000),
        "free": TierConfig(
            weight=10,
            wait_limit_ms=60_000,
            measures=MEASURES,
            concurrency_capped=2,
            output_capped=512,
        ),
        "background": TierConfig(weight=1, wait_limit_ms=600_000, measures=("defer", "shed")),
    }


@dataclass(frozen=True, slots=True)
class DegradationConfig:
    """When a level of degradation begins, in thousandths of the pressure, and how it ends:
    after `calm_ms` below `leave` thousandths of what began it. `sojourn_ms` is how long a run
    of the best tier may wait, `kv_permille` how full the workers' memory may be."""

    capped: int = 500
    downgraded: int = 800
    deferred: int = 1_000
    shed: int = 1_200
    leave: int = 700
    calm_ms: int = 30_000
    sojourn_ms: int = 2_000
    kv_permille: int = 900


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Times in milliseconds.

    `costs` are what tokens cost in this pool; `fallback` names the pool of a smaller model
    that runs may be downgraded to ("": none).
    `silent_ms`: a worker unheard of for so long is lost. `accept_ms`, `first_token_ms`,
    `token_gap_ms`: how long a dispatched run may take to be confirmed, to begin, and between
    two counts of its tokens. `settle_ms`: how long a cancel may take on a worker before the
    scheduler ends the run itself. `recovery_ms`: how long a new scheduler listens before it
    dispatches. Every `rejections_max`-th refusal by workers counts as a lost worker, and
    `attempts_max` lost workers end a run.

    `order` names the policy; `slack_tokens` is how far, in prompt tokens' cost, a user may be
    served ahead of the fair one for the sake of a warm prefix; without `affinity` no prefix is
    known to be warm.
    `prefill_tokens_max`: prompt tokens that a worker may have yet to compute when it is given
    more: two chunks of the engine's. `notices_max`: first places told a second to runs that
    nobody watches. `watch_ms`: how long a word that somebody reads a run is believed, and
    `watched_max` of how many runs.
    `reader_silent_ms`: an edge unheard of for so long is gone, and what it alone read ends.
    """

    pool: str
    model: str
    context_length: int
    order: Literal["fair", "fcfs"] = "fair"
    slack_tokens: int = 4_000
    affinity: bool = True
    tiers: Mapping[str, TierConfig] = field(default_factory=default_tiers)
    costs: Costs = field(default_factory=Costs)
    degradation: DegradationConfig = DegradationConfig()
    fallback: str = ""
    queue_max: int = 1_000
    attempts_max: int = 3
    rejections_max: int = 20
    silent_ms: int = 700
    accept_ms: int = 1_000
    first_token_ms: int = 60_000
    token_gap_ms: int = 10_000
    settle_ms: int = 5_000
    resend_ms: int = 200
    recovery_ms: int = 400
    orphan_ms: int = 2_000
    notice_ms: int = 1_000
    notices_max: int = 200
    watch_ms: int = 5_000
    watched_max: int = 50_000
    prefill_tokens_max: int = 8_192
    early_cancel_ms: int = 10_000
    reader_silent_ms: int = 10_000
    early_cancels_max: int = 10_000
    status_ms: int = 500
    lease_ttl_s: float = LEASE_TTL_S
    default_service_ms: int = 4_000

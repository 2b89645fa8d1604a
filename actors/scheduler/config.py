"""The settings of a scheduler, parsed once."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TierConfig:
    """`weight` ≥ 1: the share of dispatches when all tiers wait. `wait_limit_ms`: new prompts
    of this tier are refused while the expected wait is longer."""

    weight: int
    wait_limit_ms: int


def default_tiers() -> dict[str, TierConfig]:
    """Return the tiers of scheduling.md: paid, free and background at 100 : 10 : 1."""
    return {
        "paid": TierConfig(weight=100, wait_limit_ms=120_000),
        "free": TierConfig(weight=10, wait_limit_ms=60_000),
        "background": TierConfig(weight=1, wait_limit_ms=600_000),
    }


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Times in milliseconds.

    `silent_ms`: a worker unheard of for so long is lost. `accept_ms`, `first_token_ms`,
    `token_gap_ms`: how long a dispatched run may take to be confirmed, to begin, and between
    two counts of its tokens. `settle_ms`: how long a cancel may take on a worker before the
    scheduler ends the run itself. `recovery_ms`: how long a new scheduler listens before it
    dispatches. Every `rejections_max`-th refusal by workers counts as a lost worker, and
    `attempts_max` lost workers end a run.
    """

    pool: str
    model: str
    context_length: int
    tiers: Mapping[str, TierConfig] = field(default_factory=default_tiers)
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
    notices_per_tick: int = 200
    early_cancel_ms: int = 10_000
    early_cancels_max: int = 10_000
    status_ms: int = 500
    lease_ttl_s: float = 2.0
    default_service_ms: int = 4_000

"""How far service is degraded, and why. Pure.

The pressure is the worst of three ratios, in thousandths: the wait that a new user of the best
tier expects against that tier's soft limit, how long its light users' runs did wait against the
target, and how full the workers' memory is. Memory counts only while runs wait, and takes away
length and size at most, never a place: a full memory is what a well-used worker has.
"""

from dataclasses import dataclass

from actors.scheduler.config import DegradationConfig
from contracts.scheduling import DegradationLevel

LEVELS: tuple[DegradationLevel, ...] = ("normal", "capped", "downgraded", "deferred", "shed")
_PERMILLE = 1_000


@dataclass(frozen=True, slots=True)
class Load:
    """What the pressure is made of: the expected wait of a new user of the best tier and its
    soft limit, the wait that one of its light users had, how full the workers are, and how
    many runs wait."""

    wait_ms: int
    wait_soft_ms: int
    sojourn_ms: int
    kv_permille: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """A pressure in thousandths, and the words for its cause."""

    permille: int
    why: str


def pressure(load: Load, config: DegradationConfig) -> Pressure:
    """Return how pressed a pool is."""
    wait = load.wait_ms * _PERMILLE // max(1, load.wait_soft_ms)
    sojourn = load.sojourn_ms * _PERMILLE // max(1, config.sojourn_ms)
    memory = load.kv_permille * _PERMILLE // max(1, config.kv_permille)
    memory = min(memory, config.deferred - 1) if load.waiting else 0
    worst = max(wait, sojourn, memory)
    if worst == 0:
        return Pressure(0, "")
    if worst == wait:
        return Pressure(wait, f"the best tier would wait {_seconds(load.wait_ms)}")
    if worst == sojourn:
        return Pressure(sojourn, f"the best tier waited {_seconds(load.sojourn_ms)}")
    return Pressure(memory, f"memory is {load.kv_permille // 10} % full while runs wait")


class Ladder:
    """The level, taken at once where the pressure asks for it, and left one step at a time
    after the pressure was well below the step's threshold for a while.

    Args:
        config: thresholds and times; replaced by a reload.
    """

    def __init__(self, config: DegradationConfig) -> None:
        self.config = config
        self.why = ""
        self._step = 0
        self._calm_since_ms: int | None = None

    @property
    def level(self) -> DegradationLevel:
        """The present level."""
        return LEVELS[self._step]

    def reached(self, level: DegradationLevel) -> bool:
        """Say whether the present level is this one or beyond."""
        return self._step >= LEVELS.index(level)

    def update(self, load: Load, now_ms: int) -> bool:
        """Take note of how the pool stands; return whether the level has changed."""
        now = pressure(load, self.config)
        before = self._step
        asked = sum(now.permille >= threshold for threshold in self._thresholds())
        if asked > self._step:
            self._step = asked
            self._calm_since_ms = None
        elif self._step and now.permille * _PERMILLE < self._leaving():
            self._calm(now_ms)
        else:
            self._calm_since_ms = None
        if self._step == 0:
            self.why = ""
        elif asked == self._step and now.why:
            self.why = now.why
        return self._step != before

    def _calm(self, now_ms: int) -> None:
        if self._calm_since_ms is None or now_ms < self._calm_since_ms:
            self._calm_since_ms = now_ms
        elif now_ms - self._calm_since_ms >= self.config.calm_ms:
            self._step -= 1
            self._calm_since_ms = now_ms

    def _leaving(self) -> int:
        """The pressure below which the present level may be left, in millionths."""
        return self._thresholds()[self._step - 1] * self.config.leave

    def _thresholds(self) -> tuple[int, ...]:
        config = self.config
        return (config.capped, config.downgraded, config.deferred, config.shed)


def _seconds(ms: int) -> str:
    return f"{ms // 1000}.{ms % 1000 // 100} s"

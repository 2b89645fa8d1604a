"""Means over seeds with their 95 % confidence intervals (Student's t). Pure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_T95 = (
    (1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (6, 2.447), (7, 2.365),
    (8, 2.306), (9, 2.262), (11, 2.201), (14, 2.145), (19, 2.093), (29, 2.045), (59, 2.001),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and the half-width of its 95 % interval (NaN with fewer than two samples)."""

    mean: float
    half: float

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self.mean + self.half


def estimate(samples: Sequence[float]) -> Estimate:
    """Return the mean of independent samples with its interval. Between the tabled degrees
    of freedom the smaller one's factor is taken: the interval is never too narrow."""
    mean = statistics.fmean(samples)
    if len(samples) < 2:
        return Estimate(mean, math.nan)
    freedom = len(samples) - 1
    factor = next(t for degrees, t in reversed(_T95) if degrees <= freedom)
    return Estimate(mean, factor * statistics.stdev(samples) / math.sqrt(len(samples)))


def shown(value: Estimate, digits: int) -> str:
    """Return the estimate as `mean ± half`."""
    if math.isnan(value.half):
        return f"{value.mean:,.{digits}f}"
    return f"{value.mean:,.{digits}f} ± {value.half:,.{digits}f}"

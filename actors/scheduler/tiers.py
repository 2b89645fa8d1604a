"""The tiers as they are configured now. Pure.

One object that the rooms of a pool share, so that a reloaded configuration holds from the next
decision on: whoever asks reads it anew.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from actors.scheduler.config import Measure, TierConfig


class Tiers(Mapping[str, TierConfig]):
    """The tiers by name, the best first. A name that is not configured stands for the lowest
    tier: a message of a newer edge must find a place. `kept` are those that lend none of the
    places that are kept for them, `lower` all but the best."""

    def __init__(self, tiers: Mapping[str, TierConfig]) -> None:
        self._tiers: dict[str, TierConfig] = {}
        self.replace(tiers)

    def replace(self, tiers: Mapping[str, TierConfig]) -> None:
        """Take another configuration. Its tiers are the same ones: runs of all of them may
        wait."""
        ranked = sorted(tiers.items(), key=lambda item: (-item[1].weight, item[0]))
        self._tiers = dict(ranked)
        self._ranks = {name: rank for rank, name in enumerate(self._tiers)}
        self.kept = tuple(name for name, tier in ranked if tier.slots and not tier.lendable)
        self.best = ranked[0][0]
        self.lower = frozenset(name for name in self._tiers if name != self.best)
        self.lowest = ranked[-1][0]

    def __getitem__(self, name: str) -> TierConfig:
        return self._tiers[self.known(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tiers)

    def __len__(self) -> int:
        return len(self._tiers)

    def known(self, name: str) -> str:
        """Return the name of the tier that a run of tier `name` belongs to."""
        return name if name in self._tiers else self.lowest

    def rank(self, name: str) -> int:
        """Return 0 for the best tier, more for lower ones."""
        return self._ranks[self.known(name)]

    def below(self, name: str) -> list[str]:
        """Return the tiers of lower weight than this one's, the lowest first: those whose runs
        give way to its."""
        weight = self[name].weight
        return [other for other in reversed(self._tiers) if self._tiers[other].weight < weight]

    def suffers(self, name: str, measure: Measure) -> bool:
        """Say whether degradation may do this to the tier."""
        return measure in self[name].measures


def capped(tier: TierConfig) -> TierConfig:
    """Return the tier as it is while it is capped: fewer runs at once, shorter answers."""
    return replace(
        tier,
        concurrency=_tighter(tier.concurrency, tier.concurrency_capped),
        output_max=_tighter(tier.output_max, tier.output_capped),
    )


def _tighter(usual: int, cap: int) -> int:
    """Return the lower of two limits, where 0 is none."""
    return min(usual, cap) if usual and cap else usual or cap

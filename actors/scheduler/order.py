"""Who is next: weighted between tiers, first come first served within. Pure.

Start-time fair queueing over tiers (Goyal et al., SIGCOMM '96): each tier has a start tag, a
dispatch moves it on by SCALE / weight, the backlogged tier with the smallest tag is next,
and a tier that was idle joins at the present virtual time, so idling earns nothing. The
policy is replaceable at this seam: `push`, `remove`, `candidates`, `charge`.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from actors.scheduler.config import TierConfig
from actors.scheduler.state import Run

SCALE = 1 << 20


class _TierQueue:
    """The waiting runs of one tier: those that lost a worker, in arrival order, then fresh
    ones, in arrival order."""

    __slots__ = ("fresh", "front", "name", "step", "tag")

    def __init__(self, name: str, weight: int) -> None:
        self.name = name
        self.step = SCALE // weight
        self.tag = 0
        self.front: OrderedDict[str, Run] = OrderedDict()
        self.fresh: OrderedDict[str, Run] = OrderedDict()

    def __len__(self) -> int:
        return len(self.front) + len(self.fresh)

    def head(self) -> Run | None:
        queue = self.front or self.fresh
        return next(iter(queue.values()), None)


class TieredOrder:
    """The queue of a pool. All operations but `positions` take constant time."""

    def __init__(self, tiers: Mapping[str, TierConfig]) -> None:
        self._tiers = {name: _TierQueue(name, tier.weight) for name, tier in tiers.items()}
        self._lowest = self._tiers[min(tiers, key=lambda name: tiers[name].weight)]
        self._virtual = 0

    def __len__(self) -> int:
        return sum(len(tier) for tier in self._tiers.values())

    def push(self, run: Run) -> None:
        """Add a run: `run.front` puts it before all fresh runs of its tier."""
        tier = self._tier_of(run)
        if not len(tier):
            tier.tag = max(tier.tag, self._virtual)
        if run.front:
            tier.front[run.spec.run_id] = run
            ordered = sorted(tier.front.values(), key=lambda waiting: waiting.arrival)
            tier.front = OrderedDict((waiting.spec.run_id, waiting) for waiting in ordered)
        else:
            tier.fresh[run.spec.run_id] = run

    def remove(self, run: Run) -> None:
        """Take a run out, without charging its tier."""
        tier = self._tier_of(run)
        tier.front.pop(run.spec.run_id, None)
        tier.fresh.pop(run.spec.run_id, None)

    def next(self) -> Run | None:
        """Return the run to dispatch next; it stays queued."""
        waiting = [tier for tier in self._tiers.values() if len(tier)]
        if not waiting:
            return None
        return min(waiting, key=lambda tier: tier.tag).head()

    def take(self, run: Run) -> None:
        """Remove a run because it is dispatched, and charge its tier."""
        tier = self._tier_of(run)
        self._virtual = max(self._virtual, tier.tag)
        tier.tag += tier.step
        self.remove(run)

    def in_order(self) -> Iterator[Run]:
        """Yield all waiting runs in the order in which they would be dispatched."""
        tags = {name: tier.tag for name, tier in self._tiers.items() if len(tier)}
        left = {
            name: iter([*self._tiers[name].front.values(), *self._tiers[name].fresh.values()])
            for name in tags
        }
        while tags:
            name = min(tags, key=tags.__getitem__)
            run = next(left[name], None)
            if run is None:
                del tags[name]
            else:
                tags[name] += self._tiers[name].step
                yield run

    def waiting_before(self, tier_name: str) -> int:
        """Return how many waiting runs would go before a new one of this tier, by estimate:
        its own tier's, and of the others what their weights take meanwhile."""
        own = self._tiers.get(tier_name, self._lowest)
        ahead = len(own)
        for tier in self._tiers.values():
            if tier is not own:
                ahead += min(len(tier), (len(own) + 1) * own.step // tier.step)
        return ahead

    def _tier_of(self, run: Run) -> _TierQueue:
        return self._tiers.get(run.spec.tier, self._lowest)

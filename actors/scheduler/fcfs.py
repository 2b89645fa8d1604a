"""First come, first served within a tier; the tiers share by weight. Pure.

Start-time fair queueing over tiers (Goyal et al., SIGCOMM '96): each tier has a start tag, a
dispatch moves it on by SCALE / weight, the backlogged tier with the smallest tag is next,
and a tier that was idle joins at the present virtual time, so idling earns nothing. Costs
don't count. It is what `fair` is measured against.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from actors.scheduler.config import TierConfig
from actors.scheduler.order import Choice, WorkerRoom
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


class TieredFcfs:
    """The queue of a pool; implements `Order`."""

    def __init__(self, tiers: Mapping[str, TierConfig]) -> None:
        self._tiers = {name: _TierQueue(name, tier.weight) for name, tier in tiers.items()}
        self._lowest = self._tiers[min(tiers, key=lambda name: tiers[name].weight)]
        self._virtual = 0
        self._running: dict[str, str] = {}

    def __len__(self) -> int:
        return sum(len(tier) for tier in self._tiers.values())

    def push(self, run: Run, now_ms: int) -> None:  # noqa: ARG002
        """Add a run: `run.front` puts it before all fresh runs of its tier."""
        self._running.pop(run.spec.run_id, None)
        tier = self._tier_of(run.spec.tier)
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
        tier = self._tier_of(run.spec.tier)
        tier.front.pop(run.spec.run_id, None)
        tier.fresh.pop(run.spec.run_id, None)

    def next(self, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:  # noqa: ARG002
        """Return the head of the tier with the smallest tag whose head fits, and the worker
        with the smallest share of its slots taken."""
        waiting = sorted((tier for tier in self._tiers.values() if len(tier)), key=_tag_of)
        for tier in waiting:
            run = tier.head()
            assert run is not None
            fitting = [room for room in rooms if room.fits(run)]
            if fitting:
                best = min(fitting, key=_fullness)
                return Choice(run, best.worker, best.warm(run))
        return None

    def dispatched(self, run: Run, cached: int, now_ms: int) -> None:  # noqa: ARG002
        """Remove the run, and charge its tier."""
        tier = self._tier_of(run.spec.tier)
        self._virtual = max(self._virtual, tier.tag)
        tier.tag += tier.step
        self.remove(run)
        self._running[run.spec.run_id] = tier.name

    def progressed(self, run: Run, tokens: int, now_ms: int) -> None:
        """Tokens don't count."""

    def settled(self, run: Run, cached: int, output: int, now_ms: int) -> None:  # noqa: ARG002
        """Costs don't count."""
        self._running.pop(run.spec.run_id, None)

    def position(self, run: Run) -> int:
        """Return the run's place; takes time that grows with it."""
        for place, waiting in enumerate(self._in_order(), start=1):
            if waiting is run:
                return place
        return 0

    def ahead(self, tier: str, user_id: str) -> int:  # noqa: ARG002
        """Return the tier's runs, and of the others what their weights take meanwhile."""
        own = self._tier_of(tier)
        count = len(own)
        for other in self._tiers.values():
            if other is not own:
                count += min(len(other), (len(own) + 1) * own.step // other.step)
        return count

    def waiting(self, tier: str) -> int:
        """Return how many runs of the tier wait."""
        return len(self._tier_of(tier))

    def running(self, tier: str) -> int:
        """Return how many runs of the tier are on workers; takes time that grows with them."""
        name = self._tier_of(tier).name
        return sum(running == name for running in self._running.values())

    def first(self, limit: int) -> list[Run]:
        """Return the first `limit` runs."""
        return list(islice(self._in_order(), limit))

    def _in_order(self) -> Iterator[Run]:
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

    def _tier_of(self, name: str) -> _TierQueue:
        return self._tiers.get(name, self._lowest)


def _tag_of(tier: _TierQueue) -> int:
    return tier.tag


def _fullness(room: WorkerRoom) -> int:
    return room.batch * 1000 // (room.batch + room.slots)

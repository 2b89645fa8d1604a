"""Paid and free users at stated rates: the workload of table D. Seeded."""

import heapq
import random
from collections.abc import Iterator

from contracts.runs import Tier
from ops.bench.schedule.prompts import Prompt
from ops.bench.schedule.workloads.synthetic import lognormal

_MAX_TOKENS = 1_024
_PROMPT = lognormal(600, 0.8, 32, 4_000)
_OUTPUT = lognormal(220, 0.8, 8, _MAX_TOKENS)


class TierLoad:
    """Prompts with Poisson arrivals, `rates[tier]` a second for all of a tier's `users`
    together. What the paid ask does not depend on what the free do."""

    def __init__(
        self, rates: dict[Tier, float], users: dict[Tier, int], until_s: float, seed: int
    ) -> None:
        self._rates = rates
        self._users = users
        self._until_s = until_s
        self._seed = seed

    def opening(self) -> Iterator[Prompt]:
        """Yield all prompts."""
        streams = [self._tier(tier, rate) for tier, rate in self._rates.items() if rate > 0]
        return heapq.merge(*streams, key=lambda prompt: prompt.at_us)

    def following(self, record: object) -> None:
        """Nothing follows."""

    def _tier(self, tier: Tier, rate: float) -> Iterator[Prompt]:
        chance = random.Random(f"{self._seed}/{tier}")
        at_s, number = 0.0, 0
        while (at_s := at_s + chance.expovariate(rate)) < self._until_s:
            number += 1
            yield Prompt(
                name=f"{tier}-{number}",
                user=f"{tier}-user-{chance.randrange(self._users[tier])}",
                at_us=round(at_s * 1e6),
                prompt_tokens=_PROMPT(chance),
                output_tokens=_OUTPUT(chance),
                max_tokens=_MAX_TOKENS,
                tier=tier,
            )

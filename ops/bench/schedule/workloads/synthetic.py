"""Synthetic workloads of table B, after the settings of VTC's artifact. Seeded."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from contracts.runs import Tier
from ops.bench.schedule.prompts import OpenWorkload, Prompt

Draw = Callable[[random.Random], int]
_VARIABLE_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long prompts and answers are; `declared_max` 0: a run declares its answer's very
    length as `max_tokens`."""

    prompt: Draw
    output: Draw
    declared_max: int = 0


def fixed(prompt: int, output: int) -> Lengths:
    """Return lengths that never vary."""
    return Lengths(lambda _: prompt, lambda _: output)


def lognormal(mean: float, spread: float, least: int, most: int) -> Draw:
    """Return a draw whose logarithm is normal with standard deviation `spread`; `mean` is
    that before the bounds are applied."""
    centre = math.log(mean) - spread * spread / 2
    return lambda chance: min(most, max(least, round(chance.lognormvariate(centre, spread))))


def variable() -> Lengths:
    """Return lengths around 256 and 256 that no average tells: answers of 8 to 1,024 tokens,
    of which runs say only that they have no more than 1,024."""
    return Lengths(
        lognormal(256, 0.6, 16, 1_024), lognormal(256, 0.8, 8, _VARIABLE_MAX), _VARIABLE_MAX
    )


def uniform(
    rates: Sequence[float],
    duration_s: float,
    lengths: Lengths,
    seed: int,
    *,
    on_off_s: float = 0.0,
    tiers: Sequence[Tier] = (),
) -> OpenWorkload:
    """Return clients that ask at even intervals, `rates[i]` a second, from a seeded phase;
    with `on_off_s` the first one is silent in every second stretch of that length. `tiers`
    are theirs (none: all free)."""
    chance = random.Random(seed)
    prompts = []
    for client, rate in enumerate(rates):
        at_s = chance.random() / rate
        for number in range(int(rate * duration_s)):
            at_s += 1 / rate
            if on_off_s and client == 0 and int(at_s // on_off_s) % 2:
                continue
            prompt = _prompt(f"{client}-{number}", client, at_s, lengths, chance)
            prompts.append(replace(prompt, tier=tiers[client]) if tiers else prompt)
    return OpenWorkload(prompts)


def short_and_long(
    short_rate: float, long_rate: float, duration_s: float, lengths: Lengths, seed: int
) -> OpenWorkload:
    """Return two clients with Poisson arrivals; what the first one asks is a quarter as long."""
    chance = random.Random(seed)
    prompts: list[Prompt] = []
    at_s, number = 0.0, 0
    while True:
        at_s += chance.expovariate(short_rate + long_rate)
        if at_s >= duration_s:
            return OpenWorkload(prompts)
        client = 0 if chance.random() < short_rate / (short_rate + long_rate) else 1
        share = 4 if client == 0 else 1
        prompts.append(_prompt(f"{client}-{number}", client, at_s, lengths, chance, share))
        number += 1


def _prompt(
    name: str, client: int, at_s: float, lengths: Lengths, chance: random.Random, share: int = 1
) -> Prompt:
    output = max(1, lengths.output(chance) // share)
    return Prompt(
        name=name,
        user=f"client-{client}",
        at_us=round(at_s * 1e6),
        prompt_tokens=max(1, lengths.prompt(chance) // share),
        output_tokens=output,
        max_tokens=lengths.declared_max or output,
    )

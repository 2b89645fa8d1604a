"""What the records of a simulation say: service, fairness, latency. Pure.

Service is counted as in the VTC paper's artifact (OSDI'24): a prompt's cost, spread evenly
from its first token to its end.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from ops.bench.schedule.prompts import Record

Weigh = Callable[[Record], float]


def tokens_cost(record: Record) -> float:
    """VTC's cost: a prompt token counts 1, an output token 2, cached or not."""
    return record.prompt.prompt_tokens + 2.0 * record.output_tokens


def work_cost(record: Record) -> float:
    """The cost of the work done: uncached 1, cached 0.1, output 2 (scheduling.md)."""
    fresh = record.prompt.prompt_tokens - record.cached_tokens
    return fresh + 0.1 * record.cached_tokens + 2.0 * record.output_tokens


def service(
    records: Iterable[Record], left_s: float, right_s: float, weigh: Weigh = tokens_cost
) -> dict[str, float]:
    """Return each user's service between two times; 0 for users that had none."""
    served: dict[str, float] = {}
    for record in records:
        user = record.prompt.user
        served.setdefault(user, 0.0)
        if record.first_us is None or record.end_us is None:
            continue
        first_s, end_s = record.first_us / 1e6, record.end_us / 1e6
        if end_s - first_s < 1e-5:
            served[user] += weigh(record) if left_s <= end_s < right_s else 0.0
            continue
        overlap_s = min(right_s, end_s) - max(left_s, first_s)
        if overlap_s > 0:
            served[user] += weigh(record) * overlap_s / (end_s - first_s)
    return served


def demand(records: Iterable[Record], left_s: float, right_s: float) -> dict[str, float]:
    """Return what each user asked for between two times, in VTC's cost."""
    asked: dict[str, float] = {}
    for record in records:
        user = record.prompt.user
        asked.setdefault(user, 0.0)
        if left_s <= record.prompt.at_us / 1e6 <= right_s:
            asked[user] += record.prompt.prompt_tokens + 2.0 * record.prompt.output_tokens
    return asked


def windowed_differences(
    records: Sequence[Record], until_s: float, *, ticks: int = 19, window_s: float = 60.0
) -> list[float]:
    """Return VTC's service difference at `ticks` times: the sum over users of
    min(most − s, |demand − s|) of rates in a window that begins at the tick; the first
    `window_s / 2` seconds are warm-up."""
    step_s = (until_s - window_s / 2) / (ticks + 1)
    differences = []
    for tick in range(1, ticks + 1):
        left_s, right_s = tick * step_s, tick * step_s + window_s
        served = service(records, left_s, right_s)
        asked = demand(records, left_s, right_s)
        most = max(served.values())
        total = sum(min(most - served[u], abs(asked[u] - served[u])) for u in served)
        differences.append(total / window_s)
    return differences


def accumulated_gap(
    records: Sequence[Record], until_s: float, *, ticks: int = 19, warm_up_s: float = 30.0
) -> float:
    """Return the largest difference between two users' service since the warm-up, looked at
    `ticks` times as VTC's artifact does."""
    step_s = (until_s - warm_up_s) / (ticks + 1)
    gaps = []
    for tick in range(1, ticks + 1):
        served = service(records, warm_up_s, warm_up_s + tick * step_s).values()
        gaps.append(max(served) - min(served))
    return max(gaps)


def backlogged_gap(
    records: Sequence[Record],
    users: Sequence[str],
    times_s: Sequence[float],
    weigh: Weigh = work_cost,
    weights: Mapping[str, float] | None = None,
) -> float:
    """Return the largest change of the difference in service per weight between two of
    `users` within a time in which both had prompts waiting at every instant looked at
    (`times_s`, ascending)."""
    curves = service_curves(records, users, times_s, weigh)
    waits = {user: _waiting(records, user, times_s) for user in users}
    largest = 0.0
    for place, one in enumerate(users):
        for other in users[place + 1 :]:
            low = high = None
            for index in range(len(times_s)):
                if not (waits[one][index] and waits[other][index]):
                    low = high = None
                    continue
                weight = weights or {}
                gap = curves[one][index] / weight.get(one, 1.0)
                gap -= curves[other][index] / weight.get(other, 1.0)
                low = gap if low is None else min(low, gap)
                high = gap if high is None else max(high, gap)
                largest = max(largest, high - low)
    return largest


def service_curves(
    records: Sequence[Record],
    users: Sequence[str],
    times_s: Sequence[float],
    weigh: Weigh = work_cost,
) -> dict[str, list[float]]:
    """Return each user's accumulated service at each of the ascending times."""
    curves = {user: [0.0] * len(times_s) for user in users}
    for record in records:
        curve = curves.get(record.prompt.user)
        if curve is None or record.first_us is None or record.end_us is None:
            continue
        first_s, end_s = record.first_us / 1e6, record.end_us / 1e6
        cost, lasts_s = weigh(record), max(1e-6, end_s - first_s)
        for index, time_s in enumerate(times_s):
            if time_s > first_s:
                curve[index] += cost * min(1.0, (time_s - first_s) / lasts_s)
    return curves


def _waiting(records: Iterable[Record], user: str, times_s: Sequence[float]) -> list[bool]:
    waits = [False] * len(times_s)
    for record in records:
        if record.prompt.user != user:
            continue
        left_s = record.prompt.at_us / 1e6
        right_s = math.inf if record.dispatched_us is None else record.dispatched_us / 1e6
        for index, time_s in enumerate(times_s):
            if left_s <= time_s < right_s:
                waits[index] = True
    return waits


def jain(shares: Iterable[float]) -> float:
    """Return Jain's index: 1 when all are equal, 1/n when one has everything."""
    values = list(shares)
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def percentile(values: Iterable[float], share: float) -> float:
    """Return the nearest-rank percentile, 0 < `share` ≤ 1; NaN of nothing."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def ttfts(records: Iterable[Record]) -> list[float]:
    """Return the seconds to the first token of all prompts that had one."""
    return [r.ttft_s for r in records if r.ttft_s is not None]


def tpots(records: Iterable[Record]) -> list[float]:
    """Return the mean seconds between tokens of all answers with at least two."""
    return [r.tpot_s for r in records if r.tpot_s is not None]


def hit_rate(records: Iterable[Record]) -> float:
    """Return the share of the served prompts' tokens that came from a prefix cache."""
    served = [record for record in records if record.first_us is not None]
    prompts = sum(record.prompt.prompt_tokens for record in served)
    return sum(record.cached_tokens for record in served) / prompts if prompts else 0.0


def throughput(records: Sequence[Record]) -> float:
    """Return prompt and output tokens a second, over the time until the last end."""
    ended = [record for record in records if record.end_us is not None]
    if not ended:
        return 0.0
    last_s = max(record.end_us or 0 for record in ended) / 1e6
    return sum(r.prompt.prompt_tokens + r.output_tokens for r in ended) / last_s


def throughput_within(records: Iterable[Record], left_s: float, right_s: float) -> float:
    """Return prompt and output tokens a second of answers, spread over their decoding, that
    fall between two times."""
    total = service(records, left_s, right_s, _all_tokens)
    return sum(total.values()) / (right_s - left_s)


def _all_tokens(record: Record) -> float:
    return record.prompt.prompt_tokens + record.output_tokens


def goodput(records: Iterable[Record], left_s: float, right_s: float, limit_s: float) -> float:
    """Return the prompts a second that had their first token within `limit_s`, of those
    whose first token fell between two times."""
    good = sum(
        1
        for record in records
        if record.first_us is not None
        and left_s <= record.first_us / 1e6 < right_s
        and (record.ttft_s or 0.0) < limit_s
    )
    return good / (right_s - left_s)

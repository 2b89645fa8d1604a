"""Who goes before whom, by estimate: nothing is sorted for it. Pure.

What is not counted is sampled: among 32 users of the tier, and by their weights among the other
tiers.
"""

from collections.abc import Collection, Iterable
from itertools import islice

from actors.scheduler.backlog import SCALE, Backlog, User
from actors.scheduler.state import Run


def own_before(user: User, run: Run) -> tuple[int, int]:
    """Return how many of the user's waiting runs go before this one, and their cost."""
    before = min(run.place - user.head().place, len(user.waiting) - 1)
    return before, user.queued * before // len(user.waiting)


def others_before(
    tiers: Iterable[Backlog], tier: Backlog, own: User | None, tag: int, arrival: int
) -> tuple[int, int]:
    """Return how many runs of other users of `tier` go before a start tag, and how many of all
    tiers; among equal tags arrival counts."""
    some, total, sampled = tier.sample()
    count = cost = 0
    for user, start, first, waiting, mean in some:
        if start > tag or user is own:
            continue
        runs = -(-(tag - start) // mean)
        if runs > waiting:
            runs = waiting
        elif runs == 0 and first < arrival:
            runs = 1
        count += runs
        cost += runs * mean
    count, cost = count * total // sampled, cost * total // sampled
    if own is not None:
        cost += max(0, tag - own.tag)
    count += len(tier.front)
    elsewhere = 0
    for other in tiers:
        if other is not tier and len(other):
            mean = max(1, other.queued // max(1, other.waiting))
            lead = (tier.tag - other.tag) * other.weight // SCALE
            meanwhile = lead + cost * other.weight // tier.weight
            elsewhere += max(0, min(len(other), -(-meanwhile // mean)))
    return count, count + elsewhere


def first_runs(tiers: Collection[Backlog], limit: int) -> list[Run]:
    """Return up to `limit` waiting runs in the order of their start tags."""
    keyed: list[tuple[int, int, int, Run]] = []
    for tier in tiers:
        ahead = 0
        front = list(tier.front.values())[:limit]
        keyed.extend((tier.tag, 0, run.arrival, run) for run in front)
        queue: list[tuple[int, int, Run]] = []
        for user in tier.nearest(limit):
            tag = user.tag
            for run in islice(user.waiting.values(), limit):
                queue.append((tag, run.arrival, run))
                tag += run.cost
        queue.sort(key=lambda it: it[:2])
        for _, arrival, run in queue[:limit]:
            keyed.append((tier.tag + ahead * SCALE // tier.weight, 1, arrival, run))
            ahead += run.cost
    keyed.sort(key=lambda it: it[:3])
    return [run for _, _, _, run in keyed[:limit]]

"""Who is let in, and what the others are told. Pure.

A run is refused for its user's budget, for the wait that it expects, or because the queue is
full and nobody in it has less right to a place. Who has runs waiting is held to the soft limit
of the wait, who has none to the hard one, so a flood is refused by its own backlog. A run of a
better tier is never refused for want of a place while one of a lower tier waits that could give
way (scheduling.md, invariant 10).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from actors.scheduler.budgets import Ledger, Refused
from actors.scheduler.config import SchedulerConfig
from actors.scheduler.degradation import Ladder
from actors.scheduler.promises import Promises
from actors.scheduler.state import Run
from actors.scheduler.tiers import Tiers, capped
from actors.scheduler.waits import Backlogs, Waits
from contracts.errors import ErrorCode, Problem
from contracts.scheduling import Allowance, AskAllowance, BudgetView

_SECOND_MS = 1_000
_FORESEEN_MS = 120_000
"""What a user's own backlog takes is told no further ahead: newcomers decide it."""

_KEPT_PART = 4
_GRACE_PERCENT = 125
"""A run that is in `RUNS` was let in by the edge a moment ago: it is refused only when the wait
has grown by a quarter since."""

Cost = Callable[[int, int], int]
"""What a run probably costs: of its prompt tokens and its limit of new ones (0: none)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a submitted run: it ends with `problem`, or it waits, in the place of
    `victim` if there is one, and until things are calmer if `deferred`."""

    problem: Problem | None = None
    victim: Run | None = None
    deferred: bool = False


_LET_IN = Verdict()


class _Wish(NamedTuple):
    """A run that somebody would like to have in the queue; `lag` is its user's in cost."""

    user_id: str
    tier: str
    cost: int
    deferrable: bool


class Admission:
    """Judges runs, before they are submitted and when they are.

    Args:
        config: `queue_max` is used.
        tiers, ledger, ladder, order, waits: the pool's, read anew at each judgement.
        cost: an estimate that nine in ten runs stay under.
        reclaimable: whether a run of this tier is on a worker and has no output yet, so that
            its place can be taken back.
    """

    def __init__(
        self,
        config: SchedulerConfig,
        *,
        tiers: Tiers,
        ledger: Ledger,
        ladder: Ladder,
        order: Backlogs,
        waits: Waits,
        cost: Cost,
        reclaimable: Callable[[str], bool],
    ) -> None:
        self._config = config
        self._tiers = tiers
        self._ledger = ledger
        self._ladder = ladder
        self._order = order
        self._waits = waits
        self._cost = cost
        self._reclaimable = reclaimable
        self.promises = Promises()

    def ask(self, ask: AskAllowance, now_ms: int) -> Allowance:
        """Answer an edge; a refusal is remembered, so that who comes back in time is let in."""
        tier = self._tiers.known(ask.tier)
        waiting, running = self._order.counts(tier, ask.user_id)
        problem = wait_ms = None
        if ask.wanted:
            cost = self._cost(ask.prompt_tokens, ask.output_tokens)
            wish = _Wish(ask.user_id, tier, cost, ask.deferrable)
            problem = self._obstacle(wish, now_ms)
            wait_ms = self._waits.wait_ms(tier, ask.user_id)
        return Allowance(
            tier=tier,
            concurrency=self.concurrency(tier),
            running=running,
            waiting=waiting,
            budget=self._budget(ask.user_id, tier, now_ms),
            problem=problem,
            wait_ms=wait_ms,
        )

    def _budget(self, user_id: str, tier: str, now_ms: int) -> BudgetView | None:
        view = self._ledger.view(user_id, tier, now_ms)
        token_cost = self._config.costs.output_us
        return view and replace(view, token_cost=token_cost)

    def submit(self, run: Run, now_ms: int) -> Verdict:
        """Judge a run that is in the queue's stream and about to wait, and take what it will
        cost from its user's budget. One that may have been let in before is let in again."""
        tier = self._tiers.known(run.spec.tier)
        cost = self._cost(run.prompt_length, run.spec.sampling.max_tokens)
        wish = _Wish(run.spec.user_id, tier, cost, run.spec.deferrable)
        user_id, run_id = run.spec.user_id, run.spec.run_id
        if not run.fresh:
            self._ledger.reserve(user_id, tier, run_id, cost, now_ms, accepted=True)
            return Verdict(deferred=True) if self._deferred(wish) else _LET_IN
        over_ms = self._over_wait(wish, _GRACE_PERCENT)
        full = len(self._order) >= self._config.queue_max
        crowded = full or len(self._order) >= self._places(tier, now_ms)
        if self.promises.keep(user_id, now_ms):
            over_ms, crowded, run.promised = None, full, True
        victim = None
        if over_ms is not None or crowded:
            victim = self._giving_way(wish, full=over_ms is None)
            lacking = full or over_ms is not None
            if lacking and victim is None and not self._spared(wish, over_ms):
                return Verdict(self._no_place(wish, over_ms or 0, now_ms))
        reserved = self._ledger.reserve(user_id, tier, run_id, cost, now_ms)
        if isinstance(reserved, Refused):
            return Verdict(_over_budget(reserved.retry_after_ms))
        deferred = self._deferred(wish)
        return Verdict(victim=victim, deferred=deferred) if victim or deferred else _LET_IN

    def concurrency(self, tier: str) -> int:
        """Return how many runs of one user of the tier may be on workers now, 0: any number."""
        config = self._tiers[tier]
        return (capped(config) if self._capped(tier) else config).concurrency

    def output_max(self, tier: str) -> int:
        """Return how many tokens an answer of the tier may have now, 0: any number."""
        config = self._tiers[tier]
        return (capped(config) if self._capped(tier) else config).output_max

    def admits(self, tier: str, now_ms: int) -> bool:
        """Say whether a user of the tier who has nothing here would get a place now."""
        wish = _Wish("", tier, 0, deferrable=False)
        return not self._lacking(wish, self._over_wait(wish, 100), now_ms)

    def asked(self, tier: str) -> bool:
        """Say whether an edge should ask before it submits a run of this tier: somebody may be
        refused."""
        calm = len(self._order) == 0 and not self._ladder.reached("capped")
        return not calm or self._tiers[tier].budget is not None

    def lapse(self, now_ms: int) -> None:
        """Forget what nobody came for."""
        self.promises.lapse(now_ms)

    def full_ms(self, tier: str, now_ms: int) -> int:
        """Return after what time a newcomer of the tier might get a place, at least 1 s."""
        over_ms = self._over_wait(_Wish("", tier, 0, deferrable=False), 100) or 0
        return max(_SECOND_MS, over_ms, self.promises.next_ms(tier, now_ms))

    def pushed_out(self, run: Run, now_ms: int) -> Problem:
        """Return what a run is told that gives way to another; it too may come again."""
        tier = self._tiers.known(run.spec.tier)
        return self._no_place(_Wish(run.spec.user_id, tier, 0, run.spec.deferrable), 0, now_ms)

    def _capped(self, tier: str) -> bool:
        return self._ladder.reached("capped") and self._tiers.suffers(tier, "cap")

    def _deferred(self, wish: _Wish) -> bool:
        willing = wish.deferrable and self._tiers.suffers(wish.tier, "defer")
        return willing and self._ladder.reached("deferred") and not self._before_others(wish)

    def _shed(self, wish: _Wish) -> bool:
        suffers = self._tiers.suffers(wish.tier, "shed") and self._ladder.reached("shed")
        return suffers and not self._deferred(wish) and not self._before_others(wish)

    def _before_others(self, wish: _Wish) -> bool:
        """Whether it is the best tier's run and lower ones have something left to lose."""
        return wish.tier == self._tiers.best and any(
            self._order.waiting(tier) or self._reclaimable(tier)
            for tier in self._tiers.below(wish.tier)
        )

    def _obstacle(self, wish: _Wish, now_ms: int) -> Problem | None:
        """Return why a run would be refused."""
        budget_ms = self._ledger.wait_ms(wish.user_id, wish.tier, wish.cost, now_ms)
        over_ms = self._over_wait(wish, 100)
        lacking = self._lacking(wish, over_ms, now_ms)
        if budget_ms:
            if lacking:
                budget_ms = self._come_again_ms(wish, over_ms or 0, now_ms, budget_ms)
            return _over_budget(budget_ms)
        if not lacking:
            return None
        if len(self._order) < self._config.queue_max and self.promises.call(wish.user_id, now_ms):
            return None
        return self._no_place(wish, over_ms or 0, now_ms)

    def _lacking(self, wish: _Wish, over_ms: int | None, now_ms: int) -> bool:
        """Whether there is no place for a run, promises aside."""
        if self._shed(wish):
            return True
        if over_ms is None and len(self._order) < self._places(wish.tier, now_ms):
            return False
        no_victim = self._giving_way(wish, full=over_ms is None) is None
        return no_victim and not self._spared(wish, over_ms)

    def _places(self, tier: str, now_ms: int) -> int:
        """Return how many runs may wait for a newcomer of the tier to be let in. A quarter of
        the queue is kept for those who were promised a place, and for the best tier."""
        taken = tier != self._tiers.best or self.promises.next_ms(tier, now_ms) > 0
        return self._config.queue_max - (self._config.queue_max // _KEPT_PART if taken else 0)

    def _over_wait(self, wish: _Wish, percent: int) -> int | None:
        """Return by how much the expected wait exceeds its limit, None if it does not. A run
        that may be put off has no limit."""
        if self._deferred(wish):
            return None
        wait_ms = self._waits.wait_ms(wish.tier, wish.user_id)
        if wait_ms is None:
            return None
        config = self._tiers[wish.tier]
        own = self._order.counts(wish.tier, wish.user_id)[0] > 0
        limit_ms = (config.soft_ms if own else config.wait_limit_ms) * percent // 100
        return wait_ms - limit_ms if wait_ms > limit_ms else None

    def _giving_way(self, wish: _Wish, *, full: bool) -> Run | None:
        """Return the waiting run that has less right to a place: of the lowest tier below this
        one that has any, the newest of the user who is furthest ahead; in a full queue also of
        this tier, if its user is further ahead than this one would be and has
        more runs waiting; not one that was promised its place."""
        if self._own_fault(wish) and not full:
            return None
        for tier in self._tiers.below(wish.tier):
            victim = self._order.longest(tier)
            if victim is not None:
                return victim
        if not full:
            return None
        victim = self._order.longest(wish.tier)
        if victim is None or victim.promised:
            return None
        own_waiting = self._order.counts(wish.tier, wish.user_id)[0]
        if self._order.counts(wish.tier, victim.spec.user_id)[0] <= 1 + own_waiting:
            return None
        own = self._order.lag(wish.tier, wish.user_id) + wish.cost
        return victim if self._order.lag(wish.tier, victim.spec.user_id) > own else None

    def _own_fault(self, wish: _Wish) -> bool:
        """Whether it is its own backlog that makes the user wait: a newcomer would not."""
        if self._order.counts(wish.tier, wish.user_id)[0] == 0:
            return False
        wait_ms = self._waits.wait_ms(wish.tier)
        return wait_ms is not None and wait_ms <= self._tiers[wish.tier].soft_ms

    def _spared(self, wish: _Wish, over_ms: int | None) -> bool:
        """Whether the run is let in beyond its limit: a lower tier has a place on a worker that
        can be taken back, so it is that tier's turn to be refused."""
        if over_ms is None or self._own_fault(wish):
            return False
        return any(self._reclaimable(tier) for tier in self._tiers.below(wish.tier))

    def _no_place(self, wish: _Wish, over_ms: int, now_ms: int) -> Problem:
        wait_ms = self._come_again_ms(wish, over_ms, now_ms)
        if over_ms and self._own_fault(wish):
            words = "Your own prompts fill the queue; try again in"
            return _problem("rate_limited", words, wait_ms)
        return _problem("at_capacity", "All places are taken; try again in", wait_ms)

    def _come_again_ms(self, wish: _Wish, over_ms: int, now_ms: int, not_before: int = 0) -> int:
        """Promise the user a place, and return when to come for it, `not_before` milliseconds
        at the earliest: when their own backlog has shrunk, after all who were promised one of
        this tier's before, or both where places are few. Places are promised at four fifths of
        the pace at which they come free."""
        tier, user_id = wish.tier, wish.user_id
        turn_us, line = self._waits.turn_us(tier) * 5 // 4, tier
        if over_ms and self._own_fault(wish):
            if 2 * len(self._order) >= self._config.queue_max:
                place_ms = self.promises.reserve(tier, now_ms, turn_us)
                not_before = max(not_before, place_ms)
            waiting = self._order.counts(tier, user_id)[0]
            expected_ms = min(self._waits.wait_ms(tier, user_id) or 0, _FORESEEN_MS)
            over_ms = min(over_ms, _FORESEEN_MS)
            turn_us, line = expected_ms * 1_000 // max(1, waiting), ""
        else:
            over_ms = self._over_wait(_Wish("", tier, 0, deferrable=False), 100) or 0
        return self.promises.give(
            user_id,
            now_ms,
            line=line,
            after_ms=over_ms,
            not_before_ms=not_before,
            turn_us=turn_us,
        )


def _over_budget(retry_ms: int) -> Problem:
    return _problem("over_budget", "The budget is spent; try again in", retry_ms)


def _problem(code: ErrorCode, words: str, retry_ms: int) -> Problem:
    seconds = -(-retry_ms // _SECOND_MS)
    return Problem(code=code, detail=f"{words} {seconds} s.", retry_after_ms=retry_ms)

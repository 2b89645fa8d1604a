"""Who is let in, and what the others are told. Pure.

A run is refused for its user's budget, for the wait that it expects, or because the queue is
full and nobody in it has less right to a place. Who has runs waiting is held to the soft limit
of the wait, who has none to the hard one, so a flood is refused by its own backlog. A run of a
better tier is never refused for want of a place while one of a lower tier waits that could give
way (scheduling.md, invariant 10).
"""

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from actors.scheduler.budgets import Ledger, Refused
from actors.scheduler.config import SchedulerConfig
from actors.scheduler.degradation import Ladder
from actors.scheduler.promises import Promises
from actors.scheduler.state import Run
from actors.scheduler.tiers import Tiers, capped
from actors.scheduler.waits import Backlogs, Waits
from contracts.errors import ErrorCode, Problem
from contracts.ids import partition_of
from contracts.scheduling import Allowance, AskAllowance, BudgetView

_SECOND_MS = 1_000
_RETRY_MAX_MS = 120_000
_JITTER_STEPS = 251
"""Waits are lengthened by 0 to 250 thousandths, drawn from the user's id and the time."""

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


@dataclass(frozen=True, slots=True)
class _Wish:
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
        self._promises = Promises()

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
            return Verdict(deferred=self._deferred(wish))
        over_ms = self._over_wait(wish, _GRACE_PERCENT)
        if self._promises.keep(user_id, now_ms):
            over_ms = None
        victim = None
        if over_ms is not None or len(self._order) >= self._config.queue_max:
            victim = self._giving_way(wish, full=over_ms is None)
            if victim is None and not self._spared(wish, over_ms):
                return Verdict(self._no_place(wish, over_ms or 0, now_ms))
        reserved = self._ledger.reserve(user_id, tier, run_id, cost, now_ms)
        if isinstance(reserved, Refused):
            return Verdict(_over_budget(reserved.retry_after_ms))
        return Verdict(victim=victim, deferred=self._deferred(wish))

    def concurrency(self, tier: str) -> int:
        """Return how many runs of one user of the tier may be on workers now, 0: any number."""
        config = self._tiers[tier]
        return (capped(config) if self._capped(tier) else config).concurrency

    def output_max(self, tier: str) -> int:
        """Return how many tokens an answer of the tier may have now, 0: any number."""
        config = self._tiers[tier]
        return (capped(config) if self._capped(tier) else config).output_max

    def admits(self, tier: str) -> bool:
        """Say whether a user of the tier who has nothing here would get a place now."""
        return self._obstacle(_Wish("", tier, 0, deferrable=False), None) is None

    def asked(self, tier: str) -> bool:
        """Say whether an edge should ask before it submits a run of this tier: somebody may be
        refused."""
        calm = len(self._order) == 0 and not self._ladder.reached("capped")
        return not calm or self._tiers[tier].budget is not None

    def lapse(self, now_ms: int) -> None:
        """Forget what nobody came for."""
        self._promises.lapse(now_ms)

    def full_ms(self, tier: str) -> int:
        """Return how much longer than it may a newcomer of the tier would wait, at least 1 s."""
        wish = _Wish("", tier, 0, deferrable=False)
        return max(_SECOND_MS, self._over_wait(wish, 100) or 0)

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

    def _obstacle(self, wish: _Wish, now_ms: int | None) -> Problem | None:
        """Return why a run would be refused; `now_ms` None asks for nobody in particular, and
        promises nothing."""
        budget_ms = 0
        if now_ms is not None:
            budget_ms = self._ledger.wait_ms(wish.user_id, wish.tier, wish.cost, now_ms)
        over_ms = self._over_wait(wish, 100)
        full = len(self._order) >= self._config.queue_max
        lacking = self._shed(wish) or (
            (over_ms is not None or full)
            and self._giving_way(wish, full=over_ms is None) is None
            and not self._spared(wish, over_ms)
        )
        kept = now_ms is not None and not full and self._promises.due(wish.user_id, now_ms)
        if budget_ms:
            extra_ms = self._retry_ms(wish, over_ms or 0, now_ms) if lacking else 0
            return _over_budget(max(budget_ms, extra_ms))
        if not lacking or kept:
            return None
        return self._no_place(wish, over_ms or 0, now_ms)

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
        this tier, if its user is further ahead than this one would be."""
        if self._own_fault(wish) and not full:
            return None
        for tier in self._tiers.below(wish.tier):
            victim = self._order.longest(tier)
            if victim is not None:
                return victim
        if not full:
            return None
        victim = self._order.longest(wish.tier)
        if victim is None or not wish.user_id:
            return victim
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

    def _no_place(self, wish: _Wish, over_ms: int, now_ms: int | None) -> Problem:
        retry_ms = self._retry_ms(wish, over_ms, now_ms)
        if now_ms is not None:
            self._promises.give(wish.user_id, now_ms + retry_ms)
        if over_ms and self._own_fault(wish):
            words = "Your own prompts fill the queue; try again in"
            return _problem("rate_limited", words, retry_ms)
        return _problem("at_capacity", "All places are taken; try again in", retry_ms)

    def _retry_ms(self, wish: _Wish, over_ms: int, now_ms: int | None) -> int:
        """Return after what time the run is expected to be let in: what is over the limit, and
        what those will take who were promised a place before; lengthened by a share that
        differs from user to user, so that they do not come all at once."""
        turn_ms, before = self._waits.gap_ms(), len(self._promises)
        if self._own_fault(wish):
            waiting = self._order.counts(wish.tier, wish.user_id)[0]
            expected_ms = self._waits.wait_ms(wish.tier, wish.user_id) or 0
            turn_ms, before = expected_ms // max(1, waiting), self._promises.of(wish.user_id)
        wait_ms = over_ms + (1 + before) * turn_ms
        jitter = partition_of(f"{wish.user_id}{now_ms}", _JITTER_STEPS)
        whole_s = -(-wait_ms * (1_000 + jitter) // (1_000 * _SECOND_MS))
        return min(max(whole_s * _SECOND_MS, _SECOND_MS), _RETRY_MAX_MS)


def _over_budget(retry_ms: int) -> Problem:
    return _problem("over_budget", "The budget is spent; try again in", retry_ms)


def _problem(code: ErrorCode, words: str, retry_ms: int) -> Problem:
    seconds = -(-retry_ms // _SECOND_MS)
    return Problem(code=code, detail=f"{words} {seconds} s.", retry_after_ms=retry_ms)

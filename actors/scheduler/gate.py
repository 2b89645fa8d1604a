"""The gate of a pool: budgets, admission, degradation and what they do to a run. Pure.

Composes the rooms `tiers`, `budgets`, `waits`, `admission` and `degradation` around a fair
order. The machine tells it what happens to runs; it says who may wait, how long an answer may
get, and who waits for calmer times.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from actors.scheduler.admission import Admission, Verdict
from actors.scheduler.budgets import Ledger
from actors.scheduler.config import SchedulerConfig, TierConfig
from actors.scheduler.costs import Costs
from actors.scheduler.degradation import Ladder, Load
from actors.scheduler.fair import FairOrder
from actors.scheduler.lengths import Lengths
from actors.scheduler.state import Run
from actors.scheduler.tiers import Tiers
from actors.scheduler.waits import Waits
from contracts.errors import Problem
from contracts.runs import Degradation
from contracts.scheduling import Allowance, AskAllowance

_LIGHT = 4
"""A user with so few runs waiting is a light one: its waits are the pool's, not its own."""

_DECAY_MS = 1_000


@dataclass(frozen=True, slots=True)
class Standing:
    """How a pool's workers stand: places in all, whether one is free, how long a run usually
    holds one, how full their memory is, and the runs that don't wait."""

    slots: int
    room: bool
    service_ms: int
    kv_permille: int
    placed: Iterable[Run]


class _Prices:
    """What runs of a pool probably cost, at its present `costs`. Apart from the gate, so that
    nothing which the gate holds refers to it: it is freed with its queue at the end of a term."""

    def __init__(self, config: SchedulerConfig, lengths: Lengths) -> None:
        self.costs: Costs = config.costs
        self._model = config.model
        self._longest = config.context_length or 1 << 20
        self._lengths = lengths

    def expected(self, prompt_tokens: int, output_tokens: int) -> int:
        """Return what nine in ten runs of such a prompt and limit (0: none) stay under."""
        output = self._lengths.bound(self._model, output_tokens or self._longest)
        return self.costs.charge(prompt_tokens, 0, output)


class Gate:
    """What a pool lets in and how it treats that.

    Args:
        config: tiers, costs, thresholds and `queue_max`.
        order: who waits.
        lengths: how long answers get.
    """

    def __init__(self, config: SchedulerConfig, order: FairOrder, lengths: Lengths) -> None:
        self._prices = _Prices(config, lengths)
        self._order = order
        self._reclaimable: set[str] = set()
        self._sojourn_ms = 0
        self._decayed_ms = 0
        self.shelf: dict[str, Run] = {}
        self.tiers = Tiers(config.tiers)
        self.ledger = Ledger(self.tiers)
        self.ladder = Ladder(config.degradation)
        self.waits = Waits(order, self.tiers)
        self.admission = Admission(
            config,
            tiers=self.tiers,
            ledger=self.ledger,
            ladder=self.ladder,
            order=order,
            waits=self.waits,
            cost=self._prices.expected,
            reclaimable=self._reclaimable.__contains__,
        )

    def reconfigure(self, tiers: Mapping[str, TierConfig], costs: Costs) -> None:
        """Take other tiers and costs for what is decided from now on."""
        self.tiers.replace(tiers)
        self._prices.costs = costs
        self._order.reconfigure(tiers, costs)
        self._limit()

    def submitted(self, run: Run, now_ms: int) -> Verdict:
        """Judge a run that was submitted, and make of it what its tier may have now. If it is
        deferred it is on the shelf; else the caller lets it wait in the order."""
        verdict = self.admission.submit(run, now_ms)
        if verdict.problem is None:
            run.degraded = run.spec.degraded
            self._shorten(run)
            if verdict.deferred:
                run.degraded = _added(run.degraded, "deferred")
                self.shelf[run.spec.run_id] = run
        return verdict

    def entered(self, run: Run) -> None:
        """The run waits in the order now."""
        self.waits.entered(run)

    def dispatched(self, run: Run, now_ms: int) -> None:
        """The run has got a place."""
        self.waits.dispatched(run)
        if self.tiers.known(run.spec.tier) == self.tiers.best and not run.front:
            waiting, _ = self._order.counts(run.spec.tier, run.spec.user_id)
            if waiting <= _LIGHT:
                self._sojourn_ms = max(self._sojourn_ms, now_ms - run.queued_ms)

    def progressed(self, run: Run) -> None:
        """The run has more tokens: what it costs beyond its reservation is taken now."""
        self.ledger.debit(run.spec.run_id, self._spent(run))

    def ended(self, run: Run) -> None:
        """The run is over: it pays what was delivered, each token once, however many workers
        computed it."""
        self.shelf.pop(run.spec.run_id, None)
        self.ledger.settle(run.spec.run_id, self._spent(run))

    def left(self, run: Run) -> None:
        """The run waits no more, and got no place."""
        self.shelf.pop(run.spec.run_id, None)

    def look(self, standing: Standing, now_ms: int) -> list[Run]:
        """Measure, some times a second, and return the runs on the shelf whose time has come:
        they are to wait in the order now."""
        self.waits.observe(
            slots=standing.slots,
            room=standing.room,
            service_ms=standing.service_ms,
            now_ms=now_ms,
        )
        self.admission.lapse(now_ms)
        self._reclaimable.clear()
        self._reclaimable.update(
            self.tiers.known(run.spec.tier)
            for run in standing.placed
            if run.stage == "dispatched" and not run.began and run.tokens == 0
        )
        best = self.tiers[self.tiers.best]
        load = Load(
            wait_ms=self.waits.wait_ms(self.tiers.best) or 0,
            wait_soft_ms=best.soft_ms,
            sojourn_ms=self._sojourn_ms,
            kv_permille=standing.kv_permille,
            waiting=len(self._order),
        )
        if self.ladder.update(load, now_ms):
            self._limit()
        if not 0 <= now_ms - self._decayed_ms < _DECAY_MS:
            self._decayed_ms = now_ms
            self._sojourn_ms //= 2
        return self._back_from_shelf(standing, now_ms)

    def allowance(self, ask: AskAllowance, now_ms: int) -> Allowance:
        """Say what a user may do."""
        return self.admission.ask(ask, now_ms)

    def problem_when_full(self, run: Run, now_ms: int) -> Problem:
        """Return what a run is told that gives way to another."""
        return self.admission.pushed_out(run, now_ms)

    def _back_from_shelf(self, standing: Standing, now_ms: int) -> list[Run]:
        """Return what need not wait any longer: all when times are calmer, the oldest while a
        place is free that nobody else wants, and who has waited as long as its tier may."""
        if not self.shelf:
            return []
        if not self.ladder.reached("deferred"):
            back = list(self.shelf.values())
        else:
            oldest = next(iter(self.shelf.values()))
            waited_ms = now_ms - oldest.queued_ms
            idle = standing.room and len(self._order) == 0
            late = waited_ms > self.tiers[oldest.spec.tier].wait_limit_ms
            back = [oldest] if idle or late else []
        for run in back:
            del self.shelf[run.spec.run_id]
        return back

    def _shorten(self, run: Run) -> None:
        cap = self.admission.output_max(run.spec.tier)
        sampling = run.spec.sampling
        if not cap or sampling.max_tokens <= cap:
            return
        replace = msgspec.structs.replace
        shorter = replace(sampling, max_tokens=cap, min_tokens=min(sampling.min_tokens, cap))
        run.spec = replace(run.spec, sampling=shorter)
        run.degraded = _added(run.degraded, "shortened")

    def _limit(self) -> None:
        for tier in self.tiers:
            self._order.limit(tier, self.admission.concurrency(tier))

    def _spent(self, run: Run) -> int:
        """Return what was delivered of a run: nothing before its first token."""
        if not run.began and run.tokens == 0:
            return 0
        cached = min(max(0, run.cached or 0), run.prompt_length)
        costs = self._prices.costs
        return costs.charge(run.prompt_length - cached, cached, max(0, run.tokens))


def _added(known: tuple[Degradation, ...], more: Degradation) -> tuple[Degradation, ...]:
    return known if more in known else (*known, more)

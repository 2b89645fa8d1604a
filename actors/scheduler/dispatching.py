"""Which waiting run goes to which worker, now. Pure.

The rooms are made anew for each decision from what is given and what workers report; the
order chooses among them.
"""

from actors.scheduler.order import Choice, WorkerRoom
from actors.scheduler.pool import Effects, Pool
from actors.scheduler.state import Run, Send
from actors.scheduler.workers import Worker
from contracts.scheduling import DropRun, StartRun

_NOBODY: frozenset[str] = frozenset()
_VACANT_PART = 12
"""Of each worker's places, one in so many is kept vacant for the best tier, so that its runs
begin at once where there is least to compute, and not where a place comes free (ADR 0023)."""

_VACANT_LEAST = 4
"""So many at least are kept by all workers together, as far as that is a quarter of their places:
the best tier's runs come in bursts, to a small pool too."""

_BEST_MS = 60_000
"""So long after the best tier's last dispatch nothing is kept for it any more."""


class Dispatching:
    """Fills the workers' room with what the order says."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._best_until_ms = 0

    def dispatch(self, now_ms: int) -> Effects:
        """Dispatch until nothing more fits."""
        pool = self._pool
        effects: Effects = []
        if (pool.full and not pool.freed) or not len(pool.order) or pool.listening(now_ms):
            return effects
        rooms = self._rooms(now_ms)
        pool.freed.clear()
        while rooms:
            choice = pool.order.next(rooms, now_ms)
            if choice is None:
                rooms = self._open_rooms(rooms)
                break
            effects.append(self._send(choice, rooms, now_ms))
            if not len(pool.order):
                break
            rooms = self._rooms_after(choice, rooms, now_ms)
        pool.full = not rooms
        return effects

    def _open_rooms(self, rooms: list[WorkerRoom]) -> list[WorkerRoom]:
        """Return those that are open to a tier which waits."""
        order = self._pool.order
        waiting = [name for name in self._pool.tiers if order.waiting(name)]
        return [room for room in rooms if any(name not in room.closed for name in waiting)]

    def reclaim(self, now_ms: int) -> Effects:
        """Take back a place that was lent, for each tier that has less than is kept for it and
        waits: from the newest run without output of the lightest tier that has more than its
        own. The run goes on later, before fresh ones; its user pays nothing for it."""
        pool = self._pool
        effects: Effects = []
        if not pool.full or pool.listening(now_ms):
            return effects
        for name, tier in pool.tiers.items():
            if not tier.slots or not tier.lendable or not pool.order.waiting(name):
                continue
            if pool.order.running(name) >= tier.slots:
                continue
            victim = self._borrower(tier.weight)
            if victim is None or victim.worker is None:
                continue
            drop = DropRun(run_id=victim.spec.run_id, attempt=victim.attempt)
            effects.append(Send(victim.worker, drop))
            pool.unassign(victim)
            pool.requeue(victim, now_ms)
            effects += self.dispatch(now_ms)
        return effects

    def _borrower(self, weight: int) -> Run | None:
        """Return the run that gives its place back first."""
        pool = self._pool
        lenient = [
            run
            for run in pool.placed.values()
            if run.stage == "dispatched"
            and run.tokens == 0
            and pool.tiers[run.spec.tier].weight < weight
            and pool.order.running(run.spec.tier) > pool.tiers[run.spec.tier].slots
        ]
        if not lenient:
            return None
        return min(lenient, key=lambda run: (pool.tiers[run.spec.tier].weight, -run.dispatched_ms))

    def start(self, run: Run) -> StartRun:
        """Return the command that gives a run to its worker."""
        return StartRun(
            spec=run.spec,
            attempt=run.attempt,
            expect_epoch=0 if run.fresh else None,
            degraded=run.degraded,
        )

    def _send(self, choice: Choice, rooms: list[WorkerRoom], now_ms: int) -> Send:
        pool, run = self._pool, choice.run
        pool.order.dispatched(run, choice.cached, now_ms)
        run.attempt = pool.next_attempt()
        run.stage = "dispatched"
        run.accepted = run.began = False
        uncached = run.prompt_length + run.tokens - choice.cached
        pool.assign(run, choice.worker, now_ms, uncached=uncached)
        pool.homing.gone_to(run, choice, rooms, now_ms)
        pool.arm(run, now_ms + pool.config.accept_ms)
        effect = Send(choice.worker, self.start(run))
        run.fresh = False
        if pool.tiers.known(run.spec.tier) == pool.tiers.best:
            self._best_until_ms = now_ms + _BEST_MS
        return effect

    def _rooms(self, now_ms: int) -> list[WorkerRoom]:
        """Return the workers with room for a tier that waits; one that keeps dying only if there
        is no other. Where none had room, those that lost a run since are looked at."""
        pool = self._pool
        only_freed = pool.full and not pool.quarantine and not pool.tiers.kept
        found = pool.workers.with_room(pool.freed if only_freed else None)
        if not found:
            return []
        well = found
        if pool.quarantine:
            well = [it for it in found if not pool.quarantine.left_ms(it[0], now_ms)]
        if not well and any(
            worker.usable and not pool.quarantine.left_ms(name, now_ms)
            for name, worker in pool.workers.items()
        ):
            return []
        closed = self._closed()
        vacant = closed | pool.tiers.lower if now_ms < self._best_until_ms else closed
        waiting = [name for name in pool.tiers if pool.order.waiting(name)]
        rooms = []
        for name, worker in well or found:
            doors = vacant if _keeps_vacant(worker, len(pool.workers)) else closed
            if not doors.issuperset(waiting):
                rooms.append(self._room(name, worker, doors))
        return rooms

    def _rooms_after(
        self, choice: Choice, rooms: list[WorkerRoom], now_ms: int
    ) -> list[WorkerRoom]:
        """Return the rooms that are left after a dispatch: one of them has changed, unless that
        closed others to some tier, or nothing but workers that keep dying are left."""
        pool = self._pool
        worker = pool.workers[choice.worker]
        if pool.tiers.kept or (pool.quarantine and len(rooms) == 1 and worker.credit < 1):
            return self._rooms(now_ms)
        left = [room for room in rooms if room.worker != choice.worker]
        if worker.credit > 0:
            vacant = now_ms < self._best_until_ms and _keeps_vacant(worker, len(pool.workers))
            doors = pool.tiers.lower if vacant else _NOBODY
            left.append(self._room(choice.worker, worker, doors))
        return left

    def _closed(self) -> frozenset[str]:
        """Return the tiers for which no place is left: the free ones are kept for others, who
        do not lend theirs."""
        pool = self._pool
        if not pool.tiers.kept:
            return _NOBODY
        kept = {
            name: pool.tiers[name].slots - pool.order.running(name)
            for name in pool.tiers.kept
            if pool.tiers[name].slots > pool.order.running(name)
        }
        if not kept:
            return _NOBODY
        free = pool.workers.free()
        total = sum(kept.values())
        return frozenset(
            name for name in pool.tiers if free <= total - kept.get(name, 0) and name not in kept
        )

    def _room(self, name: str, worker: Worker, closed: frozenset[str]) -> WorkerRoom:
        report, config = worker.report, self._pool.config
        kv_tokens = None
        if report.kv_tokens > 0:
            used = max(worker.kv_given, int(report.kv_used * report.kv_tokens))
            kv_tokens = report.kv_tokens * 9 // 10 - used
        return WorkerRoom(
            worker=name,
            slots=worker.credit,
            kv_tokens=kv_tokens,
            prefill_tokens=config.prefill_tokens_max - worker.pending_prefill,
            pending_prefill=worker.pending_prefill,
            batch=worker.batch,
            warmth=self._pool.homing.prefixes,
            closed=closed,
        )


def _keeps_vacant(worker: Worker, workers: int) -> bool:
    """Whether the places that the worker, of so many, has left are those that are kept for the
    best tier."""
    slots = worker.report.slots
    kept = slots // _VACANT_PART
    if kept:
        kept = max(kept, min(slots // 4, -(-_VACANT_LEAST // workers)))
    return worker.credit <= kept

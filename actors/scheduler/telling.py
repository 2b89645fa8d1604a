"""What a scheduler tells: queue positions to clients, its state to edges and operators. Pure."""

from collections.abc import Sequence

import msgspec

from actors.scheduler.gate import Standing
from actors.scheduler.pool import Effects, Pool
from actors.scheduler.state import Answer, Broadcast, Notify, Run
from actors.scheduler.views import pool_list
from contracts.events import RunQueued
from contracts.scheduling import Allowance, AskAllowance, DegradationLevel, PoolStatus

_LOOK_MS = 200
_UNKNOWN_MS = 5_000


class Telling:
    """Remembers what was told last, so that only news is told."""

    def __init__(self, pool: Pool, now_ms: int) -> None:
        self._pool = pool
        self._noticed_ms = now_ms
        self._status_ms = 0
        self._status: PoolStatus | None = None
        self._first_ms = now_ms
        self._looked_ms = 0
        self._firsts = 0
        self._silent = True
        self._watched: dict[str, int] = {}

    def first_notice(self, run_id: str, now_ms: int) -> Effects:
        """Tell a run that was submitted just now its place, if it waits, and if not too many
        were told this second: who reads the others says so by and by."""
        run = self._pool.runs.get(run_id)
        if run is None or run.stage != "queued" or run.noticed:
            return []
        if now_ms - self._first_ms >= 1_000:
            self._first_ms, self._firsts = now_ms, 0
        self._firsts += 1
        if self._firsts > self._pool.config.notices_max and run_id not in self._watched:
            return []
        return [self._notice(run, self._pool.order.position(run))]

    def watch(self, run_ids: Sequence[str], now_ms: int) -> Effects:
        """Somebody reads these runs, which may not be here yet: tell them their places for a
        while, the first one as soon as it is known."""
        effects: Effects = []
        for run_id in run_ids:
            known = self._watched.pop(run_id, None)
            if known is None and len(self._watched) >= self._pool.config.watched_max:
                continue
            self._watched[run_id] = now_ms + self._pool.config.watch_ms
            run = self._pool.runs.get(run_id)
            waits = run is not None and run.stage == "queued" and not run.noticed
            if run is not None and waits and not self._pool.listening(now_ms):
                effects.append(self._notice(run, self._pool.order.position(run)))
        return effects

    def notices(self, now_ms: int) -> Effects:
        """Tell watched runs their places where they have changed, every `notice_ms`; the first
        time, when nothing was told while the workers were heard, the first of all runs."""
        since_ms = now_ms - self._noticed_ms
        if since_ms < self._pool.config.notice_ms or self._pool.listening(now_ms):
            return []
        self._noticed_ms = now_ms
        effects: Effects = []
        if self._silent:
            self._silent = False
            for head in self._pool.order.first(self._pool.config.notices_max):
                if not head.noticed:
                    effects.append(self._notice(head, self._pool.order.position(head)))
        for run_id, until_ms in list(self._watched.items()):
            run = self._pool.runs.get(run_id)
            if until_ms <= now_ms:
                del self._watched[run_id]
            elif run is not None and run.stage == "queued":
                position = max(1, self._pool.order.position(run))
                if run.noticed != position:
                    effects.append(self._notice(run, position))
        return effects

    def _notice(self, run: Run, position: int) -> Notify:
        run.noticed = position = max(1, position)
        run.fresh = False
        run.notice_attempt = run.notice_attempt or self._pool.next_attempt()
        event = RunQueued(
            position=position, eta_ms=self._eta_ms(run, position), degraded=run.degraded
        )
        return Notify(run.spec.run_id, run.notice_attempt, event)

    def _eta_ms(self, run: Run, position: int) -> int | None:
        """Return the fair order's expected wait for this run."""
        pool = self._pool
        expected_ms = None
        if pool.gate is not None and pool.fair is not None:
            lag = pool.fair.lag_of(run)
            places = pool.fair.places(run)
            expected_ms = pool.gate.waits.place_ms(run.spec.tier, lag, places)
        if expected_ms is not None:
            return expected_ms
        return pool.estimate.wait_ms(position, pool.workers.slots())

    def look(self, now_ms: int) -> list[Run]:
        """Measure how the pool stands, and return the deferred runs whose time has come."""
        pool = self._pool
        if pool.gate is None or 0 <= now_ms - self._looked_ms < _LOOK_MS:
            return []
        self._looked_ms = now_ms
        usable = [worker for _, worker in pool.workers.items() if worker.usable]
        full = max((int(worker.report.kv_used * 1_000) for worker in usable), default=0)
        standing = Standing(
            slots=pool.workers.slots(),
            room=bool(pool.workers.with_room()),
            service_ms=pool.estimate.service_ms,
            kv_permille=full,
            placed=pool.placed.values(),
        )
        return pool.gate.look(standing, now_ms)

    def allowance(self, ask: AskAllowance, reply_to: str, now_ms: int) -> Answer:
        """Answer an edge what a user may do."""
        gate = self._pool.gate
        if gate is None:
            return Answer(reply_to, Allowance(tier=ask.tier))
        return Answer(reply_to, gate.allowance(ask, now_ms))

    def wait_ms(self, tier: str) -> int:
        """Return how long a new run of this tier would wait, by estimate."""
        if self._pool.gate is not None:
            known_ms = self._pool.gate.waits.wait_ms(tier)
            return _UNKNOWN_MS if known_ms is None else known_ms
        if not len(self._pool.order) and self._pool.workers.with_room():
            return 0
        ahead = self._pool.order.ahead(tier, "") + 1
        wait_ms = self._pool.estimate.wait_ms(ahead, self._pool.workers.slots())
        return _UNKNOWN_MS if wait_ms is None else wait_ms

    def announce(self, now_ms: int) -> Effects:
        """Tell the edges how the pool stands, once its workers had time to report: until then
        the edges go by what the last scheduler said."""
        if self._pool.listening(now_ms):
            return []
        status = self._pool_status(now_ms)
        last = self._status
        changed = last is None or _news(status) != _news(last)
        if not changed and now_ms - self._status_ms < self._pool.config.status_ms:
            return []
        self._status, self._status_ms = status, now_ms
        return [Broadcast(status)]

    def _pool_status(self, now_ms: int) -> PoolStatus:
        config = self._pool.config
        slots = self._pool.workers.slots()
        gate, tiers = self._pool.gate, self._pool.tiers
        level: DegradationLevel = "normal"
        waits = {name: self.wait_ms(name) for name in tiers}
        if gate is not None:
            admit = {name: slots > 0 and gate.admission.admits(name, now_ms) for name in tiers}
            ladder = gate.ladder
            level, why = ladder.level, ladder.why
            ask = tuple(name for name in tiers if gate.admission.asked(name))
            smaller = bool(config.fallback) and ladder.reached("downgraded")
            downgrade = tuple(n for n in tiers if smaller and tiers.suffers(n, "downgrade"))
            over = [gate.admission.full_ms(n, now_ms) for n, ok in admit.items() if not ok]
        else:
            room = len(self._pool.order) < config.queue_max
            admit = {
                name: slots > 0 and room and waits[name] <= tier.wait_limit_ms
                for name, tier in tiers.items()
            }
            why, ask, downgrade = "", (), ()
            over = [waits[n] - tiers[n].wait_limit_ms for n, ok in admit.items() if not ok]
        engine = next((w.report.engine for _, w in self._pool.workers.items()), "vllm")
        return PoolStatus(
            pool=config.pool,
            model=config.model,
            healthy=slots > 0,
            admit=admit,
            retry_after_ms=max(1_000, *over) if over else 0,
            queued=len(self._pool.order),
            running=len(self._pool.runs) - len(self._pool.order),
            slots=slots,
            context_length=config.context_length,
            engine=engine,
            at_ms=now_ms,
            epoch=self._pool.term,
            level=level,
            why=why,
            downgrade=downgrade,
            ask=ask,
            waits_ms=waits,
            sight=self._pool.workers.sight(),
        )

    def describe(self, reply_to: str, limit: int, now_ms: int) -> Answer:
        """Answer an operator."""
        left = self._pool.quarantine.left_ms
        workers = [
            self._pool.workers.view(n, w, now_ms, quarantined_ms=left(n, now_ms))
            for n, w in self._pool.workers.items()
        ]
        slots = self._pool.workers.slots()
        listed = pool_list(self._pool.placed, self._pool.order, self._pool.estimate, slots, limit)
        gate = self._pool.gate
        body = msgspec.structs.replace(
            listed,
            workers=tuple(workers),
            level=gate.ladder.level if gate is not None else "normal",
            why=gate.ladder.why if gate is not None else "",
            waits_ms={name: self.wait_ms(name) for name in self._pool.tiers},
        )
        return Answer(reply_to, body)


def _news(status: PoolStatus) -> tuple[object, ...]:
    """Return what is told at once when it changes."""
    return status.healthy, status.admit, status.level, status.ask

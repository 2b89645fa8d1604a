"""Which waiting run goes to which worker, now. Pure.

The rooms are made anew for each decision from what is given and what workers report; the
order chooses among them.
"""

from actors.scheduler.order import Choice, WorkerRoom
from actors.scheduler.pool import Effects, Pool
from actors.scheduler.state import Run, Send
from actors.scheduler.workers import Worker
from contracts.scheduling import StartRun


class Dispatching:
    """Fills the workers' room with what the order says."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def dispatch(self, now_ms: int) -> Effects:
        """Dispatch until nothing more fits."""
        pool = self._pool
        effects: Effects = []
        if pool.full or not len(pool.order) or pool.listening(now_ms):
            return effects
        rooms = self._rooms()
        while rooms:
            choice = pool.order.next(rooms, now_ms)
            if choice is None:
                break
            effects.append(self._send(choice, rooms, now_ms))
            if not len(pool.order):
                break
            rooms = self._rooms()
        pool.full = not rooms
        return effects

    def start(self, run: Run) -> StartRun:
        """Return the command that gives a run to its worker."""
        return StartRun(spec=run.spec, attempt=run.attempt, expect_epoch=0 if run.fresh else None)

    def _send(self, choice: Choice, rooms: list[WorkerRoom], now_ms: int) -> Send:
        pool, run = self._pool, choice.run
        pool.order.dispatched(run, choice.cached, now_ms)
        run.attempt = pool.next_attempt()
        run.stage = "dispatched"
        run.accepted = run.began = False
        run.dispatched_ms = run.heard_ms = now_ms
        pool.assign(run, choice.worker, uncached=run.prompt_length + run.tokens - choice.cached)
        pool.homing.gone_to(run, choice, rooms, now_ms)
        pool.arm(run, now_ms + pool.config.accept_ms)
        effect = Send(choice.worker, self.start(run))
        run.fresh = False
        return effect

    def _rooms(self) -> list[WorkerRoom]:
        return [self._room(name, worker) for name, worker in self._pool.workers.with_room()]

    def _room(self, name: str, worker: Worker) -> WorkerRoom:
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
        )

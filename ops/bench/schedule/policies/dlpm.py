"""Deficit longest prefix match (arXiv 2501.14312). Pure."""

from collections.abc import Sequence

from actors.scheduler.order import Choice, WorkerRoom
from actors.scheduler.state import Run
from ops.bench.schedule.policies.waiting import Waiting

_STALE_MS = 200


class Dlpm(Waiting):
    """Among users with deficit left, the run with the longest cached prefix on a worker with
    room goes next; when no backlogged user has any left, each gets `quantum`. Uncached prompt
    tokens and output tokens are taken off (1 : 2).

    Departures: a run is placed when a worker has room (the paper's D²LPM keeps a deficit per
    worker behind a router), and the longest match is sought among the oldest and the newest
    `depth` runs of each user, by what was cached at most `_STALE_MS` ago.
    """

    def __init__(self, quantum: int = 5_000, depth: int = 16) -> None:
        super().__init__()
        self._warm: dict[str, dict[str, tuple[int, int]]] = {}
        self._quantum = quantum
        self._depth = depth
        self._deficits: dict[str, int] = {}
        self._charged: dict[str, int] = {}

    def push(self, run: Run, now_ms: int) -> None:
        """Let a run wait; a user that comes back keeps its debt, not its credit."""
        user = run.spec.user_id
        if user not in self._users:
            self._deficits[user] = min(self._deficits.get(user, 0), 0)
        super().push(run, now_ms)

    def next(self, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:
        """Take the longest match among the users with deficit."""
        if not self._users or not rooms:
            return None
        while not (able := [user for user in self._users if self._deficits[user] > 0]):
            for user in self._users:
                self._deficits[user] += self._quantum
        best: tuple[tuple[int, int, int], Choice] | None = None
        for user in able:
            for run in self.runs_of(user, self._depth):
                for room in rooms:
                    warm = self._cached(run, room, now_ms)
                    if not room.fits(run, warm):
                        continue
                    score = (warm, -run.arrival, -room.batch)
                    if best is None or score > best[0]:
                        best = (score, Choice(run, room.worker, warm))
        return None if best is None else best[1]

    def _cached(self, run: Run, room: WorkerRoom, now_ms: int) -> int:
        known = self._warm.setdefault(run.spec.run_id, {})
        looked_ms, warm = known.get(room.worker, (-_STALE_MS, 0))
        if now_ms - looked_ms >= _STALE_MS:
            warm = room.warm(run)
            known[room.worker] = (now_ms, warm)
        return warm

    def dispatched(self, run: Run, cached: int, now_ms: int) -> None:
        """Take off what must be computed."""
        super().dispatched(run, cached, now_ms)
        self._warm.pop(run.spec.run_id, None)
        self._deficits[run.spec.user_id] -= len(run.spec.prompt_tokens) - cached
        self._charged[run.spec.run_id] = 0

    def progressed(self, run: Run, tokens: int, now_ms: int) -> None:
        """Take off what was generated."""
        super().progressed(run, tokens, now_ms)
        charged = self._charged.get(run.spec.run_id)
        if charged is not None and tokens > charged:
            self._deficits[run.spec.user_id] -= 2 * (tokens - charged)
            self._charged[run.spec.run_id] = tokens

    def settled(self, run: Run, cached: int, output: int, now_ms: int) -> None:
        """Take off the rest."""
        self.progressed(run, output, now_ms)
        super().settled(run, cached, output, now_ms)
        self._charged.pop(run.spec.run_id, None)

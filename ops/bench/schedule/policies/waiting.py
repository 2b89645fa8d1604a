"""The waiting runs, as every baseline keeps them. Pure."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import islice

from actors.scheduler.order import Choice, WorkerRoom
from actors.scheduler.state import Run


class Waiting:
    """Runs by arrival, and by user in that order; one that lost its worker goes first. An
    order that charges nothing: subclasses choose, and charge where they do."""

    def __init__(self) -> None:
        self._all: OrderedDict[str, Run] = OrderedDict()
        self._users: dict[str, OrderedDict[str, Run]] = {}
        self._running: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._all)

    def push(self, run: Run, now_ms: int) -> None:  # noqa: ARG002
        """Let a run wait."""
        self._running.pop(run.spec.run_id, None)
        key, own = run.spec.run_id, self._users.setdefault(run.spec.user_id, OrderedDict())
        self._all[key] = own[key] = run
        if run.front:
            self._all.move_to_end(key, last=False)
            own.move_to_end(key, last=False)

    def remove(self, run: Run) -> None:
        """Take a run out."""
        if self._all.pop(run.spec.run_id, None) is None:
            return
        own = self._users[run.spec.user_id]
        del own[run.spec.run_id]
        if not own:
            del self._users[run.spec.user_id]

    def next(self, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:  # noqa: ARG002
        """First come, first served; the first one waits for room rather than be passed."""
        for run in self._all.values():
            return place(run, rooms)
        return None

    def dispatched(self, run: Run, cached: int, now_ms: int) -> None:  # noqa: ARG002
        """The run waits no more."""
        self.remove(run)
        self._running[run.spec.run_id] = run.spec.tier

    def progressed(self, run: Run, tokens: int, now_ms: int) -> None:
        """Nothing is charged."""

    def settled(self, run: Run, cached: int, output: int, now_ms: int) -> None:  # noqa: ARG002
        """Nothing is charged."""
        self._running.pop(run.spec.run_id, None)

    def position(self, run: Run) -> int:
        """Return the place by arrival."""
        for place_, key in enumerate(self._all, start=1):
            if key == run.spec.run_id:
                return place_
        return 0

    def ahead(self, tier: str, user_id: str) -> int:  # noqa: ARG002
        """Return how many wait."""
        return len(self._all)

    def waiting(self, tier: str) -> int:
        """Return how many runs of the tier wait; takes time that grows with all that do."""
        return sum(run.spec.tier == tier for run in self._all.values())

    def running(self, tier: str) -> int:
        """Return how many runs of the tier are on workers."""
        return sum(name == tier for name in self._running.values())

    def first(self, limit: int) -> list[Run]:
        """Return runs by arrival."""
        return [run for run, _ in zip(self._all.values(), range(limit), strict=False)]

    def heads(self) -> Iterable[tuple[str, Run]]:
        """Yield each backlogged user with the first of its runs."""
        for user, own in self._users.items():
            yield user, next(iter(own.values()))

    def runs_of(self, user: str, limit: int) -> list[Run]:
        """Return the user's `limit` oldest and `limit` newest runs."""
        own = self._users.get(user)
        if own is None:
            return []
        if len(own) <= 2 * limit:
            return list(own.values())
        return [*islice(own.values(), limit), *islice(reversed(own.values()), limit)]


def place(run: Run, rooms: Sequence[WorkerRoom]) -> Choice | None:
    """Return the choice of the least busy worker that has room for the run."""
    fitting = [room for room in rooms if room.fits(run, room.warm(run))]
    if not fitting:
        return None
    room = min(fitting, key=lambda it: (it.batch, it.pending_prefill))
    return Choice(run, room.worker, room.warm(run))

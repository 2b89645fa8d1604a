"""The room rule of VTC's artifact, for tables A and B: LightLLM's estimate of the peak. Pure."""

from collections.abc import Sequence

from actors.scheduler.order import Choice, Order, WorkerRoom
from actors.scheduler.state import Run


class PeakRoom:
    """An order that dispatches to one worker only while its memory would never overflow,
    given that each run ends exactly at its `max_tokens`: runs that end soon make room for
    those that go on. The production rule adds up what each needs at its end, which holds fewer.

    Args:
        capacity: tokens of the worker's memory.
    """

    def __init__(self, inner: Order, capacity: int) -> None:
        self._inner = inner
        self._capacity = capacity
        self._running: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._inner)

    def push(self, run: Run, now_ms: int) -> None:
        """As the order within."""
        self._inner.push(run, now_ms)

    def remove(self, run: Run) -> None:
        """As the order within."""
        self._inner.remove(run)

    def next(self, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:
        """Return what the order within chooses, None if the memory might overflow."""
        choice = self._inner.next(rooms, now_ms)
        if choice is None or not self._running or self._fits(choice.run):
            return choice
        return None

    def dispatched(self, run: Run, cached: int, now_ms: int) -> None:
        """The run takes room."""
        self._inner.dispatched(run, cached, now_ms)
        self._running[run.spec.run_id] = (run.prompt_length, run.spec.sampling.max_tokens)

    def progressed(self, run: Run, tokens: int, now_ms: int) -> None:
        """The run has grown, and will grow that much less."""
        self._inner.progressed(run, tokens, now_ms)
        if run.spec.run_id in self._running:
            left = max(0, run.spec.sampling.max_tokens - tokens)
            self._running[run.spec.run_id] = (run.prompt_length + tokens, left)

    def settled(self, run: Run, cached: int, output: int, now_ms: int) -> None:
        """The run's room is free."""
        self._inner.settled(run, cached, output, now_ms)
        self._running.pop(run.spec.run_id, None)

    def position(self, run: Run) -> int:
        """As the order within."""
        return self._inner.position(run)

    def ahead(self, tier: str, user_id: str) -> int:
        """As the order within."""
        return self._inner.ahead(tier, user_id)

    def waiting(self, tier: str) -> int:
        """As the order within."""
        return self._inner.waiting(tier)

    def running(self, tier: str) -> int:
        """As the order within."""
        return self._inner.running(tier)

    def first(self, limit: int) -> list[Run]:
        """As the order within."""
        return self._inner.first(limit)

    def _fits(self, run: Run) -> bool:
        """Look at each moment at which a run ends: what is there then, those still running
        having grown by as much as it had left."""
        parts = [*self._running.values(), (run.prompt_length, run.spec.sampling.max_tokens)]
        parts.sort(key=lambda part: -part[1])
        held = 0
        for count, (now, left) in enumerate(parts, start=1):
            held += now
            if held + left * count > self._capacity:
                return False
        return True

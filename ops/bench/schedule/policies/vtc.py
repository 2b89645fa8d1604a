"""The virtual token counter (Sheng et al., OSDI'24, arXiv 2401.00588). Pure."""

import random
from collections.abc import Callable, Mapping, Sequence

from actors.scheduler.order import Choice, WorkerRoom
from actors.scheduler.state import Run
from ops.bench.schedule.policies.waiting import Waiting, place

Predict = Callable[[Run], int]
INPUT, OUTPUT = 1, 2


class Vtc(Waiting):
    """The backlogged user with the smallest counter is next; a counter grows by a prompt's
    tokens at dispatch and by twice the output's, over the user's weight. A user whose queue
    was empty is lifted to the smallest counter of the others that wait.

    With a predictor, the predicted output is charged at dispatch, what goes beyond it as it
    comes, and what stays below is given back at the end.
    """

    def __init__(self, weights: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self._weights = dict(weights or {})
        self._counters: dict[str, float] = {}
        self._charged: dict[str, int] = {}

    def predict(self, run: Run) -> int:  # noqa: ARG002
        """Return how many output tokens to charge at dispatch."""
        return 0

    def push(self, run: Run, now_ms: int) -> None:
        """Let a run wait; a user that comes back is lifted."""
        user = run.spec.user_id
        if user not in self._users:
            others = [self._counters[name] for name in self._users]
            own = self._counters.get(user, 0.0)
            self._counters[user] = max(own, min(others)) if others else own
        super().push(run, now_ms)

    def next(self, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:  # noqa: ARG002
        """Take the user with the smallest counter."""
        heads = list(self.heads())
        if not heads:
            return None
        return place(min(heads, key=lambda head: self._counters[head[0]])[1], rooms)

    def dispatched(self, run: Run, cached: int, now_ms: int) -> None:
        """Charge the whole prompt, cached or not, and the prediction."""
        super().dispatched(run, cached, now_ms)
        predicted = self.predict(run)
        self._charged[run.spec.run_id] = predicted
        self._charge(run, INPUT * len(run.spec.prompt_tokens) + OUTPUT * predicted)

    def progressed(self, run: Run, tokens: int, now_ms: int) -> None:
        """Charge what goes beyond what is charged."""
        super().progressed(run, tokens, now_ms)
        charged = self._charged.get(run.spec.run_id)
        if charged is not None and tokens > charged:
            self._charge(run, OUTPUT * (tokens - charged))
            self._charged[run.spec.run_id] = tokens

    def settled(self, run: Run, cached: int, output: int, now_ms: int) -> None:
        """Correct the charge to what was generated."""
        super().settled(run, cached, output, now_ms)
        charged = self._charged.pop(run.spec.run_id, None)
        if charged is not None:
            self._charge(run, OUTPUT * (output - charged))

    def _charge(self, run: Run, tokens: int) -> None:
        user = run.spec.user_id
        self._counters[user] += tokens / self._weights.get(user, 1)


class VtcLast(Vtc):
    """VTC that predicts by a moving average over the user's last answers (the artifact's
    window is 5)."""

    def __init__(self, weights: Mapping[str, int] | None = None, window: int = 5) -> None:
        super().__init__(weights)
        self._window = window
        self._means: dict[str, float] = {}

    def predict(self, run: Run) -> int:
        """Return the user's mean."""
        return round(self._means.get(run.spec.user_id, 0.0))

    def settled(self, run: Run, cached: int, output: int, now_ms: int) -> None:
        """Learn the length."""
        known = run.spec.run_id in self._charged
        super().settled(run, cached, output, now_ms)
        if not known:
            return
        user = run.spec.user_id
        mean = self._means.get(user)
        share = 1 / self._window
        self._means[user] = output if mean is None else mean * (1 - share) + output * share


class VtcTold(Vtc):
    """VTC that is told each answer's length, to within ± `error` (0: the oracle)."""

    def __init__(
        self,
        lengths: Mapping[str, int],
        error: float = 0.0,
        weights: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(weights)
        self._lengths = lengths
        self._error = error
        self._chance = random.Random(seed)

    def predict(self, run: Run) -> int:
        """Return the length that was told, or one near it."""
        length = self._lengths[run.spec.run_id]
        return max(1, round(length * self._chance.uniform(1 - self._error, 1 + self._error)))

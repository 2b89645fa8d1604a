"""How long answers get, learned from those that ended. Pure, integers.

Three estimates of one length: the mean of what this user's answers had lately goes into the
order's tags, the length that nine in ten of the model's answers stay under into budgets and
memory, and the request's own limit caps both.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import accumulate

import msgspec

_FINE = 256
"""Means are kept in 1/256 token, so that small steps are not lost."""

_SHIFT = 3
_COUNTED_MAX = 4_096
_READ_MAX = 256
"""The spread is read anew when an eighth of so many answers are new, or of all that count."""

_BOUNDS = tuple(sorted({16, *(round(16 * 2 ** (step / 4)) for step in range(1, 57))}))
"""Upper bounds of the histogram's buckets: 16 to 262,144 tokens, a quarter octave apart."""


class LengthState(msgspec.Struct, frozen=True, array_like=True):
    """A mean as it is stored, in 1/256 token; `user_id` '' is the model's."""

    user_id: str
    model: str
    mean: int


class Lengths:
    """Learns output lengths of a pool's runs.

    Args:
        default: tokens assumed of a model nothing is known of.
        users_max: how many (user, model) pairs are remembered; the longest unused go first.
    """

    def __init__(self, default: int = 256, users_max: int = 50_000) -> None:
        self._default = default
        self._users_max = users_max
        self._means: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._models: dict[str, _Model] = {}
        self._touched: dict[tuple[str, str], None] | None = None

    def predict(self, user_id: str, model: str, cap: int) -> int:
        """Return the tokens expected of this user's next answer, 1 to `cap`."""
        mean = self._means.get((user_id, model))
        if mean is None:
            known = self._models.get(model)
            mean = known.mean if known is not None else self._default * _FINE
        return max(1, min(cap, -(-mean // _FINE)))

    def bound(self, model: str, cap: int) -> int:
        """Return the tokens that nine in ten answers stay under, 1 to `cap`."""
        known = self._models.get(model)
        return max(1, min(cap, known.p90 if known is not None else 2 * self._default))

    def learn(self, user_id: str, model: str, tokens: int) -> None:
        """Take an answer that ended by itself after `tokens` ≥ 0 tokens."""
        key = (user_id, model)
        known = self._models.get(model)
        if known is None:
            known = self._models[model] = _Model(tokens)
        mean = self._means.pop(key, None)
        self._means[key] = _moved(mean, tokens)
        if len(self._means) > self._users_max:
            self._means.popitem(last=False)
        known.learn(tokens)
        if self._touched is not None:
            self._touched[key] = self._touched["", model] = None

    def track(self) -> None:
        """Remember what changes from now on, for `changes`."""
        self._touched = {}

    def changes(self) -> tuple[LengthState, ...]:
        """Return the means that have changed since the last call."""
        changed = tuple(self._stored(*key) for key in self._touched or ())
        if self._touched is not None:
            self._touched.clear()
        return changed

    def states(self) -> Iterator[LengthState]:
        """Yield the means of now, each as it is when its turn comes."""
        keys = [*(("", model) for model in self._models), *self._means]
        return (self._stored(*key) for key in keys)

    def _stored(self, user_id: str, model: str) -> LengthState:
        known = self._models[model].mean
        mean = self._means.get((user_id, model), known) if user_id else known
        return LengthState(user_id, model, mean)

    def restore(self, states: Iterable[LengthState]) -> None:
        """Begin with what an earlier scheduler had learned; the spread is learned anew."""
        for state in states:
            if state.user_id:
                self._means[state.user_id, state.model] = state.mean
            else:
                self._models[state.model] = _Model(-(-state.mean // _FINE))
                self._models[state.model].mean = state.mean


class _Model:
    """Mean and distribution of one model's answers; old ones fade."""

    __slots__ = ("_counts", "_total", "_unread", "mean", "p90")

    def __init__(self, tokens: int) -> None:
        self.mean = tokens * _FINE
        self.p90 = tokens
        self._counts = [0] * len(_BOUNDS)
        self._total = 0
        self._unread = 0

    def learn(self, tokens: int) -> None:
        self.mean = _moved(self.mean, tokens)
        bucket = min(bisect_left(_BOUNDS, tokens), len(_BOUNDS) - 1)
        self._counts[bucket] += 1
        self._total += 1
        if self._total > _COUNTED_MAX:
            self._counts = [count // 2 for count in self._counts]
            self._total = sum(self._counts)
        self._unread += 1
        if self._unread << _SHIFT >= min(self._total, _READ_MAX):
            self._unread = 0
            place = bisect_left(list(accumulate(self._counts)), -(-9 * self._total // 10))
            self.p90 = _BOUNDS[place]


def _moved(mean: int | None, tokens: int) -> int:
    """Return the mean after one more length; the first one is taken as it is."""
    if mean is None:
        return tokens * _FINE
    return mean + ((tokens * _FINE - mean) >> _SHIFT)

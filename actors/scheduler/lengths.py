"""How long answers get, learned from those that ended. Pure, integers.

Three estimates of one length: the mean of what this user's answers had lately goes into the
order's tags, the length that nine in ten of the model's answers stay under into budgets and
memory, and the request's own limit caps both.
"""

from collections import OrderedDict

_FINE = 256
"""Means are kept in 1/256 token, so that small steps are not lost."""

_SHIFT = 3
_COUNTED_MAX = 4_096
_BOUNDS = tuple(sorted({16, *(round(16 * 2 ** (step / 4)) for step in range(1, 57))}))
"""Upper bounds of the histogram's buckets: 16 to 262,144 tokens, a quarter octave apart."""


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


class _Model:
    """Mean and distribution of one model's answers; old ones fade."""

    __slots__ = ("_counts", "_total", "mean", "p90")

    def __init__(self, tokens: int) -> None:
        self.mean = tokens * _FINE
        self.p90 = tokens
        self._counts = [0] * len(_BOUNDS)
        self._total = 0

    def learn(self, tokens: int) -> None:
        self.mean = _moved(self.mean, tokens)
        bucket = next((i for i, bound in enumerate(_BOUNDS) if tokens <= bound), -1)
        self._counts[bucket] += 1
        self._total += 1
        if self._total > _COUNTED_MAX:
            self._counts = [count // 2 for count in self._counts]
            self._total = sum(self._counts)
        need, seen = -(-9 * self._total // 10), 0
        for bound, count in zip(_BOUNDS, self._counts, strict=True):
            seen += count
            if seen >= need:
                self.p90 = bound
                return


def _moved(mean: int | None, tokens: int) -> int:
    """Return the mean after one more length; the first one is taken as it is."""
    if mean is None:
        return tokens * _FINE
    return mean + ((tokens * _FINE - mean) >> _SHIFT)

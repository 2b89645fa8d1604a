"""Which prefixes the workers' caches hold, as far as they have said. Pure.

Workers tell what they store and remove in numbered messages (`PrefixChanged`); a number that is
missing, or that a report names and nobody heard, makes a worker's part doubtful until it has
sent all it has again. A doubtful or wrong part costs speed only: it moves a run to a worker
that computes what it hoped to find.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence

from contracts.block_keys import BLOCK_TOKENS, KEY_LENGTH
from contracts.scheduling import PrefixChanged, WorkerReport

_CONFIRMED = 0
_UNHEARD = 0


class _Cache:
    """What one worker holds: keys in the order of their last use, each with the time at which
    it is no longer believed (`_CONFIRMED`: until the worker takes it back)."""

    __slots__ = ("asked_ms", "doubtful", "incarnation", "keys", "number", "reported")

    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.number = 0
        self.reported = 0
        self.doubtful = False
        self.asked_ms: int | None = None
        self.keys: OrderedDict[str, int] = OrderedDict()

    def clear(self) -> None:
        """Forget what was confirmed; what was only just given is still on its way."""
        for key in [key for key, until_ms in self.keys.items() if until_ms == _CONFIRMED]:
            del self.keys[key]

    def trim(self, limit: int) -> None:
        """Forget the keys that were used longest ago."""
        while len(self.keys) > limit:
            self.keys.popitem(last=False)


class PrefixIndex:
    """The prefixes of a pool's workers.

    Args:
        worker_keys_max: the most keys of one worker; those used longest ago are forgotten.
        keys_max: the most keys in all; each worker has an equal share of it.
        speculative_ms: how long a prompt counts as cached where it was just sent, before the
            worker has said so.
        ask_ms: how often a worker is asked to send all again.
    """

    def __init__(
        self,
        *,
        worker_keys_max: int = 65_536,
        keys_max: int = 1_048_576,
        speculative_ms: int = 2_000,
        ask_ms: int = 1_000,
    ) -> None:
        self._worker_keys_max = worker_keys_max
        self._keys_max = keys_max
        self._speculative_ms = speculative_ms
        self._ask_ms = ask_ms
        self._caches: dict[str, _Cache] = {}
        self._speculations: deque[tuple[int, str, Sequence[str]]] = deque()

    def __len__(self) -> int:
        """Return the number of keys held, of all workers."""
        return sum(len(cache.keys) for cache in self._caches.values())

    def warm_tokens(self, worker: str, block_keys: Sequence[str]) -> int:
        """Return how many leading tokens of the prompt of these keys the worker has cached; 0
        for a worker that never said anything."""
        cache = self._caches.get(worker)
        if cache is None:
            return 0
        held = cache.keys
        count = 0
        for key in block_keys:
            if key not in held:
                break
            count += 1
        return count * BLOCK_TOKENS

    def heard(self, changed: PrefixChanged, now_ms: int) -> bool:
        """Take in what a worker says; say whether it should be asked to send all again.

        What comes twice, late, or from an earlier life of the worker changes nothing.
        """
        self.expire(now_ms)
        cache = self._cache(changed.worker, changed.incarnation)
        if cache is None or changed.number <= cache.number:
            return False
        if changed.cleared:
            cache.clear()
            cache.doubtful = False
        elif changed.number != cache.number + 1:
            cache.doubtful = True
        cache.number = changed.number
        for key in changed.removed:
            if cache.keys.get(key) == _CONFIRMED:
                del cache.keys[key]
        self._put(cache, changed.stored, _CONFIRMED)
        return self._ask(cache, now_ms)

    def reported(self, report: WorkerReport, now_ms: int) -> bool:
        """Compare with the number that a report names; say as `heard` does."""
        cache = self._cache(report.worker, report.incarnation)
        if cache is None or report.number <= cache.reported:
            return False
        cache.reported = report.number
        if report.prefixes != cache.number:
            # A number beyond the worker's own would hide all that it says from now on.
            cache.number = report.prefixes
            cache.doubtful = True
        return self._ask(cache, now_ms)

    def speculate(self, worker: str, block_keys: Sequence[str], now_ms: int) -> None:
        """Believe for a moment that the worker has this prompt: it has just been sent there.
        What it has already counts as used now."""
        self.expire(now_ms)
        if not block_keys:
            return
        cache = self._caches.get(worker) or self._cache(worker, _UNHEARD)
        assert cache is not None
        until_ms = now_ms + self._speculative_ms
        self._put(cache, block_keys, until_ms)
        self._speculations.append((until_ms, worker, block_keys))

    def forget(self, worker: str) -> None:
        """The worker is gone, and its cache with it."""
        self._caches.pop(worker, None)

    def expire(self, now_ms: int) -> None:
        """Stop believing what no worker has confirmed in time; all of it when the clock has
        stepped back, which would make it last."""
        waiting = self._speculations
        stepped_back = bool(waiting) and now_ms + self._speculative_ms < waiting[-1][0]
        while waiting and (stepped_back or waiting[0][0] <= now_ms):
            until_ms, worker, block_keys = waiting.popleft()
            cache = self._caches.get(worker)
            if cache is None:
                continue
            for key in block_keys:
                if cache.keys.get(key) == until_ms:
                    del cache.keys[key]

    def _cache(self, worker: str, incarnation: int) -> _Cache | None:
        """Return the part of this life of the worker, None if a later one is known."""
        known = self._caches.get(worker)
        if known is not None and known.incarnation == _UNHEARD:
            known.incarnation = incarnation
        if known is not None and known.incarnation >= incarnation:
            return known if known.incarnation == incarnation else None
        made = self._caches[worker] = _Cache(incarnation)
        if known is None:
            limit = self._share()
            for cache in self._caches.values():
                cache.trim(limit)
        return made

    def _share(self) -> int:
        return min(self._worker_keys_max, self._keys_max // max(1, len(self._caches)))

    def _put(self, cache: _Cache, keys: Sequence[str], until_ms: int) -> None:
        """Add keys, the first as the last used: without it those after it are worth nothing."""
        held = cache.keys
        for key in reversed(keys):
            if len(key) != KEY_LENGTH:
                continue
            if until_ms == _CONFIRMED or held.get(key, until_ms) != _CONFIRMED:
                held[key] = until_ms
            held.move_to_end(key)
        cache.trim(self._share())

    def _ask(self, cache: _Cache, now_ms: int) -> bool:
        if not cache.doubtful:
            return False
        if cache.asked_ms is not None and 0 <= now_ms - cache.asked_ms < self._ask_ms:
            return False
        cache.asked_ms = now_ms
        return True

"""The workers on which a hot prefix lives. Pure.

Many chats share a long prefix, its home has no room, and a run of it spills to another worker,
which must compute all of it. One spill is bad luck; several in a short time mean that the
prefix is wanted more than one worker can serve, and that one more should keep it. Workers that
have kept it are where its runs go first; those that have not served it for long give it up, so
that it returns to few workers when it cools down.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence

from contracts.block_keys import BLOCK_TOKENS

DEPTH_MIN = 8
"""The shortest prefix that may be hot, in blocks: what is shorter is computed in no time."""


class _Prefix:
    """When runs of a prefix have spilled, and who keeps it since when."""

    __slots__ = ("served_ms", "spills")

    def __init__(self, spills_min: int) -> None:
        self.spills: deque[int] = deque(maxlen=spills_min)
        self.served_ms: OrderedDict[str, int] = OrderedDict()


class Replicas:
    """The hot prefixes of a pool.

    A prefix is known by its key at a depth of 8, 16, 32, … blocks: the runs that share it differ
    further on, and one of these depths is at least half of what they share.

    Args:
        spills_min: so many spills within `window_ms` make one more worker keep the prefix.
        idle_ms: a worker that has not served it for so long keeps it no more.
        prefixes_max: how many prefixes are watched; the one that was heard of longest ago goes
            first.
    """

    def __init__(
        self,
        *,
        spills_min: int = 4,
        window_ms: int = 10_000,
        idle_ms: int = 180_000,
        prefixes_max: int = 4_096,
    ) -> None:
        self._spills_min = spills_min
        self._window_ms = window_ms
        self._idle_ms = idle_ms
        self._prefixes_max = prefixes_max
        self._prefixes: OrderedDict[str, _Prefix] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of prefixes watched."""
        return len(self._prefixes)

    def spilled(
        self, block_keys: Sequence[str], warm_tokens: int, home: str, worker: str, now_ms: int
    ) -> bool:
        """A run went to `worker` although `home`, which had no room, has `warm_tokens` of its
        prompt cached; say whether a prefix of it has got one more worker by that."""
        grown = False
        for key in _anchors(block_keys[: warm_tokens // BLOCK_TOKENS]):
            prefix = self._prefixes.get(key)
            if prefix is None:
                prefix = self._prefixes[key] = _Prefix(self._spills_min)
            self._prefixes.move_to_end(key)
            self._cool(prefix, now_ms)
            prefix.spills.append(now_ms)
            first_ms = prefix.spills[0]
            if len(prefix.spills) < self._spills_min or now_ms - first_ms > self._window_ms:
                continue
            prefix.spills.clear()
            for name in (home, worker):
                grown = grown or name not in prefix.served_ms
                prefix.served_ms[name] = now_ms
        while len(self._prefixes) > self._prefixes_max:
            self._prefixes.popitem(last=False)
        return grown

    def served(self, block_keys: Sequence[str], worker: str, now_ms: int) -> None:
        """A run with these keys was given to `worker`."""
        if not self._prefixes:
            return
        for key in _anchors(block_keys):
            prefix = self._prefixes.get(key)
            if prefix is not None and worker in prefix.served_ms:
                prefix.served_ms[worker] = now_ms
                self._prefixes.move_to_end(key)

    def workers(self, block_keys: Sequence[str], now_ms: int) -> tuple[str, ...]:
        """Return who keeps the longest hot prefix of these keys, in the order in which they
        began; nobody if none is hot."""
        if not self._prefixes:
            return ()
        found: tuple[str, ...] = ()
        for key in _anchors(block_keys):
            prefix = self._prefixes.get(key)
            if prefix is None:
                continue
            self._cool(prefix, now_ms)
            found = tuple(prefix.served_ms) or found
        return found

    def forget(self, worker: str) -> None:
        """The worker is gone, and its cache with it."""
        for prefix in self._prefixes.values():
            prefix.served_ms.pop(worker, None)

    def _cool(self, prefix: _Prefix, now_ms: int) -> None:
        """Let go of workers that have been idle too long, and of a single one that is left: it
        is the home like any other."""
        served = prefix.served_ms
        for name in [name for name, ms in served.items() if now_ms - ms > self._idle_ms]:
            del served[name]
        if len(served) == 1:
            served.clear()


def _anchors(block_keys: Sequence[str]) -> Iterator[str]:
    depth = DEPTH_MIN
    while depth <= len(block_keys):
        yield block_keys[depth - 1]
        depth *= 2

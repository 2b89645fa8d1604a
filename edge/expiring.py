"""A bounded cache whose entries are forgotten after a while."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class ExpiringCache(Generic[K, V]):
    """Keeps at most `size` values, each for `ttl_ms`; the oldest gives way. Pure: the caller
    says what time it is."""

    def __init__(self, *, size: int, ttl_ms: int) -> None:
        self._size = size
        self._ttl_ms = ttl_ms
        self._entries: OrderedDict[K, tuple[int, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K, now_ms: int) -> V | None:
        """Return the value if it is still fresh."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= now_ms:
            del self._entries[key]
            return None
        return entry[1]

    def put(self, key: K, value: V, now_ms: int) -> None:
        """Keep `value` until `now_ms` + the time to live."""
        self._entries.pop(key, None)
        self._entries[key] = (now_ms + self._ttl_ms, value)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, key: K) -> None:
        """Forget it now."""
        self._entries.pop(key, None)

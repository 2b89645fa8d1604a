"""A limit on failures by key: who guesses passwords must wait. In memory: an edge that begins anew
remembers none, and hears of the others' failures (`edge.logins`)."""

from collections import OrderedDict
from ipaddress import AddressValueError, IPv6Address, IPv6Network


class FailureThrottle:
    """Allows `limit` attempts of one key within `window_ms` that were not taken back; at most
    `keys_max` keys are remembered, the one that tried longest ago is forgotten first. Pure.

    An attempt counts as failed before it is made, so that many at once can't slip through."""

    def __init__(self, *, limit: int, window_ms: int, keys_max: int = 10_000) -> None:
        self._limit = limit
        self._window_ms = window_ms
        self._keys_max = keys_max
        self._failures: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def wait_ms(self, key: str, now_ms: int) -> int:
        """Return how long `key` must wait before it may try again, 0 if it may now."""
        since_ms, count = self._failures.get(key, (now_ms, 0))
        if count < self._limit:
            return 0
        return max(0, since_ms + self._window_ms - now_ms)

    def failed(self, key: str, now_ms: int) -> None:
        """Count one failure."""
        since_ms, count = self._failures.pop(key, (now_ms, 0))
        if since_ms + self._window_ms <= now_ms:
            since_ms, count = now_ms, 0
        self._failures[key] = (since_ms, count + 1)
        if len(self._failures) > self._keys_max:
            self._failures.popitem(last=False)

    def taken_back(self, key: str) -> None:
        """Uncount one failure: the attempt was none."""
        since_ms, count = self._failures.get(key, (0, 0))
        if count > 1:
            self._failures[key] = (since_ms, count - 1)
        else:
            self._failures.pop(key, None)

    def succeeded(self, key: str) -> None:
        """Forget the failures of `key`."""
        self._failures.pop(key, None)


def address_key(host: str) -> str:
    """Return by what an address is known: an IPv6 user has a whole /64 of them."""
    try:
        address = IPv6Address(host)
    except AddressValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address, 64), strict=False).network_address)

"""Workers that die again and again are left alone for a while. Pure."""

from collections import OrderedDict
from dataclasses import dataclass

_WORKERS_MAX = 1_000
_ONCE_MS = 1_000
"""Signs of death this close together are of one: several runs that stall, or a silence that its
parent explains."""


@dataclass(slots=True)
class _Record:
    """When a worker died last, how often in a row, and until when it is given nothing."""

    died_ms: int
    deaths: int = 1
    until_ms: int = 0


class Quarantine:
    """Remembers deaths by worker id, through restarts of the worker.

    The second death within `window_ms` of the one before, and each further one, keeps runs
    away from the worker: for `first_ms`, then twice as long each time, `longest_ms` at most.
    A worker that lives for `window_ms` after its quarantine begins anew.
    """

    def __init__(
        self, *, window_ms: int = 300_000, first_ms: int = 10_000, longest_ms: int = 600_000
    ) -> None:
        self._window_ms = window_ms
        self._first_ms = first_ms
        self._longest_ms = longest_ms
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def __len__(self) -> int:
        """Return how many workers have died lately."""
        return len(self._records)

    def died(self, worker: str, now_ms: int) -> None:
        """A worker was lost, or a run on it stalled."""
        record = self._records.pop(worker, None)
        if record is not None and 0 <= now_ms - record.died_ms < _ONCE_MS:
            self._records[worker] = record
            return
        if record is None or now_ms - max(record.died_ms, record.until_ms) > self._window_ms:
            record = _Record(now_ms)
        else:
            record.died_ms = now_ms
            record.deaths += 1
            length_ms = self._first_ms << min(record.deaths - 2, 30)
            record.until_ms = now_ms + min(length_ms, self._longest_ms)
        self._records[worker] = record
        if len(self._records) > _WORKERS_MAX:
            self._records.popitem(last=False)

    def left_ms(self, worker: str, now_ms: int) -> int:
        """Return for how long the worker is to be given nothing more, 0 if it may be. A clock
        that was set back far ends every quarantine."""
        record = self._records.get(worker)
        if record is None:
            return 0
        left_ms = record.until_ms - now_ms
        return left_ms if 0 < left_ms <= self._longest_ms else 0

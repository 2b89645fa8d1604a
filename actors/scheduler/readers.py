"""Runs whose only reader is gone. Pure.

An edge says every second that it lives (`actor.edge.<id>`, in the life `epoch`). A run of the
API that is not in the background is read by one edge alone: once that one is silent, or lives
a later life, nobody will ever read it, and it is stopped as if its client had left. An edge
that this scheduler never heard is not judged: its account may not let it be heard.
"""

from actors.scheduler.ending import Ending
from actors.scheduler.pool import Effects, Pool
from actors.scheduler.state import Answer

_LOOK_MS = 1_000
_FORGET_MS = 600_000


class Readers:
    """Knows which edges live, and stops what only a dead one read."""

    def __init__(self, pool: Pool, ending: Ending) -> None:
        self._pool = pool
        self._ending = ending
        self._seen: dict[str, tuple[int, int]] = {}
        self._gone: dict[str, int] = {}
        self._looked_ms = 0

    def seen(self, edge: str, epoch: int, now_ms: int) -> None:
        """An edge said that it lives."""
        last = self._seen.get(edge)
        if last is not None and last[0] > epoch:
            return
        if last is not None and last[0] < epoch:
            self._gone[_life(edge, last[0])] = now_ms
        self._gone.pop(_life(edge, epoch), None)
        self._seen[edge] = (epoch, now_ms)

    def tick(self, now_ms: int) -> Effects:
        """Stop the runs of readers that are gone, once a second; a scheduler that was away
        itself for so long has heard nobody meanwhile, and listens anew."""
        since_ms = now_ms - self._looked_ms
        if since_ms < _LOOK_MS:
            return []
        self._looked_ms = now_ms
        if since_ms > 2 * _LOOK_MS:
            self._seen = {edge: (epoch, now_ms) for edge, (epoch, _) in self._seen.items()}
        for edge, (epoch, at_ms) in list(self._seen.items()):
            if now_ms - at_ms > self._pool.config.reader_silent_ms:
                self._gone[_life(edge, epoch)] = now_ms
                del self._seen[edge]
        if not self._gone:
            return []
        unread = [
            run.spec.run_id
            for run in self._pool.runs.values()
            if run.spec.reader in self._gone and not run.cancel
        ]
        for life in [life for life, at_ms in self._gone.items() if now_ms - at_ms > _FORGET_MS]:
            del self._gone[life]
        effects = [e for run_id in unread for e in self._ending.cancel(run_id, "", now_ms)]
        return [effect for effect in effects if not isinstance(effect, Answer)]


def _life(edge: str, epoch: int) -> str:
    """Return what the edge writes into `RunSpec.reader` in this life."""
    return f"{edge}@{epoch}"

"""Which of several workers with room a run goes to. Pure.

The least (pending prefill + uncached prompt) x (batch + 1), as in LMETRIC (arXiv 2603.15202):
the first factor is the work before the run's first token, the second what it must share the
engine with. A warm prefix counts only where it does not crowd a worker, and a hot one, which
has replicas, stays with them, so that it is not computed on every worker in turn.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from actors.scheduler.order import Choice, WorkerRoom
from actors.scheduler.state import Run


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """The runs on all ready workers of a pool, those without room included."""

    runs: int
    workers: int

    def crowds(self, batch: int) -> bool:
        """Say whether a worker with `batch` runs has more than 1.25 times the mean and a run:
        at such a worker a warm prefix attracts no more. (One run more than the mean is no
        crowd: two chats at home on one of two idle workers may both go there.)"""
        return 4 * batch * self.workers > 5 * self.runs + 4 * self.workers


def load_of(rooms: Iterable[WorkerRoom]) -> PoolLoad:
    """Return the load of these workers, for who knows of no others."""
    batches = [room.batch for room in rooms]
    return PoolLoad(sum(batches), len(batches))


def place(
    run: Run,
    rooms: Sequence[WorkerRoom],
    load: PoolLoad,
    replicas: Collection[str] = (),
) -> Choice | None:
    """Return the run with the best worker that it fits, None if it fits nowhere.

    Args:
        replicas: where the run's hot prefix lives (`Replicas.workers`); others are looked at
            only when each of these is crowded or full.
    """
    fitting = []
    for room in rooms:
        warm = room.warm(run)
        if room.fits(run, warm):
            fitting.append((room, warm))
    kept = [it for it in fitting if it[0].worker in replicas and not load.crowds(it[0].batch)]
    if kept:
        fitting = kept
    if not fitting:
        return None
    if len(fitting) == 1:
        room, warm = fitting[0]
        return Choice(run, room.worker, warm)

    def score(candidate: tuple[WorkerRoom, int]) -> tuple[int, int, int]:
        room, warm = candidate
        counted = 0 if load.crowds(room.batch) else warm
        work = room.pending_prefill + run.prompt_length - counted
        return work * (room.batch + 1), room.batch, -warm

    room, warm = min(fitting, key=score)
    return Choice(run, room.worker, warm)


def recompute_us(warm: int, elsewhere: int, prefill_us: int) -> int:
    """Return how long a worker that has `elsewhere` cached tokens of a prompt computes for what
    its home, with `warm` of them, would not, at `prefill_us` a token."""
    return max(0, warm - elsewhere) * prefill_us


def frees_in_us(remaining: Iterable[int], batch: int, decode_tokens_s: int) -> int | None:
    """Return when a full worker has a slot again, by estimate: when the run of it that lacks
    the fewest tokens has them. None if nobody can say.

    Args:
        remaining: predicted output tokens less those generated, for each of its runs; a run
            that has outgrown its prediction may end with any token.
        batch: how many runs share the worker's rate.
        decode_tokens_s: what it generates a second for all of them together.
    """
    least = min((max(1, tokens) for tokens in remaining), default=None)
    if least is None or decode_tokens_s <= 0:
        return None
    return least * max(1, batch) * 1_000_000 // decode_tokens_s


def waits_for_home(frees_us: int | None, lost_us: int) -> bool:
    """Say whether a run had better be passed over until its home has room: that comes sooner
    than another worker would have made up for the lost prefix."""
    return frees_us is not None and frees_us < lost_us

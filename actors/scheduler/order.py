"""The seam of the policy: who is next, and where. Pure.

An order holds the waiting runs and is told all that a policy may charge for. What may run
where (slots, memory, limits) is the rooms' word, the same for every policy; the order chooses
among what fits. Production's is `fair`; `fcfs` is the plain one; the benchmark has others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.scheduler.state import Run


class Warmth(Protocol):
    """What the workers' prefix caches hold."""

    def warm_tokens(self, worker: str, block_keys: Sequence[str]) -> int:
        """Return how many tokens of the prefix that `block_keys` name the worker has cached."""
        ...


@dataclass(slots=True)
class WorkerRoom:
    """What an order may see of a worker with room. `slots` ≥ 1 are free; `kv_tokens` and
    `prefill_tokens` are how many more it takes, None if nobody knows; `pending_prefill` counts
    prompt tokens given and not yet computed; `batch` the runs that it has; `closed` names the
    tiers that may take no slot of the pool now."""

    worker: str
    slots: int
    kv_tokens: int | None
    prefill_tokens: int | None
    pending_prefill: int
    batch: int
    warmth: Warmth
    closed: frozenset[str] = frozenset()

    def warm(self, run: Run) -> int:
        """Return how many of the run's prompt tokens are cached here, at least one fewer than
        there are: the last one is always computed."""
        keys = run.spec.block_keys
        if not keys:
            return 0
        tokens = self.warmth.warm_tokens(self.worker, keys)
        return min(tokens, max(0, run.prompt_length - 1))

    def fits(self, run: Run, warm: int = 0) -> bool:
        """Say whether the run may start here now. An idle worker takes any run; one without
        pending prefill takes any prompt that its memory has room for."""
        if self.slots < 1 or run.spec.tier in self.closed:
            return False
        if self.batch == 0:
            return True
        if self.kv_tokens is not None and run.kv_need > self.kv_tokens:
            return False
        if self.prefill_tokens is None or self.pending_prefill == 0:
            return True
        return run.prompt_length - warm <= self.prefill_tokens


@dataclass(frozen=True, slots=True)
class Choice:
    """A run, the worker that it goes to, and the prompt tokens expected in its cache."""

    run: Run
    worker: str
    cached: int = 0


class Order(Protocol):
    """The waiting runs of a pool. Operations take time that does not grow with their number,
    but for logarithms, unless said otherwise."""

    def __len__(self) -> int:
        """Return how many runs wait."""
        ...

    def push(self, run: Run, now_ms: int) -> None:
        """Let a run wait. One that was dispatched before and not settled has lost its worker:
        it keeps what `run.tokens` tokens cost, and goes before fresh runs."""
        ...

    def remove(self, run: Run) -> None:
        """Take out a waiting run that will not be dispatched; nothing if it does not wait. A
        run that was dispatched before is settled as well."""
        ...

    def next(self, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:
        """Return who is to be dispatched and where, None if nothing fits; it stays waiting."""
        ...

    def dispatched(self, run: Run, cached: int, now_ms: int) -> None:
        """The run is on a worker, where `cached` of its prompt tokens are expected warm:
        charge what is predicted."""
        ...

    def progressed(self, run: Run, tokens: int, now_ms: int) -> None:
        """The run has generated `tokens` tokens in all."""
        ...

    def settled(self, run: Run, cached: int, output: int, now_ms: int) -> None:
        """A run that was dispatched is over; this is what it really used. Again: nothing."""
        ...

    def position(self, run: Run) -> int:
        """Return which one this waiting run is, by estimate; 1 is next."""
        ...

    def ahead(self, tier: str, user_id: str) -> int:
        """Return how many runs would go before a new one of this user, by estimate."""
        ...

    def waiting(self, tier: str) -> int:
        """Return how many runs of the tier wait."""
        ...

    def running(self, tier: str) -> int:
        """Return how many runs of the tier are on workers."""
        ...

    def first(self, limit: int) -> list[Run]:
        """Return up to `limit` waiting runs in the order in which they would go; takes time
        that grows with `limit` and the number of users."""
        ...

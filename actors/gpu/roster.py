"""Which runs are here, and which were."""

from collections import OrderedDict

from actors.gpu.protocol import (
    AbortEngine,
    Appended,
    Claimed,
    Denied,
    Effect,
    Fenced,
    FinishStored,
    Forget,
    Freed,
    LogLost,
    LogRead,
    Output,
)
from actors.gpu.state import Run, Sequence
from contracts.scheduling import RunSettled

CLOSED_MAX = 4096
"""How many runs that ended here are remembered, to answer repeated commands."""

AboutRun = Output | Appended | Claimed | LogRead | Freed | FinishStored | Denied | Fenced | LogLost


class Roster:
    """The runs of a worker, in the order in which they came; at most one attempt of each."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self._closed: OrderedDict[str, tuple[int, RunSettled | None]] = OrderedDict()

    def add(self, run: Run) -> None:
        """Take in a run that is not here."""
        self.runs[run.spec.run_id] = run

    def current(self, message: AboutRun) -> Run | None:
        """Return the run that a message is about; None if that attempt was given up."""
        run = self.runs.get(message.run_id)
        return run if run is not None and run.attempt == message.attempt else None

    def discard(self, run: Run) -> list[Effect]:
        """Let go of a run and of its sequence."""
        del self.runs[run.spec.run_id]
        effects: list[Effect] = []
        if run.sequence is Sequence.RUNNING:
            effects.append(AbortEngine(*run.key))
        return [*effects, Forget(*run.key)]

    def close(self, run_id: str, attempt: int, settled: RunSettled | None) -> None:
        """Remember how an attempt ended here; None: without an end."""
        self._closed[run_id] = (attempt, settled)
        self._closed.move_to_end(run_id)
        if len(self._closed) > CLOSED_MAX:
            self._closed.popitem(last=False)

    def closed(self, run_id: str) -> tuple[int, RunSettled | None]:
        """Return the highest attempt known to have ended here (0: none), and its end."""
        return self._closed.get(run_id, (0, None))

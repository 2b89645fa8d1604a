"""A process that starts while history is away."""

import random

import pytest

from contracts.errors import HistoryUnavailable
from ops.compose.process import open_patiently
from ops.history.memory import MemoryHistory
from tests.simulation.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual


class AwayHistory(MemoryHistory):
    """Can be opened from its `opens_at`th try on."""

    def __init__(self, opens_at: int) -> None:
        super().__init__()
        self.tries = 0
        self._opens_at = opens_at

    async def open(self) -> None:
        self.tries += 1
        if self.tries < self._opens_at:
            raise HistoryUnavailable("no CQL server can be used")


def opened(history: AwayHistory) -> list[str]:
    said: list[str] = []
    loop = VirtualTimeLoop()
    clock = VirtualClock(loop, random.Random(1))
    run_virtual(open_patiently(history, clock, said.append), loop)
    return said


def test_history_that_comes_back_is_waited_for_and_said_once() -> None:
    assert opened(AwayHistory(opens_at=5)) == ["waiting for history: no CQL server can be used"]


def test_history_that_is_there_is_opened_without_a_word() -> None:
    assert opened(AwayHistory(opens_at=1)) == []


def test_history_that_stays_away_is_given_up_after_a_minute() -> None:
    history = AwayHistory(opens_at=1_000)
    with pytest.raises(HistoryUnavailable):
        opened(history)
    assert history.tries == 61

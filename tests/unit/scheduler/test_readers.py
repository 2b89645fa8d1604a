"""Runs that nobody will read any more."""

from typing import Any

from actors.scheduler.config import SchedulerConfig
from actors.scheduler.machine import SchedulerMachine
from actors.scheduler.state import EndRun, ReaderSeen, RunSubmitted, Tick
from contracts.runs import RunSpec, Sampling

CONFIG = SchedulerConfig(pool="p", model="m", context_length=100)


class Rig:
    """A scheduler without workers, so that every run waits, and the time."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.machine = SchedulerMachine(CONFIG, 1, self.now_ms)
        self.wait(1_000)

    def give(self, message: Any) -> list[Any]:
        return list(self.machine.handle(message, self.now_ms))

    def wait(self, ms: int) -> set[str]:
        """Let time pass in ticks; return the runs that were ended."""
        ended: set[str] = set()
        until_ms = self.now_ms + ms
        while self.now_ms < until_ms:
            self.now_ms += 100
            ended |= {e.spec.run_id for e in self.give(Tick()) if isinstance(e, EndRun)}
        return ended

    def submit(self, run_id: str, reader: str) -> None:
        spec = RunSpec(
            run_id=run_id,
            pool="p",
            model="m",
            user_id="u",
            prompt_tokens=(1,),
            sampling=Sampling(max_tokens=1),
            submitted_at_ms=self.now_ms,
            reader=reader,
        )
        self.give(RunSubmitted(spec, len(run_id)))

    def live(self, edge: str, epoch: int, ms: int) -> set[str]:
        """Let an edge say every second that it lives."""
        ended: set[str] = set()
        for _ in range(ms // 1_000):
            self.give(ReaderSeen(edge, epoch))
            ended |= self.wait(1_000)
        return ended


def test_run_of_a_silent_edge_ends_and_others_do_not() -> None:
    rig = Rig()
    rig.live("edge_1", 7, 2_000)
    rig.submit("mine", "edge_1@7")
    rig.submit("anyones", "")
    rig.submit("strangers", "edge_9@1")
    assert rig.live("edge_1", 7, 20_000) == set()
    assert rig.wait(CONFIG.reader_silent_ms + 2_000) == {"mine"}


def test_run_of_an_earlier_life_ends_at_once() -> None:
    rig = Rig()
    rig.live("edge_1", 7, 1_000)
    rig.submit("old", "edge_1@7")
    rig.submit("new", "edge_1@8")
    assert rig.live("edge_1", 8, 2_000) == {"old"}


def test_run_that_comes_after_its_edge_is_gone_ends_too() -> None:
    rig = Rig()
    rig.live("edge_1", 7, 1_000)
    rig.wait(CONFIG.reader_silent_ms + 2_000)
    rig.submit("late", "edge_1@7")
    assert rig.wait(2_000) == {"late"}


def test_scheduler_that_was_away_listens_before_it_judges() -> None:
    rig = Rig()
    rig.live("edge_1", 7, 1_000)
    rig.submit("mine", "edge_1@7")
    rig.now_ms += 60_000
    assert rig.live("edge_1", 7, 15_000) == set()


def test_late_word_of_an_earlier_life_changes_nothing() -> None:
    rig = Rig()
    rig.live("edge_1", 8, 1_000)
    rig.submit("new", "edge_1@8")
    rig.give(ReaderSeen("edge_1", 7))
    assert rig.live("edge_1", 8, 3_000) == set()

"""Nobody who obeys "try again in n s" is refused again at once, in virtual time."""

import random
from dataclasses import dataclass, field
from heapq import heappop, heappush

import pytest

from actors.scheduler.state import Run
from tests.unit.scheduler.test_gate import Desk, tiers

SLOTS = 4
SERVICE_MS = 500
LOOK_MS = 200


@dataclass(order=True)
class Event:
    """A prompt, told `tries` times to come again, or the end of a run."""

    at_ms: float
    number: int
    user: str = field(default="", compare=False)
    tries: int = field(default=0, compare=False)
    ended: Run | None = field(default=None, compare=False)


class Town:
    """Users who send prompts at random times and come again exactly when they are told to."""

    def __init__(self, seed: int, *, load: float, flood: int, minutes: int) -> None:
        self.rng = random.Random(seed)
        limits = {"wait_limit_ms": 20_000, "wait_soft_ms": 10_000, "measures": ()}
        self.desk = Desk(tiers(free=limits), service_ms=SERVICE_MS, queue_max=10**6)
        self.desk.slots = self.free = SLOTS
        self.end_ms = self.desk.now_ms + minutes * 60_000
        self.events: list[Event] = []
        self.number = 0
        self.obeyed = self.refused_again = self.refused = self.failed = 0
        at_ms: float = self.desk.now_ms
        while at_ms < self.end_ms:
            at_ms += self.rng.expovariate(load * SLOTS / SERVICE_MS)
            self.later(at_ms, user=f"user_{self.rng.randrange(2_000)}")
        for _ in range(flood):
            self.later(self.desk.now_ms + 30_000, user="flooder")

    def later(
        self, at_ms: float, *, user: str = "", tries: int = 0, ended: Run | None = None
    ) -> None:
        self.number += 1
        heappush(self.events, Event(at_ms, self.number, user, tries, ended))

    def live(self) -> None:
        look_ms = self.desk.now_ms
        while self.events and self.events[0].at_ms < self.end_ms:
            event = heappop(self.events)
            while look_ms <= event.at_ms:
                self.desk.now_ms, self.desk.room = look_ms, self.free > 0
                self.desk.look()
                look_ms += LOOK_MS
            self.desk.now_ms = int(event.at_ms)
            if event.ended is not None:
                self.finish(event.ended)
            else:
                self.prompt(event)
            self.fill()

    def prompt(self, event: Event) -> None:
        self.obeyed += event.tries > 0
        problem = self.desk.ask(event.user).problem
        if problem is None:
            self.failed += self.desk.submit(self.desk.run(event.user)) != "waits"
            return
        assert problem.retry_after_ms is not None
        self.refused += event.tries == 0
        self.refused_again += event.tries > 0
        self.later(event.at_ms + problem.retry_after_ms, user=event.user, tries=event.tries + 1)

    def finish(self, run: Run) -> None:
        self.desk.placed.remove(run)
        self.desk.order.settled(run, 0, 4, self.desk.now_ms)
        self.desk.gate.ended(run)
        self.free += 1

    def fill(self) -> None:
        while self.free and len(self.desk.order):
            self.free -= 1
            run = self.desk.dispatch()
            took_ms = self.rng.gammavariate(4, SERVICE_MS / 4)
            self.later(self.desk.now_ms + took_ms, ended=run)


@pytest.mark.parametrize(("seed", "load", "flood"), [(1, 1.5, 0), (2, 2.5, 0), (3, 0.7, 200)])
def test_whoever_comes_when_told_is_let_in(seed: int, load: float, flood: int) -> None:
    town = Town(seed, load=load, flood=flood, minutes=3)
    town.live()
    assert town.refused > 50
    assert town.obeyed > 50
    assert (town.refused_again, town.failed) == (0, 0)


def test_under_its_capacity_a_pool_refuses_nobody() -> None:
    town = Town(4, load=0.7, flood=0, minutes=3)
    town.live()
    assert (town.refused, town.failed) == (0, 0)

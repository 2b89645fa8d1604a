"""Who comes when told is let in, whatever others do meanwhile, unless capacity shrank; and gates
that break their word are found out."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from actors.scheduler.admission import Admission
from actors.scheduler.promises import Promises
from contracts.runs import Tier
from tests.unit.scheduler.test_gate import Desk, tiers

SERVICE_MS = 1_000
QUEUE_MAX = 32
BURSTS_MAX = 40
PAID_MS = 10_000


@dataclass(frozen=True)
class Burst:
    """So many prompts of users of a tier that come at once, and the time until the next burst."""

    prompts: int
    tier: Tier
    users: int
    returns: bool
    ms: int


BURSTS = st.builds(
    Burst,
    prompts=st.integers(1, 30),
    tier=st.sampled_from(("free", "free", "free", "paid")),
    users=st.integers(1, 500),
    returns=st.booleans(),
    ms=st.integers(0, 6_000),
)
HISTORIES = st.lists(BURSTS, min_size=1, max_size=BURSTS_MAX)


class Town:
    """A pool that serves one run a second; half of the refused come again exactly when told,
    the others never. Nobody asks for more while they are told to wait: it might be taken for what
    was promised. One of the paid comes in ten seconds, so that what the free are served falls
    little."""

    def __init__(self, broken: Callable[[Admission], None] = lambda _: None) -> None:
        limits = {"wait_limit_ms": 60_000, "wait_soft_ms": 30_000, "measures": ()}
        self.desk = Desk(tiers(free=limits), service_ms=SERVICE_MS, queue_max=QUEUE_MAX)
        self.desk.slots = 1
        broken(self.desk.gate.admission)
        self.number = 0
        self.told: list[tuple[int, int, str, Tier]] = []
        self.served_ms = self.paid_ms = self.desk.now_ms

    def live(self, burst: Burst) -> None:
        paid = burst.tier == "paid"
        if paid and self.desk.now_ms - self.paid_ms < PAID_MS:
            return
        self.paid_ms = self.desk.now_ms if paid else self.paid_ms
        for index in range(1 if paid else burst.prompts):
            user = f"{burst.tier}_{index % burst.users}"
            self.prompt(user, burst.tier, returns=burst.returns)
        self.go_on(self.desk.now_ms + burst.ms)

    def end(self) -> None:
        """Wait until all who were told to have come."""
        while self.told:
            self.go_on(self.told[0][0])
        promises = self.desk.gate.admission.promises
        promises.lapse(self.desk.now_ms + 3_700_000)
        assert len(promises) == 0

    def go_on(self, until_ms: int) -> None:
        while True:
            back_ms = self.told[0][0] if self.told else until_ms + 1
            next_ms = min(self.served_ms + SERVICE_MS, back_ms)
            if next_ms > until_ms:
                break
            self.desk.now_ms = next_ms
            if next_ms == back_ms:
                _, _, user, tier = heappop(self.told)
                assert self.desk.ask(user, tier).problem is None, f"{user} came as told"
                assert self.desk.submit(self.desk.run(user, tier)) == "waits"
                continue
            self.serve()
        self.desk.now_ms = until_ms

    def serve(self) -> None:
        self.served_ms = self.desk.now_ms
        for run in self.desk.placed[:]:
            self.desk.placed.remove(run)
            self.desk.order.settled(run, 0, 4, self.desk.now_ms)
            self.desk.gate.ended(run)
        self.desk.room = not len(self.desk.order)
        if not self.desk.room:
            self.desk.dispatch()
        self.desk.look()

    def prompt(self, user: str, tier: Tier, *, returns: bool) -> None:
        if any(user == told for _, _, told, _ in self.told):
            return
        problem = self.desk.ask(user, tier).problem
        if problem is None:
            self.desk.submit(self.desk.run(user, tier))
            return
        assert problem.retry_after_ms is not None
        if returns:
            self.number += 1
            due_ms = self.desk.now_ms + problem.retry_after_ms
            heappush(self.told, (due_ms, self.number, user, tier))


@settings(max_examples=100, deadline=None)
@given(HISTORIES)
def test_whoever_comes_when_told_is_let_in_whatever_others_do(history: list[Burst]) -> None:
    town = Town()
    for burst in history:
        town.live(burst)
    town.end()


def names_one_time_to_all(admission: Admission) -> None:
    def give(self: Promises, user_id: str, now_ms: int, **_: object) -> int:
        self._remember(user_id, self._due.setdefault(user_id, []), now_ms + 5_000)
        return 5_000

    vars(admission.promises)["give"] = give.__get__(admission.promises)


def forgets_what_it_said(admission: Admission) -> None:
    vars(admission.promises)["call"] = lambda *_: False


def fills_the_queue_with_newcomers(admission: Admission) -> None:
    vars(admission)["_places"] = lambda *_: QUEUE_MAX


def names_half_of_the_time(admission: Admission) -> None:
    give = admission.promises.give

    def hurried(*args: object, **more: object) -> int:
        return give(*args, **more) // 2  # type: ignore[arg-type]

    vars(admission.promises)["give"] = hurried


@pytest.mark.parametrize(
    "broken",
    [
        names_one_time_to_all,
        forgets_what_it_said,
        fills_the_queue_with_newcomers,
        names_half_of_the_time,
    ],
)
def test_a_gate_that_breaks_its_word_is_found_out(broken: Callable[[Admission], None]) -> None:
    def breaks(history: list[Burst]) -> bool:
        town = Town(broken)
        try:
            for burst in history:
                town.live(burst)
            town.end()
        except AssertionError:
            return True
        return False

    try:
        find(
            HISTORIES,
            breaks,
            settings=settings(
                max_examples=2_000, derandomize=True, phases=[Phase.generate], deadline=None
            ),
        )
    except NoSuchExample:
        pytest.fail(f"no history shows what {broken.__name__} does")

"""What a scheduler leaves to the next one: tags, charges, budgets, and who was settled."""

import gc
import random
import weakref

from actors.scheduler.accounts import TierState, UserState
from actors.scheduler.backlog import SCALE
from actors.scheduler.config import BudgetConfig, SchedulerConfig, TierConfig
from actors.scheduler.journal import JournalEntry, Recollection
from actors.scheduler.machine import SchedulerMachine
from actors.scheduler.state import Heard, RunSubmitted, Send, Settle, Tick
from contracts.codec import decode, encode
from contracts.runs import RunOutcome, RunSpec, Sampling, Usage
from contracts.scheduling import RunningRun, RunSettled, StartRun, WorkerGone, WorkerReport

TIERS = {
    "paid": TierConfig(7, 600_000, budget=BudgetConfig(10_000_000, 50)),
    "free": TierConfig(3, 600_000, budget=BudgetConfig(5_000_000, 20)),
}


class Term:
    """One scheduler's term, and the journal that it wrote as it would be stored."""

    def __init__(self, number: int, now_ms: int, known: Recollection | None = None) -> None:
        self.config = SchedulerConfig(
            pool="default", model="m", context_length=64, tiers=TIERS, queue_max=10_000
        )
        self.machine = SchedulerMachine(self.config, number, now_ms, known=known or Recollection())
        self.number = number
        self.entries: list[bytes] = []
        self.on_worker: dict[str, int] = {}
        self.settled: list[int] = []
        self.reports = 0

    def tell(self, message: object, now_ms: int) -> None:
        for effect in self.machine.handle(message, now_ms):  # type: ignore[arg-type]
            if isinstance(effect, Send) and isinstance(effect.command, StartRun):
                self.on_worker[effect.command.spec.run_id] = effect.command.attempt
            elif isinstance(effect, Settle):
                self.settled.append(effect.delivery)
        self.write(now_ms)

    def write(self, now_ms: int) -> None:
        entry = self.machine.journal_entry(now_ms)
        if entry is not None:
            self.entries.append(encode(entry))

    def report(self, now_ms: int, runs: dict[str, int] | None = None) -> None:
        self.reports += 1
        listed = self.on_worker if runs is None else runs
        lines = tuple(
            RunningRun(run_id=r, attempt=a, tokens=1, started=True) for r, a in listed.items()
        )
        report = WorkerReport(
            worker="gpu_a",
            pool="default",
            model="m",
            incarnation=1,
            number=self.number * 1_000_000 + self.reports,
            state="ready",
            slots=8,
            context_length=64,
            engine="sim",
            runs=lines,
            seen=1 << 62,
        )
        self.tell(Heard(report), now_ms)

    def settle(self, run_id: str, tokens: int, now_ms: int) -> None:
        attempt = self.on_worker.pop(run_id)
        usage = Usage(prompt_tokens=10, completion_tokens=tokens)
        outcome = RunOutcome(finish_reason="stop", usage=usage)
        settled = RunSettled(run_id=run_id, attempt=attempt, worker="gpu_a", outcome=outcome)
        self.tell(Heard(settled), now_ms)

    def recollection(self) -> Recollection:
        return Recollection(decode(entry, JournalEntry) for entry in self.entries)

    def tags(self) -> dict[str, object]:
        fair = self.machine._pool.fair
        assert fair is not None
        return {
            name: (
                tier.tag,
                tier.rest,
                tier.virtual,
                tier.charged,
                {u.user_id: u.tag for u in tier.users.values() if u.waiting or u.running},
            )
            for name, tier in fair._tiers.items()
        }


def spec(number: int, user: str, tier: str) -> RunSpec:
    return RunSpec(
        run_id=f"run_{number}",
        pool="default",
        model="m",
        user_id=user,
        tier=tier,  # type: ignore[arg-type]
        prompt_tokens=(1,) * 10,
        sampling=Sampling(max_tokens=100),
        submitted_at_ms=0,
    )


def busy(seed: int, *, steps: int = 120, tokens: int = 0) -> tuple[Term, dict[int, RunSpec], int]:
    """Return a term in the middle of its work, the runs that RUNS still holds, and the time."""
    rng = random.Random(seed)
    term, now_ms = Term(3, 0), 1_000
    held: dict[int, RunSpec] = {}
    term.report(now_ms)
    for number in range(1, steps + 1):
        now_ms += 20
        run = spec(number, f"user_{rng.randrange(6)}", rng.choice(["paid", "free"]))
        held[number] = run
        term.tell(RunSubmitted(run, number), now_ms)
        if term.on_worker and rng.random() < 0.7:
            done = rng.choice(sorted(term.on_worker))
            term.settle(done, tokens or rng.randrange(1, 100), now_ms)
        if number % 5 == 0:
            term.report(now_ms)
            term.tell(Tick(), now_ms)
    for number in term.settled:
        del held[number]
    return term, held, now_ms


def take_over(old: Term, held: dict[int, RunSpec], now_ms: int) -> Term:
    """Let a new scheduler take over: RUNS redelivers, and the worker reports what it has."""
    new = Term(9, now_ms, old.recollection())
    new.on_worker = dict(old.on_worker)
    for number, run in sorted(held.items()):
        new.tell(RunSubmitted(run, number, redelivered=True), now_ms)
    new.report(now_ms)
    return new


def test_tags_charges_and_budgets_survive_a_crash_to_the_unit() -> None:
    for seed in range(12):
        old, held, now_ms = busy(seed)
        new = take_over(old, held, now_ms)
        assert new.tags() == old.tags()
        before, after = old.machine._pool.gate, new.machine._pool.gate
        assert before is not None and after is not None
        assert after.ledger.totals() == before.ledger.totals()
        assert after.ledger.totals().balanced


def test_tags_of_ten_years_of_service_are_charged_and_stored_to_the_unit() -> None:
    charged = 64 * 10 * 366 * 86_400 * 1_000_000
    tag, rest = divmod(charged * SCALE, 7)
    old = TierState("paid", 7, tag, rest, charged, charged, charged, waiting=False)
    entry = decode(encode(JournalEntry(term=1, number=1, virtual=tag, tiers=(old,))), JournalEntry)
    term = Term(3, 0, Recollection([entry]))
    term.report(1_000)
    held = {number: spec(number, f"user_{number % 3}", "paid") for number in range(1, 31)}
    for number, run in held.items():
        term.tell(RunSubmitted(run, number), 1_000 + number)
    for run_id in sorted(term.on_worker):
        term.settle(run_id, 37, 2_000)
    for number in term.settled:
        del held[number]
    fair = term.machine._pool.fair
    assert fair is not None
    tier = fair._tiers["paid"]
    assert tag > 1 << 64 and tier.charged > charged
    assert tier.tag * tier.weight + tier.rest == SCALE * tier.charged
    assert take_over(term, held, 3_000).tags() == term.tags()


def test_queue_goes_on_in_its_order_after_a_crash() -> None:
    old, held, now_ms = busy(5, tokens=50)
    new = take_over(old, held, now_ms)
    new.tell(Tick(), now_ms + 700)
    new.report(now_ms + 700)
    order = []
    for term in (old, new):
        started: list[str] = []
        clock = now_ms + 700
        while term.on_worker:
            clock += 1
            before = set(term.on_worker)
            term.settle(sorted(term.on_worker)[0], 50, clock)
            started += sorted(set(term.on_worker) - before)
        order.append(started)
    assert order[0] == order[1]


def test_settled_run_that_comes_again_is_only_acknowledged() -> None:
    old, held, now_ms = busy(2)
    again = max(old.settled)
    held[again] = spec(again, "user_1", "free")
    new = take_over(old, held, now_ms)
    assert again in new.settled
    assert f"run_{again}" not in new.machine._pool.runs


def test_run_whose_worker_died_with_the_scheduler_goes_first_and_is_charged_once() -> None:
    old, held, now_ms = busy(4)
    lost = set(old.on_worker)
    new = Term(9, now_ms, old.recollection())
    for number, run in sorted(held.items()):
        new.tell(RunSubmitted(run, number, redelivered=True), now_ms)
    new.tell(Heard(WorkerGone(worker="gpu_a")), now_ms)
    new.report(now_ms + 700, runs={})
    waiting = lost - set(new.on_worker)
    tier_of = {run.run_id: run.tier for run in held.values()}
    fresh = {tier_of[run_id] for run_id in set(new.on_worker) - lost}
    assert not fresh & {tier_of[run_id] for run_id in waiting}
    fair = new.machine._pool.fair
    assert fair is not None
    while new.on_worker:
        new.settle(sorted(new.on_worker)[0], 30, now_ms + 800)
    while old.on_worker:
        old.settle(sorted(old.on_worker)[0], 30, now_ms + 800)
    for run_id in [f"run_{number}" for number in held]:
        assert run_id not in new.machine._pool.runs
    charged = {name: tags[3] for name, tags in new.tags().items()}  # type: ignore[index]
    assert charged == {name: tags[3] for name, tags in old.tags().items()}  # type: ignore[index]


def test_journal_from_its_last_whole_lap_on_tells_all_that_counts() -> None:
    old, held, now_ms = busy(7, steps=900)
    entries = [decode(entry, JournalEntry) for entry in old.entries]
    ends = [place for place, entry in enumerate(entries) if entry.whole]
    lap = entries[ends[-1]].lap
    since = next(place for place, entry in enumerate(entries) if entry.lap == lap)
    assert since > 100
    short = Term(9, now_ms, Recollection(entries[since:]))
    short.on_worker = dict(old.on_worker)
    for number, run in sorted(held.items()):
        short.tell(RunSubmitted(run, number, redelivered=True), now_ms)
    short.report(now_ms)
    assert short.tags() == old.tags()


def test_account_of_a_run_that_never_comes_again_is_closed_in_the_end() -> None:
    old, held, now_ms = busy(3)
    gone = next(iter(old.on_worker))
    held = {number: run for number, run in held.items() if run.run_id != gone}
    new = take_over(old, held, now_ms)
    new.on_worker.pop(gone)
    fair = new.machine._pool.fair
    assert fair is not None and gone in fair._accounts
    for second in range(1, 80):
        new.report(now_ms + 1_000 * second)
        new.tell(Tick(), now_ms + 1_000 * second)
    assert gone not in fair._accounts


def test_what_was_promised_is_kept_by_the_next_scheduler() -> None:
    term, now_ms = Term(3, 0), 1_000
    admission = term.machine._pool.gate.admission  # type: ignore[union-attr]
    waits = {
        user: admission.promises.give(user, now_ms, line="free", after_ms=0, turn_us=1_500_000)
        for user in ("ann", "bob", "cleo")
    }
    term.write(now_ms)
    admission.promises.keep("ann", now_ms + waits["ann"])
    term.write(now_ms + waits["ann"])
    other = Term(4, now_ms + 5_000, term.recollection())
    promises = other.machine._pool.gate.admission.promises  # type: ignore[union-attr]
    assert len(promises) == 2
    assert not promises.keep("ann", now_ms + waits["ann"])
    assert not promises.keep("bob", now_ms + waits["bob"] - 1)
    assert promises.keep("bob", now_ms + waits["bob"])
    assert promises.next_ms("free", now_ms) == 4_500
    later_ms = promises.give("dora", now_ms, line="free", after_ms=0, turn_us=1_500_000)
    assert later_ms == 6_000
    term.tell(Tick(), now_ms + 30_000)
    promises.lapse(now_ms + 30_000)
    assert len(promises) == 0


def test_machine_that_is_let_go_in_the_midst_of_a_lap_is_freed_with_its_queue_at_once() -> None:
    term = Term(1, 0)
    for number in range(3):
        term.tell(RunSubmitted(spec(number, f"user_{number}", "paid"), number), 1_000)
    journal = term.machine._pool.journal
    assert journal is not None and journal._parts is not None
    del journal
    order, gate = weakref.ref(term.machine._pool.order), weakref.ref(term.machine._pool.gate)
    gc.collect()
    gc.disable()
    try:
        del term
        assert order() is None
        assert gate() is None
    finally:
        gc.enable()


def test_users_are_restored_in_steps_of_a_thousand_and_all_of_them() -> None:
    users = tuple(UserState("paid", f"user_{n}", n, waiting=True) for n in range(2_500))
    known = Recollection([JournalEntry(term=1, number=1, users=users)])
    machine = Term(2, 0).machine
    order = machine._pool.fair
    assert order is not None
    counts = [len(order._tiers["paid"].users) for _ in machine.remember(known)]
    assert counts[:3] == [1_000, 2_000, 2_500]
    assert [user.tag for user in order._tiers["paid"].users.values()] == list(range(2_500))

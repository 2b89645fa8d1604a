"""Users, workers and a scheduler that may be replaced, around the production machine.

Each event is followed by the checks of the invariants of `scheduling.md` that can be seen then;
`Broken` names the one that does not hold.
"""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass

from actors.scheduler.backlog import SCALE
from actors.scheduler.config import SchedulerConfig, TierConfig
from actors.scheduler.costs import Costs
from actors.scheduler.fair import FairOrder
from actors.scheduler.journal import JournalEntry, Recollection
from actors.scheduler.machine import SchedulerMachine
from actors.scheduler.state import (
    Asked,
    CheckClosed,
    ClosedChecked,
    Effect,
    EndRun,
    EndStored,
    Heard,
    RunSubmitted,
    SchedulerMessage,
    Send,
    Settle,
    Tick,
)
from contracts.codec import decode, encode
from contracts.runs import RunOutcome, RunSpec, Sampling, Usage
from contracts.scheduling import (
    AbortRun,
    CancelQueued,
    DropRun,
    RunningRun,
    RunSettled,
    StartRun,
    WorkerGone,
    WorkerReport,
)

COSTS = Costs(prefill_us=1, cached_us=0, output_us=2)
SLACK = 300
PROMPT_MAX = 120
OUTPUT_MAX = 90


class Broken(AssertionError):
    """An invariant does not hold; its number is the first word."""


def require(truth: bool, invariant: str, story: object = "") -> None:
    """Raise `Broken` unless `truth`."""
    if not truth:
        raise Broken(f"{invariant}: {story}")


@dataclass(slots=True)
class Given:
    """A run that a worker has: its attempt, and what it will have generated in the end."""

    spec: RunSpec
    attempt: int
    length: int
    tokens: int = 0


class World:
    """See the module. `by_tags` False leaves invariant 1 out: what follows from it is to be seen
    by itself."""

    def __init__(
        self, rng: random.Random, *, tiers: dict[str, TierConfig] | None = None, workers: int = 2
    ) -> None:
        self.rng = rng
        self.tiers = tiers or {"paid": TierConfig(7, 1 << 40), "free": TierConfig(3, 1 << 40)}
        self.config = SchedulerConfig(
            pool="p",
            model="m",
            context_length=1 << 20,
            tiers=self.tiers,
            costs=COSTS,
            slack_tokens=SLACK,
            queue_max=1 << 30,
            attempts_max=1 << 30,
        )
        self.now_ms = 0
        self.term = 1
        self.journal: list[bytes] = []
        self.machine = self.new_machine()
        self.now_ms = 1_000
        self.workers: dict[str, dict[str, Given]] = {f"gpu_{n}": {} for n in range(workers)}
        self.alive = dict.fromkeys(self.workers, False)
        self.lives = dict.fromkeys(self.workers, 1)
        self.numbers: Counter[str] = Counter()
        self.slots = 3
        self.specs: dict[str, RunSpec] = {}
        self.lengths: dict[str, int] = {}
        self.delivered: Counter[str] = Counter()
        self.attempts: dict[str, int] = {}
        self.ended: set[str] = set()
        self.settled: Counter[int] = Counter()
        self.deliveries: dict[int, str] = {}
        self.dispatches: list[str] = []
        self.paid: Counter[str] = Counter()
        self.largest = 0
        self.errors: dict[tuple[str, str], int] = defaultdict(int)
        self.by_tags = True

    def new_machine(self) -> SchedulerMachine:
        """Return the machine of the next term, with what the journal tells."""
        known = Recollection(decode(entry, JournalEntry) for entry in self.journal)
        return SchedulerMachine(self.config, self.term, self.now_ms, known=known)

    @property
    def fair(self) -> FairOrder:
        """The order of the present machine."""
        fair = self.machine._pool.fair
        assert fair is not None
        return fair

    # --- events ------------------------------------------------------------------------------

    def submit(self, user: str, tier: str) -> str:
        """A user prompts."""
        number = len(self.specs) + 1
        spec = RunSpec(
            run_id=f"run_{number}",
            pool="p",
            model="m",
            user_id=user,
            tier=tier,  # type: ignore[arg-type]
            prompt_tokens=(1,) * self.rng.randrange(1, PROMPT_MAX),
            sampling=Sampling(max_tokens=OUTPUT_MAX),
            submitted_at_ms=self.now_ms,
        )
        self.specs[spec.run_id] = spec
        self.lengths[spec.run_id] = self.rng.randrange(1, OUTPUT_MAX)
        self.deliveries[number] = spec.run_id
        idle = self.tag(user, tier) is None
        before = self.fair.virtual(tier)
        self.tell(RunSubmitted(spec, number))
        tag = self.tag(user, tier)
        if idle and tag is not None:
            require(tag >= before, "5 idling never creates credit", f"{tag} < {before}")
        return spec.run_id

    def tag(self, user: str, tier: str) -> int | None:
        """Return the tag of a user with runs waiting."""
        known = self.fair._tiers[tier].users.get(user)
        return known.tag if known is not None and known.waiting else None

    def finish(self, worker: str, run_id: str) -> None:
        """A worker ends a run by itself."""
        given = self.workers[worker][run_id]
        self._end(worker, given, given.length, "stop")

    def _end(self, worker: str, given: Given, tokens: int, reason: str) -> None:
        run_id = given.spec.run_id
        del self.workers[worker][run_id]
        outcome = None
        if run_id not in self.ended and self.attempts[run_id] == given.attempt:
            self.ended.add(run_id)
            usage = Usage(prompt_tokens=len(given.spec.prompt_tokens), completion_tokens=tokens)
            outcome = RunOutcome(finish_reason=reason, usage=usage)  # type: ignore[arg-type]
            self.paid[run_id] = COSTS.charge(len(given.spec.prompt_tokens), 0, tokens)
        said = RunSettled(run_id=run_id, attempt=given.attempt, worker=worker, outcome=outcome)
        self.tell(Heard(said))

    def work(self, worker: str) -> None:
        """A worker generates, and reports."""
        for given in self.workers[worker].values():
            given.tokens = min(given.length, given.tokens + self.rng.randrange(60))
            run_id = given.spec.run_id
            self.delivered[run_id] = max(self.delivered[run_id], given.tokens)
        self.report(worker)

    def report(self, worker: str) -> None:
        """A worker that lives, or begins to, reports."""
        self.alive[worker] = True
        self.numbers[worker] += 1
        lines = tuple(
            RunningRun(run_id=r, attempt=g.attempt, tokens=g.tokens, started=g.tokens > 0)
            for r, g in self.workers[worker].items()
        )
        report = WorkerReport(
            worker=worker,
            pool="p",
            model="m",
            incarnation=self.lives[worker],
            number=self.numbers[worker],
            state="ready",
            slots=self.slots,
            context_length=1 << 20,
            engine="sim",
            runs=lines,
            seen=1 << 62,
        )
        self.tell(Heard(report))

    def die(self, worker: str) -> None:
        """A worker dies, with all that it has."""
        self.alive[worker] = False
        self.lives[worker] += 1
        self.workers[worker].clear()
        self.tell(Heard(WorkerGone(worker=worker)))

    def cancel(self, run_id: str) -> None:
        """A user stops a run."""
        if run_id not in self.ended:
            self.tell(Asked(CancelQueued(run_id=run_id), ""))

    def crash(self) -> None:
        """The scheduler dies, and a standby takes over: tags and charges are as they were."""
        before = self.memory()
        self.term += 1
        self.machine = self.new_machine()
        owed = [n for n, run_id in self.deliveries.items() if not self.settled[n]]
        for number in owed:
            spec = self.specs[self.deliveries[number]]
            self.tell(RunSubmitted(spec, number, redelivered=True), check=False)
        for worker, alive in self.alive.items():
            if alive:
                self.report(worker)
        held = {r for given in self.workers.values() for r in given}
        if held.issuperset(before[1]):
            require(self.memory()[0] == before[0], "12 crash-replay gives the tags", before[0])
        self.now_ms += 1_000
        for worker, alive in self.alive.items():
            if alive:
                self.report(worker)
        self.tell(Tick())

    def memory(self) -> tuple[dict[str, object], set[str]]:
        """Return what a take-over must not change, and the runs on workers by the accounts."""
        tags: dict[str, object] = {
            name: (
                tier.tag,
                tier.rest,
                tier.virtual,
                tier.charged,
                {u.user_id: u.tag for u in tier.users.values() if u.waiting or u.running},
            )
            for name, tier in self.fair._tiers.items()
        }
        return tags, set(self.fair._accounts)

    def tick(self, ms: int) -> None:
        """Time passes; who lives says so."""
        self.now_ms += ms
        for worker, alive in self.alive.items():
            if alive:
                self.work(worker)
        self.tell(Tick())

    # --- the machine and what it wants ----------------------------------------------------------

    def tell(self, message: SchedulerMessage, *, check: bool = True) -> None:
        """Tell the machine, keep its journal, do what it wants, and look at everything."""
        tiers = {
            name: (tier.tag, tier.rest, tier.charged, len(tier), tier.virtual)
            for name, tier in self.fair._tiers.items()
        }
        effects = self.machine.handle(message, self.now_ms)
        entry = self.machine.journal_entry(self.now_ms)
        if entry is not None:
            self.journal.append(encode(entry))
        later: list[SchedulerMessage] = []
        for effect in effects:
            self._perform(effect, later)
        if check:
            self._check_tiers(tiers)
            self._check_room()
        for reply in later:
            self.tell(reply, check=check)
        if check and not later:
            self._check_users()
            self._check_charges()

    def _perform(self, effect: Effect, later: list[SchedulerMessage]) -> None:
        match effect:
            case Send(worker, StartRun() as start):
                self._start(worker, start)
            case Send(worker, AbortRun(run_id=run_id, attempt=attempt)):
                given = self.workers[worker].get(run_id)
                if given is not None and given.attempt == attempt and self.alive[worker]:
                    self._abort(worker, given, later)
            case Send(worker, DropRun(run_id=run_id, attempt=attempt)):
                given = self.workers[worker].get(run_id)
                if given is not None and given.attempt == attempt:
                    del self.workers[worker][run_id]
            case EndRun(spec, _, _):
                require(spec.run_id not in self.ended, "9 one terminal state", spec.run_id)
                self.ended.add(spec.run_id)
                later.append(EndStored(spec.run_id))
            case CheckClosed(run_id):
                later.append(ClosedChecked(run_id, closed=run_id in self.ended))
            case Settle(delivery):
                self.settled[delivery] += 1
                require(self.settled[delivery] == 1, "9 settled once", delivery)
                require(self.deliveries[delivery] in self.ended, "9 settled at its end", delivery)

    def _abort(self, worker: str, given: Given, later: list[SchedulerMessage]) -> None:
        run_id = given.spec.run_id
        del self.workers[worker][run_id]
        if run_id in self.ended:
            return
        self.ended.add(run_id)
        usage = Usage(prompt_tokens=len(given.spec.prompt_tokens), completion_tokens=given.tokens)
        outcome = RunOutcome(finish_reason="cancelled", usage=usage)
        self.paid[run_id] = COSTS.charge(len(given.spec.prompt_tokens), 0, given.tokens)
        later.append(
            Heard(RunSettled(run_id=run_id, attempt=given.attempt, worker=worker, outcome=outcome))
        )

    def _start(self, worker: str, start: StartRun) -> None:
        run_id = start.spec.run_id
        require(run_id not in self.ended, "9 a run that ended is started", run_id)
        known = self.attempts.get(run_id, 0)
        again = self.workers[worker].get(run_id)
        repeated = again is not None and again.attempt == start.attempt
        require(start.attempt > known or repeated, "9 one live epoch", f"{run_id} {known}")
        self.attempts[run_id] = start.attempt
        if repeated:
            return
        self.dispatches.append(run_id)
        if self.alive[worker]:
            length = self.lengths[run_id]
            tokens = min(length, self.delivered[run_id])
            self.workers[worker][run_id] = Given(start.spec, start.attempt, length, tokens)

    # --- invariants -----------------------------------------------------------------------------

    def _check_tiers(self, before: dict[str, tuple[int, int, int, int, int]]) -> None:
        for name, (tag, rest, charged, waited, virtual) in before.items():
            tier = self.fair._tiers[name]
            require(tier.virtual >= virtual, "8 v is monotone", name)
            moved = (tier.tag - tag) * tier.weight + tier.rest - rest
            exact = moved == SCALE * (tier.charged - charged)
            jumped = waited == 0 and moved > SCALE * (tier.charged - charged)
            require(exact or jumped, "8 a tier's increment is its children's charges", name)

    def _check_charges(self) -> None:
        """What tiers were charged is what ended runs cost and open accounts hold."""
        open_charges = sum(
            COSTS.charge(account.uncached, account.cached, account.output)
            for account in self.fair._accounts.values()
        )
        closed = sum(
            cost for run_id, cost in self.paid.items() if run_id not in self.fair._accounts
        )
        total = sum(tier.charged for tier in self.fair._tiers.values())
        lost = self.lost_in_ending()
        require(closed <= total - open_charges <= closed + lost, "8 charges", (total, closed))

    def lost_in_ending(self) -> int:
        """What runs that the scheduler ended without a worker's word may have delivered."""
        return sum(
            COSTS.charge(len(self.specs[run_id].prompt_tokens), 0, self.delivered[run_id])
            for run_id in self.ended
            if run_id not in self.paid
        )

    def _check_users(self) -> None:
        """Invariant 1, by the largest run, and what is or was uncertain of each user."""
        for name, tier in self.fair._tiers.items():
            for user_id in tier.users:
                self._note_error(name, user_id)
            backlogged = [user for user in tier.users.values() if user.mark]
            if len(backlogged) < 2 or not self.by_tags:
                continue
            low = min(backlogged, key=lambda user: user.tag)
            for user in backlogged:
                error = self.errors[name, user.user_id] + self.errors[name, low.user_id]
                bound = SLACK + self.largest + error
                require(user.tag - low.tag <= bound, "1 backlogged users stay together", name)

    def _note_error(self, tier: str, user_id: str) -> None:
        error = 0
        for run_id, account in self.fair._accounts.items():
            if (account.tier, account.user_id) == (tier, user_id):
                prompt = len(self.specs[run_id].prompt_tokens)
                actual = COSTS.charge(prompt, 0, self.lengths[run_id])
                charged = COSTS.charge(prompt, 0, account.predicted)
                self.largest = max(self.largest, charged)
                error += max(abs(actual - charged), actual, charged)
        key = (tier, user_id)
        self.errors[key] = max(self.errors[key], error)

    def _check_room(self) -> None:
        """Invariant 6: without limits of memory, nobody waits while a worker has a place."""
        pool = self.machine._pool
        if pool.listening(self.now_ms) or not len(pool.order):
            return
        free = [name for name, _ in pool.workers.with_room()]
        well = [n for n in free if not pool.quarantine.left_ms(n, self.now_ms)]
        require(not well, "6 work is conserved", f"{well} idle")

    def drain(self) -> None:
        """Without new prompts, and with workers that work, every run ends, once."""
        for _ in range(40 * (1 + len(self.specs))):
            if len(self.ended) == len(self.specs):
                break
            for worker in self.workers:
                self.report(worker)
                for run_id in list(self.workers[worker])[:1]:
                    self.finish(worker, run_id)
            self.tick(100)
        waiting = set(self.specs) - self.ended
        require(not waiting, "4 no starvation", sorted(waiting))
        for worker in self.workers:
            self.report(worker)
        self.tick(100)
        unsettled = [n for n in self.deliveries if not self.settled[n]]
        require(not unsettled, "9 every run is settled", unsettled)


def play(seed: int, steps: int = 150) -> World:
    """Play a random history and drain it."""
    rng = random.Random(seed)
    world = World(rng)
    for worker in world.workers:
        world.report(worker)
    for _ in range(steps):
        step(world, rng)
    world.drain()
    return world


def step(world: World, rng: random.Random) -> None:
    """Let one thing happen."""
    worker = rng.choice(sorted(world.workers))
    match rng.choices(range(6), (40, 30, 15, 3, 8, 2))[0]:
        case 0:
            tier = rng.choice(sorted(world.tiers))
            world.submit(f"user_{rng.randrange(4)}", tier)
        case 1 if world.workers[worker] and world.alive[worker]:
            world.finish(worker, rng.choice(sorted(world.workers[worker])))
        case 2:
            world.tick(rng.choice((20, 100, 300)))
        case 3:
            world.die(worker)
        case 4 if world.specs:
            world.cancel(rng.choice(sorted(world.specs)))
        case 5:
            world.crash()
        case _:
            world.report(worker)

"""However badly news of the caches travel, the index ends up with what they hold."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.gpu.prefix_mirror import PrefixMirror
from actors.gpu.sim_cache import SimPrefixCache
from actors.scheduler.prefixes import PrefixIndex
from contracts.block_keys import BLOCK_TOKENS, prompt_keys
from contracts.scheduling import PrefixChanged, WorkerReport

PROMPTS = [
    (*range(100 * stem, 100 * stem + 40 * blocks), *range(tail, tail + 33))
    for stem in range(3)
    for blocks in (1, 3, 5)
    for tail in (7, 8)
]
WORKERS = ("gpu_1", "gpu_2")


class Worker:
    """A cache, what it says, and a way on which anything may happen to that."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.incarnation = 0
        self.reports = 0
        self.waiting: list[PrefixChanged | WorkerReport] = []
        self.begin()

    def begin(self) -> None:
        self.incarnation += 1
        self.reports = 0
        self.cache = SimPrefixCache(32, 24, seed=self.incarnation)
        self.mirror = PrefixMirror(self.name, self.incarnation, message_keys_max=4)

    def prompt(self, which: int) -> None:
        tokens = PROMPTS[which % len(PROMPTS)]
        cached = self.cache.begin("r", tokens)
        self.cache.computed("r", tokens[cached:])
        self.cache.end("r")
        self.mirror.changed(self.cache.take_changes())

    def report(self) -> None:
        self.reports += 1
        self.waiting += self.mirror.news()
        self.waiting.append(
            WorkerReport(
                worker=self.name,
                pool="default",
                model="m",
                incarnation=self.incarnation,
                number=self.reports,
                state="ready",
                slots=1,
                context_length=1,
                engine="sim",
                prefixes=self.mirror.number,
            )
        )


class World:
    """Two workers and an index; `now_ms` only grows."""

    def __init__(self, index: PrefixIndex) -> None:
        self.index = index
        self.now_ms = 0
        self.workers = {name: Worker(name) for name in WORKERS}

    def take(self, message: PrefixChanged | WorkerReport) -> None:
        hear = (
            self.index.reported(message, self.now_ms)
            if isinstance(message, WorkerReport)
            else self.index.heard(message, self.now_ms)
        )
        if hear:
            worker = self.workers[message.worker]
            worker.waiting += worker.mirror.everything()

    def settle(self) -> None:
        """Let everything arrive from now on."""
        for _ in range(4):
            self.now_ms += 2_000
            for worker in self.workers.values():
                worker.report()
                while worker.waiting:
                    self.take(worker.waiting.pop(0))
        self.index.expire(self.now_ms + 10_000)

    def agrees(self) -> bool:
        keys = [prompt_keys(prompt) for prompt in PROMPTS]
        return all(
            self.index.warm_tokens(name, each) == worker.mirror.warm_tokens(each)
            for name, worker in self.workers.items()
            for each in keys
        )


STEPS = st.lists(
    st.tuples(
        st.sampled_from(WORKERS),
        st.sampled_from(
            ["prompt", "prompt", "prompt", "report", "take", "take", "take", "lose", "double",
             "swap", "restart", "speculate", "forget", "wait"]
        ),
        st.integers(0, 40),
    ),
    max_size=80,
)  # fmt: skip


def _play(world: World, steps: list[tuple[str, str, int]]) -> None:
    for name, step, number in steps:
        worker = world.workers[name]
        way = worker.waiting
        match step:
            case "prompt":
                worker.prompt(number)
            case "report":
                worker.report()
            case "restart":
                worker.begin()
            case "speculate":
                keys = prompt_keys(PROMPTS[number % len(PROMPTS)])
                world.index.speculate(name, keys, world.now_ms)
            case "forget":
                world.index.forget(name)
            case "wait":
                world.now_ms += 100 * number
            case "take" if way:
                world.take(way.pop(0))
            case "lose" if way:
                way.pop(number % len(way))
            case "double" if way:
                way.append(way[number % len(way)])
            case "swap" if len(way) > 1:
                place = number % (len(way) - 1)
                way[place : place + 2] = reversed(way[place : place + 2])


@given(steps=STEPS)
@settings(deadline=None)
def test_index_agrees_with_the_caches_once_messages_arrive_again(
    steps: list[tuple[str, str, int]],
) -> None:
    world = World(PrefixIndex())
    _play(world, steps)
    world.settle()
    assert world.agrees()


class Deaf(PrefixIndex):
    """Takes a gap for nothing."""

    def heard(self, changed: PrefixChanged, now_ms: int) -> bool:
        super().heard(changed, now_ms)
        return False

    def reported(self, report: WorkerReport, now_ms: int) -> bool:
        super().reported(report, now_ms)
        return False


def test_index_that_takes_a_gap_for_nothing_is_found_out() -> None:
    world = World(Deaf())
    worker = world.workers["gpu_1"]
    worker.prompt(4)
    worker.report()
    worker.waiting.clear()
    world.settle()
    assert not world.agrees()


JUNK = st.builds(
    PrefixChanged,
    worker=st.sampled_from([*WORKERS, "", "nobody"]),
    incarnation=st.integers(-(2**63), 2**63),
    number=st.integers(-(2**63), 2**63),
    stored=st.lists(st.text(max_size=20)).map(tuple),
    removed=st.lists(st.text(max_size=20)).map(tuple),
    cleared=st.booleans(),
)


@given(junk=st.lists(JUNK, max_size=30), now=st.lists(st.integers(-(10**6), 10**15), max_size=30))
@settings(max_examples=50, deadline=None)
def test_junk_bounds_what_the_index_claims_and_holds(
    junk: Sequence[PrefixChanged], now: list[Any]
) -> None:
    index = PrefixIndex(worker_keys_max=20, keys_max=40)
    keys = prompt_keys(PROMPTS[-1])
    for message, now_ms in zip(junk, now, strict=False):
        index.heard(message, now_ms)
        index.speculate(message.worker, keys, now_ms)
        assert len(index) <= 40
        for worker in (*WORKERS, "", "nobody"):
            assert 0 <= index.warm_tokens(worker, keys) <= len(keys) * BLOCK_TOKENS

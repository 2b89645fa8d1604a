"""The machine sends runs where their prompts are warm."""

from typing import Any

import pytest
from msgspec.structs import replace

from actors.scheduler.state import Effect, Heard, RunSubmitted, Send
from contracts.block_keys import prompt_keys
from contracts.scheduling import PrefixChanged, ResendPrefixes, StartRun, WorkerGone, WorkerReport
from tests.unit.scheduler.test_machine import Pool, of, spec, starts

PROMPT = tuple(range(400))
KEYS = prompt_keys(PROMPT)


class WarmPool(Pool):
    """Two idle workers, of which the second in the order of names is to be found out."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        for worker in ("gpu_a", "gpu_b"):
            self.hear(worker)

    def hear(self, worker: str, *, number: int = 1, prefixes: int = 0, **more: Any) -> list[Effect]:
        fields: dict[str, Any] = {"slots": 4, "context_length": 1_000, "engine": "sim"}
        report = WorkerReport(
            worker=worker,
            pool="default",
            model="m",
            incarnation=1,
            number=number,
            state="ready",
            prefixes=prefixes,
            **(fields | more),
        )
        return self.tell(Heard(report))

    def warm(self, worker: str, number: int = 1, **more: Any) -> list[Effect]:
        changed = PrefixChanged(
            worker=worker, incarnation=1, number=number, **({"stored": KEYS} | more)
        )
        return self.tell(Heard(changed))

    def prompt(self, run_id: str, **more: Any) -> str:
        self.deliveries += 1
        made = replace(spec(run_id), prompt_tokens=PROMPT, block_keys=KEYS, **more)
        ((worker, _),) = starts(self.tell(RunSubmitted(made, self.deliveries)))
        return worker


@pytest.mark.parametrize("warm", ["gpu_a", "gpu_b"])
def test_run_goes_to_the_worker_that_has_its_prompt(warm: str) -> None:
    pool = WarmPool()
    pool.warm(warm)
    assert pool.prompt("run_1") == warm


def test_run_follows_one_with_its_prompt_before_the_worker_has_said_so() -> None:
    pool = WarmPool()
    first = pool.prompt("run_1")
    assert pool.prompt("run_2") == first


def test_worker_that_served_the_chat_last_wins_among_equals() -> None:
    pool = WarmPool()
    pool.warm("gpu_a")
    pool.warm("gpu_b")
    assert pool.prompt("run_1", home="gpu_b") == "gpu_b"


def test_home_that_has_lost_the_prompt_is_no_home() -> None:
    pool = WarmPool()
    pool.warm("gpu_a")
    assert pool.prompt("run_1", home="gpu_b") == "gpu_a"


def test_run_of_a_pool_without_affinity_goes_by_load_alone() -> None:
    pool = WarmPool(affinity=False)
    pool.warm("gpu_b")
    first = pool.prompt("run_1", home="gpu_b")
    assert pool.prompt("run_2") != first


def test_worker_whose_news_are_missing_is_asked_for_all() -> None:
    pool = WarmPool()
    asked = [Send("gpu_a", ResendPrefixes())]
    assert of(Send, pool.warm("gpu_a", number=2)) == asked
    pool.now_ms += 1_000
    assert of(Send, pool.hear("gpu_a", number=2, prefixes=5)) == asked
    assert of(Send, pool.warm("gpu_a", number=6, cleared=True)) == []
    assert pool.prompt("run_1") == "gpu_a"


def test_cache_of_a_dead_worker_is_forgotten() -> None:
    pool = WarmPool()
    pool.warm("gpu_b")
    pool.tell(Heard(WorkerGone(worker="gpu_b", incarnation=1)))
    assert pool.prompt("run_1") == "gpu_a"


def test_lies_about_a_cache_cost_no_run() -> None:
    pool = WarmPool()
    pool.warm("gpu_b", number=10**12, stored=(*KEYS, "", "nonsense" * 1_000), removed=KEYS)
    pool.warm("nobody")
    sent = {pool.prompt(f"run_{n}") for n in range(8)}
    assert sent == {"gpu_a", "gpu_b"}
    assert all(
        isinstance(send.command, StartRun | ResendPrefixes) for send in of(Send, pool.tick())
    )

import dataclasses
from collections import Counter

import pytest

from actors.scheduler.config import default_tiers
from contracts.runs import RunSpec, Sampling, Tier
from contracts.scheduling import StartRun
from ops.bench.schedule.gpu import Gpu, GpuModel
from ops.bench.schedule.history import Fault
from ops.bench.schedule.policies.dlpm import Dlpm
from ops.bench.schedule.policies.plain import FirstCome, Lmetric, RoundRobinUsers, RoundRobinWorkers
from ops.bench.schedule.policies.room import PeakRoom
from ops.bench.schedule.policies.vtc import Vtc, VtcLast, VtcTold
from ops.bench.schedule.prompts import OpenWorkload, Prompt, Record, Workload
from ops.bench.schedule.scenario import Contender, Scenario, play
from ops.bench.schedule.worker import Worker
from ops.bench.schedule.workloads.chats import Chats, ChatShape
from ops.bench.schedule.workloads.synthetic import fixed, uniform, variable
from ops.bench.schedule.workloads.tiers import TierLoad

_PLAIN = Contender("FCFS", lambda _: FirstCome())
_CONTENDERS = [
    _PLAIN,
    Contender("round robin", lambda _: RoundRobinUsers()),
    Contender("round robin over workers", lambda setting: RoundRobinWorkers(setting.workers)),
    Contender("LMETRIC", lambda setting: Lmetric(setting.workers)),
    Contender("VTC", lambda _: Vtc()),
    Contender("VTC, last", lambda _: VtcLast()),
    Contender("VTC, oracle", lambda setting: VtcTold(setting.lengths)),
    Contender("DLPM", lambda _: Dlpm()),
    Contender("production"),
]
_GPU = GpuModel(kv_tokens=20_000, step_us=10_000, sequence_us=300, block_tokens=32)
_SHAPE = ChatShape(heavy_users=2, light_users=6, heavy_rate=0.3, light_rate=0.05, duration_s=30)


def _chats(seed: int) -> Workload:
    return Chats(_SHAPE, seed)


def _overload(seed: int) -> Workload:
    return uniform([1.5, 3], 20, variable(), seed)


@pytest.mark.parametrize("contender", _CONTENDERS, ids=lambda contender: contender.name)
@pytest.mark.parametrize("workload", [_chats, _overload], ids=["chats", "overload"])
def test_simulation_serves_every_prompt_once_and_whole(
    contender: Contender, workload: object
) -> None:
    make = _chats if workload is _chats else _overload
    outcome = play(Scenario("small", make, gpus=(_GPU, _GPU)), contender, seed=1)
    assert len(outcome.records) > 60
    assert Counter(record.ending for record in outcome.records) == {"served": len(outcome.records)}
    for record in outcome.records:
        assert record.output_tokens == record.prompt.output_tokens
        assert record.cached_tokens < record.prompt.prompt_tokens
        assert record.dispatches == 1
        assert record.dispatched_us is not None
        assert record.first_us is not None
        assert record.end_us is not None
        assert record.prompt.at_us <= record.dispatched_us < record.first_us <= record.end_us


def test_simulation_of_one_seed_is_one_history() -> None:
    scenario = Scenario("small", _chats, gpus=(_GPU, _GPU))
    one = play(scenario, Contender("production"), seed=3)
    again = play(scenario, Contender("production"), seed=3)
    other = play(scenario, Contender("production"), seed=4)
    assert [dataclasses.astuple(r) for r in one.records] == [
        dataclasses.astuple(r) for r in again.records
    ]
    assert [r.end_us for r in one.records] != [r.end_us for r in other.records]


def test_simulation_of_two_prompts_has_the_times_that_arithmetic_gives() -> None:
    prompts = [Prompt(f"p{n}", "someone", 0, 450, 2, 2) for n in range(2)]
    gpu = GpuModel(jitter=0.0)
    scenario = Scenario("tiny", lambda _: OpenWorkload(prompts), gpus=(gpu,))
    first, second = play(scenario, _PLAIN, seed=0).records
    # The first is alone in its step; the second joins the next, beside one decoding sequence.
    assert (first.first_us, first.end_us) == (118_000, 118_000 + 119_050)
    assert (second.first_us, second.end_us) == (118_000 + 119_050, 118_000 + 119_050 + 19_050)


def test_simulation_first_come_first_served_starts_in_order_of_arrival() -> None:
    scenario = Scenario("overload", lambda seed: uniform([2, 3], 20, fixed(256, 128), seed))
    records = play(scenario, _PLAIN, seed=0).records
    begun = sorted(records, key=lambda record: record.dispatched_us or 0)
    assert [r.prompt.at_us for r in begun] == sorted(r.prompt.at_us for r in records)


def test_vtc_serves_backlogged_clients_alike_and_fcfs_by_their_rates() -> None:
    scenario = Scenario(
        "overload", lambda seed: uniform([2, 6], 60, fixed(256, 256), seed), until_s=60
    )

    def shares(contender: Contender) -> float:
        served = Counter[str]()
        for record in play(scenario, contender, seed=0).records:
            served[record.prompt.user] += record.dispatched_us is not None
        return served["client-1"] / served["client-0"]

    limited = Contender("VTC", lambda told: PeakRoom(VtcTold(told.lengths), 10_000))
    plain = Contender("FCFS", lambda _: PeakRoom(FirstCome(), 10_000))
    assert shares(limited) == pytest.approx(1.0, abs=0.1)
    assert shares(plain) == pytest.approx(3.0, rel=0.15)


def test_simulation_with_deaths_loses_no_prompt_and_serves_none_twice() -> None:
    deaths = (
        Fault(4_000_000, "gpu-0", 5_000_000),
        Fault(8_000_000, "scheduler", 2_500_000),
        Fault(9_000_000, "gpu-1", 5_000_000),
    )
    scenario = Scenario("deaths", _chats, gpus=(_GPU, _GPU), faults=deaths)
    records = play(scenario, Contender("production"), seed=2).records
    assert Counter(record.ending for record in records) == {"served": len(records)}
    assert all(record.output_tokens == record.prompt.output_tokens for record in records)
    assert any(record.dispatches > 1 for record in records)


def test_worker_told_twice_to_start_a_run_writes_it_once() -> None:
    worker = Worker("gpu-0", "default", Gpu(_GPU, seed=0))
    spec = RunSpec(
        run_id="p",
        pool="default",
        model="simulated",
        user_id="someone",
        prompt_tokens=(1,) * 10,
        sampling=Sampling(max_tokens=5),
        submitted_at_ms=0,
    )
    record = Record(Prompt("p", "someone", 0, 10, 5, 5))
    worker.start(StartRun(spec=spec, attempt=1), record)
    worker.start(StartRun(spec=spec, attempt=1), record)
    assert [run.name for run in worker.gpu.all()] == ["p"]


def test_simulation_behind_an_edge_refuses_or_serves_each_prompt_of_an_overload() -> None:
    rates: dict[Tier, float] = {"paid": 1.0, "free": 30.0}
    users: dict[Tier, int] = {"paid": 5, "free": 20}
    scenario = Scenario(
        "gated",
        lambda seed: TierLoad(rates, users, 30, seed),
        gpus=(_GPU,),
        tiers=default_tiers(),
        gated=True,
    )
    records = play(scenario, Contender("production"), seed=0).records
    assert {record.ending for record in records} <= {"served", "refused"}
    assert any(record.tries > 1 for record in records)
    assert all(r.ending == "served" for r in records if r.prompt.tier == "paid")

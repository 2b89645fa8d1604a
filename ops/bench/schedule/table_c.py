"""Table C: chats on shared prefixes, several GPUs, heavy users beside light ones."""

from collections.abc import Mapping, Sequence

from ops.bench.schedule.contenders import many_gpus
from ops.bench.schedule.gpu import GpuModel
from ops.bench.schedule.history import Outcome
from ops.bench.schedule.measures import (
    backlogged_gap,
    goodput,
    hit_rate,
    jain,
    percentile,
    service,
    throughput_within,
    tpots,
    ttfts,
    work_cost,
)
from ops.bench.schedule.prompts import Record
from ops.bench.schedule.scenario import Scenario
from ops.bench.schedule.tables import Column, Progress, Report, figures, sample
from ops.bench.schedule.workloads.chats import Chats, ChatShape

SHAPE = ChatShape()
GPU = GpuModel(
    kv_tokens=160_000,
    step_us=12_000,
    sequence_us=250,
    prefill_tokens_s=12_000,
    slots=48,
    block_tokens=32,
)
_WARM_UP_S = 60.0
COLUMNS = (
    Column("tokens_s", "tok/s"),
    Column("hit", "hit rate", 3),
    Column("goodput", "goodput (TTFT < 2 s), run/s", 1),
    Column("light_p50", "light p50, s", 2),
    Column("light_p99", "light p99, s", 2),
    Column("heavy_p99", "heavy p99, s", 0),
    Column("tpot_p50", "TPOT p50, ms", 0),
    Column("gap", "largest gap"),
    Column("jain", "Jain, heavy", 4),
)


def chat_scenario(name: str = "C", shape: ChatShape = SHAPE, gpu: GpuModel = GPU) -> Scenario:
    """Return the workload on four GPUs."""
    return Scenario(
        name, lambda seed: Chats(shape, seed), gpus=(gpu,) * 4, until_s=shape.duration_s
    )


def measure(outcome: Outcome) -> Mapping[str, float]:
    """Return the table's figures, between the warm-up and the end."""
    records, until_s = outcome.records, SHAPE.duration_s
    later = [record for record in records if record.prompt.at_us >= _WARM_UP_S * 1e6]
    light = [record for record in later if record.prompt.user.startswith("light")]
    heavy = [record for record in later if record.prompt.user.startswith("heavy")]
    users = sorted({record.prompt.user for record in heavy})
    times_s = [_WARM_UP_S + 2 * index for index in range(int((until_s - _WARM_UP_S) / 2))]
    served = service(heavy, _WARM_UP_S, until_s, work_cost)
    return {
        "tokens_s": throughput_within(records, _WARM_UP_S, until_s),
        "hit": hit_rate(later),
        "goodput": goodput(records, _WARM_UP_S, until_s, 2.0),
        "light_p50": percentile(_waits(light, until_s), 0.5),
        "light_p99": percentile(_waits(light, until_s), 0.99),
        "heavy_p99": percentile(_waits(heavy, until_s), 0.99),
        "tpot_p50": percentile(tpots(later), 0.5) * 1e3,
        "gap": backlogged_gap(records, users, times_s),
        "jain": jain(served.values()),
    }


def _waits(records: Sequence[Record], until_s: float) -> list[float]:
    """Return the times to the first token; who still waits at the end counts as if it came
    then: what is too late must not look as if it had not been asked for."""
    late = [until_s - r.prompt.at_us / 1e6 for r in records if r.first_us is None]
    return [*ttfts(records), *late]


def table_c(seeds: Sequence[int], progress: Progress) -> Report:
    """Play the chats under each policy."""
    found = {c.name: sample(chat_scenario(), c, seeds, measure, progress) for c in many_gpus()}
    vtc, dlpm, own = found["VTC"], found["DLPM 5k"], list(found.values())[-1]
    gates = (
        ("≥ 1.15 × VTC's throughput", own["tokens_s"].mean / vtc["tokens_s"].mean, ">=", 1.15),
        ("≥ DLPM's throughput", own["tokens_s"].mean / dlpm["tokens_s"].mean, ">=", 1.0),
        ("largest gap ≤ DLPM's", own["gap"].mean / dlpm["gap"].mean, "<=", 1.0),
        ("hit rate ≥ DLPM's", own["hit"].mean / dlpm["hit"].mean, ">=", 1.0),
        ("light p99 ≤ DLPM's", own["light_p99"].mean / dlpm["light_p99"].mean, "<=", 1.0),
    )
    report = Report()
    report.add(
        "## C. Prefixes on several GPUs",
        _setting(len(seeds)),
        figures(found, COLUMNS, "policy"),
        "Gates: "
        + "; ".join(
            f"{name}: {ratio:.2f} ({_verdict(ratio, relation, limit)})"
            for name, ratio, relation, limit in gates
        )
        + ".",
    )
    return report


def _setting(seeds: int) -> str:
    turns = f"{SHAPE.turns_least} to {SHAPE.turns_most} turns"
    hot = f"{SHAPE.hot_share:.0%} of them on one prefix of {SHAPE.hot_tokens:,} tokens"
    return (
        "4 GPUs (KV 160,000 tokens and 48 slots each, steps of 12 ms + 0.25 ms × batch, prefill "
        "at 12,000 tok/s, prefix cache in what running answers leave), 4 heavy and 60 light "
        f"users, chats of {turns} that wait for their answers, {hot}, "
        f"{SHAPE.duration_s:.0f} s, overloaded; {seeds} seeds, 95 % intervals. tok/s counts "
        "prompts, cached or not, and answers. Gap: of two heavy users' service in work (uncached "
        "+ 0.1 cached + 2 × out) while both wait."
    )


def _verdict(ratio: float, relation: str, limit: float) -> str:
    return "reached" if (ratio >= limit if relation == ">=" else ratio <= limit) else "missed"

"""Beyond A to D: Mooncake's conversations, and what single choices of the policy give."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ops.bench.schedule.contenders import many_gpus, slack_ablation
from ops.bench.schedule.history import Outcome
from ops.bench.schedule.measures import (
    backlogged_gap,
    goodput,
    hit_rate,
    percentile,
    throughput_within,
    ttfts,
)
from ops.bench.schedule.scenario import Scenario
from ops.bench.schedule.table_c import COLUMNS, GPU, chat_scenario, measure
from ops.bench.schedule.tables import Column, Progress, Report, figures, sample
from ops.bench.schedule.workloads.traces import MOONCAKE_TRACE, mooncake, trace_file

_UNTIL_S = 1_800.0
_WARM_UP_S = 60.0
_GPUS = 4
_BIG_GPU = replace(GPU, kv_tokens=400_000)
_HEAVY = 4
_MOONCAKE = (
    Column("tokens_s", "tok/s"),
    Column("hit", "hit rate", 3),
    Column("goodput", "goodput (TTFT < 5 s), run/s", 2),
    Column("p50", "TTFT p50, s", 2),
    Column("p99", "p99, s", 1),
    Column("light_p50", "light users' p50, s", 2),
    Column("light_p99", "p99, s", 1),
    Column("gap", "largest gap of the 4 heaviest"),
)


def _measure(outcome: Outcome) -> Mapping[str, float]:
    records = [r for r in outcome.records if r.prompt.at_us >= _WARM_UP_S * 1e6]
    asked: Counter[str] = Counter()
    for record in outcome.records:
        asked[record.prompt.user] += record.prompt.prompt_tokens
    heavy = [user for user, _ in asked.most_common(_HEAVY)]
    light = [record for record in records if record.prompt.user not in heavy]
    times_s = [_WARM_UP_S + 2 * index for index in range(int((_UNTIL_S - _WARM_UP_S) / 2))]
    return {
        "tokens_s": throughput_within(outcome.records, _WARM_UP_S, _UNTIL_S),
        "hit": hit_rate(records),
        "goodput": goodput(records, _WARM_UP_S, _UNTIL_S, 5.0),
        "p50": percentile(ttfts(records), 0.5),
        "p99": percentile(ttfts(records), 0.99),
        "light_p50": percentile(ttfts(light), 0.5),
        "light_p99": percentile(ttfts(light), 0.99),
        "gap": backlogged_gap(outcome.records, heavy, times_s),
    }


def table_mooncake(folder: Path | None, seeds: Sequence[int], progress: Progress) -> Report:
    """Play the first half hour of Mooncake's conversations under each policy.

    Raises TraceMissing.
    """
    file = trace_file(folder, MOONCAKE_TRACE)
    scenario = Scenario(
        "Mooncake",
        partial(mooncake, file, until_s=_UNTIL_S),
        gpus=(_BIG_GPU,) * _GPUS,
        until_s=_UNTIL_S * 2,
    )
    found = {c.name: sample(scenario, c, seeds, _measure, progress) for c in many_gpus()}
    report = Report()
    report.add(
        "## Mooncake's conversations",
        f"The first {_UNTIL_S:.0f} s of the trace (mean 12,000 tokens in, 343 out) on {_GPUS} "
        "GPUs as in table C, with 400,000 tokens of KV each. Requests that share a prefix beyond "
        "the first block are a chat; chats belong to 200 users by a Zipf draw (s = 1.1), seeded. "
        f"Answers are not in the trace's blocks, so none is cached. {len(seeds)} seeds.",
        figures(found, _MOONCAKE, "policy"),
    )
    return report


def table_ablation(seeds: Sequence[int], progress: Progress) -> Report:
    """Play table C's chats with other slacks."""
    scenario = chat_scenario("slack")
    found = {c.name: sample(scenario, c, seeds, measure, progress) for c in slack_ablation()}
    report = Report()
    report.add(
        "## What the slack gives",
        f"Production's order on table C's chats; Q in tokens of prefill; {len(seeds)} seeds.",
        figures(found, COLUMNS, "slack"),
    )
    return report

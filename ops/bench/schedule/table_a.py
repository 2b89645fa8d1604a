"""Table A: VTC's own trace, to be believed before anything else is."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from ops.bench.schedule.contenders import own_room, single_gpu
from ops.bench.schedule.gpu import GpuModel
from ops.bench.schedule.history import Outcome
from ops.bench.schedule.measures import percentile, throughput, ttfts, windowed_differences
from ops.bench.schedule.scenario import Scenario
from ops.bench.schedule.tables import Column, Progress, Report, figures, markdown_table, sample
from ops.bench.schedule.workloads.traces import traces_folder, vtc_real

_UNTIL_S = 600.0
_PUBLISHED = (
    ("FCFS", "760", "434", "32,112", "777"),
    ("VTC", "368", "252", "6,549", "779"),
    ("VTC, mean of last 5", "365", "240", "5,322", "773"),
    ("VTC, oracle", "329", "228", "4,476", "781"),
)
_COLUMNS = (
    Column("max", "difference: max"),
    Column("avg", "avg"),
    Column("var", "var"),
    Column("tokens_s", "tok/s"),
    Column("ttft_p50", "TTFT p50, s", 2),
    Column("ttft_p99", "p99, s", 1),
)


def _measure(outcome: Outcome) -> Mapping[str, float]:
    differences = windowed_differences(outcome.records, _UNTIL_S)
    waits = ttfts(outcome.records)
    return {
        "max": max(differences),
        "avg": statistics.fmean(differences),
        "var": statistics.pvariance(differences),
        "tokens_s": throughput(outcome.records),
        "ttft_p50": percentile(waits, 0.5),
        "ttft_p99": percentile(waits, 0.99),
    }


def table_a(folder: Path | None, seeds: Sequence[int], progress: Progress) -> Report:
    """Play VTC's trace under each policy.

    Raises TraceMissing.
    """
    where = traces_folder(folder)
    plain = Scenario("A", lambda _: vtc_real(where))
    limited = Scenario(
        "A, own room rule",
        lambda _: vtc_real(where, declared=False),
        gpus=(GpuModel(kv_tokens=11_112),),
    )
    published = markdown_table(["as published", "max", "avg", "var", "tok/s"], _PUBLISHED)
    report = Report()
    report.add(
        "## A. VTC's real trace",
        "1,500 requests of 27 users; one GPU with 10,000 tokens of KV, steps of 18 ms + 1.05 ms "
        f"× batch, prefill at 4,500 tok/s, ± 4 % jitter a step; {len(seeds)} seeds, 95 % "
        "intervals. Answers' lengths are declared and the artifact's room rule holds, as there.",
        published,
        figures(
            {c.name: sample(plain, c, seeds, _measure, progress) for c in single_gpu()},
            _COLUMNS,
            "simulated",
        ),
        "The same trace with lengths unknown (each run declares at most 1,024) and the "
        "production machine's own room rule:",
        figures(
            {c.name: sample(limited, c, seeds, _measure, progress) for c in own_room()},
            _COLUMNS,
            "simulated",
        ),
    )
    return report

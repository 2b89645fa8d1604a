"""Table D: tiers under free overload, admission, degradation, and failures under load."""

import statistics
from collections.abc import Mapping, Sequence

from actors.scheduler.config import default_tiers
from contracts.runs import Tier
from ops.bench.schedule.contenders import OWN
from ops.bench.schedule.gpu import GpuModel
from ops.bench.schedule.history import Fault, Outcome
from ops.bench.schedule.intervals import Estimate
from ops.bench.schedule.measures import percentile, tpots, ttfts
from ops.bench.schedule.plots import Line, line_chart
from ops.bench.schedule.policies.plain import FirstCome
from ops.bench.schedule.prompts import Record
from ops.bench.schedule.scenario import Contender, Scenario
from ops.bench.schedule.tables import Column, Progress, Report, figures, sample
from ops.bench.schedule.workloads.tiers import TierLoad

GPU = GpuModel(
    kv_tokens=160_000, step_us=12_000, sequence_us=250, prefill_tokens_s=12_000, slots=48
)
CAPACITY_RUNS_S = 27.0
"""What four of these GPUs serve of this mix when all always have work (measured so)."""

_PAID_SHARE = 0.3
_UNTIL_S = 180.0
_WARM_UP_S = 40.0
_FREE_LOADS = (0.0, 0.5, 1.0, 1.5, 3.0, 5.0)
_WAITED_S = 0.5
_COLUMNS = (
    Column("paid_p50", "paid TTFT p50, s", 3),
    Column("paid_p99", "p99, s", 3),
    Column("paid_tpot", "paid TPOT p50, ms", 1),
    Column("free_p50", "free TTFT p50, s", 2),
    Column("free_p99", "p99, s", 1),
    Column("paid_shed", "paid refused, %", 2),
    Column("free_shed", "free told to come again, %", 1),
    Column("named", "in how many s, p50", 0),
    Column("back", "came when told"),
    Column("free_served", "free served, run/s", 1),
    Column("shortened", "free shortened, %", 0),
    Column("again", "of them refused again, %", 2),
    Column("eta", "ETA: median error ÷ wait", 2),
)
_USERS: dict[Tier, int] = {"paid": 400, "free": 4_000}
_FAILURES = (
    Column("prompts", "prompts"),
    Column("served", "served"),
    Column("refused", "refused"),
    Column("failed", "failed"),
    Column("lost", "without an end"),
    Column("inexact", "answers too long or short"),
    Column("moved", "given to a second worker"),
    Column("paid_p99", "paid TTFT p99, s", 2),
)


def _load(free: float, seed: int) -> TierLoad:
    rates: dict[Tier, float] = {
        "paid": _PAID_SHARE * CAPACITY_RUNS_S,
        "free": free * CAPACITY_RUNS_S,
    }
    return TierLoad(rates, _USERS, _UNTIL_S, seed)


def tier_scenario(free: float, faults: tuple[Fault, ...] = ()) -> Scenario:
    """Return paid load at 0.3 and free load at `free` times what the GPUs can serve."""
    return Scenario(
        f"D, free × {free:g}" + (", with deaths" if faults else ""),
        lambda seed: _load(free, seed),
        gpus=(GPU,) * 4,
        until_s=_UNTIL_S * 3,
        tiers=default_tiers(),
        gated=True,
        faults=faults,
    )


def _measure(outcome: Outcome) -> Mapping[str, float]:
    later = [r for r in outcome.records if _WARM_UP_S <= r.prompt.at_us / 1e6 < _UNTIL_S]
    paid = [record for record in later if record.prompt.tier == "paid"]
    free = [record for record in later if record.prompt.tier == "free"]
    told = [r for r in later if r.promised_ms is not None]
    back = [record for record in outcome.records if _came_back(record)]
    return {
        "paid_p99": percentile(ttfts(paid), 0.99),
        "paid_p50": percentile(ttfts(paid), 0.5),
        "paid_tpot": percentile(tpots(paid), 0.5) * 1e3,
        "free_p50": percentile(_after_return(free), 0.5) if free else 0.0,
        "free_p99": percentile(_after_return(free), 0.99) if free else 0.0,
        "paid_shed": _percent([record.ending == "refused" for record in paid]),
        "free_shed": _percent([r.tries > 1 or r.ending == "refused" for r in free]),
        "named": statistics.median((r.promised_ms or 0) / 1e3 for r in told) if told else 0.0,
        "back": len(back),
        "free_served": _ended_s(outcome.records, "free"),
        "shortened": _percent(
            [r.output_tokens < r.prompt.output_tokens for r in free if r.ending == "served"]
        ),
        "again": _percent([record.ending == "refused" for record in back]),
        "eta": _eta_error(later),
    }


def _came_back(record: Record) -> bool:
    """Whether the user was told to come again, and did while the load lasted."""
    if record.promised_ms is None:
        return False
    return _WARM_UP_S <= record.prompt.at_us / 1e6 + record.promised_ms / 1e3 < _UNTIL_S


def _after_return(records: Sequence[Record]) -> list[float]:
    """Return the times to the first token of those who were let in at once: who was told to
    come back waited where no spinner was shown."""
    return ttfts(record for record in records if record.tries == 1)


def _ended_s(records: Sequence[Record], tier: Tier) -> float:
    """Return the answers of a tier that ended, a second, while the load lasted."""
    ended = sum(
        record.ending == "served"
        and record.prompt.tier == tier
        and _WARM_UP_S <= (record.end_us or 0) / 1e6 < _UNTIL_S
        for record in records
    )
    return ended / (_UNTIL_S - _WARM_UP_S)


def _percent(flags: Sequence[bool]) -> float:
    return 100 * sum(flags) / len(flags) if flags else 0.0


def _eta_error(records: Sequence[Record]) -> float:
    """Return the median of |told − waited| ÷ waited, of those that waited half a second."""
    errors = []
    for record in records:
        if record.told_ms is None or record.dispatched_us is None or record.tries > 1:
            continue
        waited_s = (record.dispatched_us - record.prompt.at_us) / 1e6
        if waited_s >= _WAITED_S:
            errors.append(abs(record.told_ms / 1e3 - waited_s) / waited_s)
    return statistics.median(errors) if errors else 0.0


def _measure_failures(outcome: Outcome) -> Mapping[str, float]:
    records = outcome.records
    served = [record for record in records if record.ending == "served"]
    paid = [record for record in records if record.prompt.tier == "paid"]
    return {
        "prompts": len(records),
        "served": len(served),
        "refused": sum(record.ending == "refused" for record in records),
        "failed": sum(record.ending == "failed" for record in records),
        "lost": sum(record.end_us is None for record in records),
        "inexact": sum(r.output_tokens > r.prompt.output_tokens for r in served),
        "moved": sum(record.dispatches > 1 for record in records),
        "paid_p99": percentile(ttfts(paid), 0.99),
    }


def table_d(seeds: Sequence[int], progress: Progress) -> Report:
    """Play free overload, then deaths under load."""
    own = Contender(OWN)
    found = {
        f"{free:g} ×": sample(tier_scenario(free), own, seeds, _measure, progress)
        for free in _FREE_LOADS
    }
    plain = Contender("FCFS", lambda _: FirstCome())
    fcfs = {
        f"FCFS, {free:g} ×": sample(tier_scenario(free), plain, seeds[:3], _measure, progress)
        for free in (1.0, 3.0)
    }
    deaths = (
        Fault(60_000_000, "gpu-1", 15_000_000),
        Fault(90_000_000, "scheduler", 2_500_000),
        Fault(120_000_000, "gpu-2", 15_000_000),
        Fault(121_000_000, "scheduler", 2_500_000),
    )
    failures = {
        f"free × {free:g}": sample(
            tier_scenario(free, deaths), own, seeds, _measure_failures, progress
        )
        for free in (0.6, 1.5)
    }
    report = Report()
    report.add(
        "## D. Tiers and failures",
        f"Four GPUs that serve {CAPACITY_RUNS_S:g} such prompts a second; paid load 0.3 of that "
        f"from {_USERS['paid']} users, free load as said from {_USERS['free']}; admission, "
        "degradation and weights 100 : 10 as in production. Who is refused comes back once, "
        "when told; counted are those who did while the load lasted. "
        f"{len(seeds)} seeds, 95 % intervals, without the first {_WARM_UP_S:.0f} s.",
        figures({**found, **fcfs}, _COLUMNS, "free load"),
        _verdict(found),
        "![TTFT by tier](d-ttft-by-load.svg)",
        "Deaths under load: a GPU of four (second 60, 120; back after 15 s, cold) and the "
        "scheduler (90, 121; another after 2.5 s, with its predecessor's journal):",
        figures(failures, _FAILURES, "free load"),
    )
    report.plots["d-ttft-by-load.svg"] = _plot(found)
    return report


def _verdict(found: Mapping[str, Mapping[str, Estimate]]) -> str:
    rows = list(found.values())
    alone = rows[0]["paid_p99"].mean
    worst = max(row["paid_p99"].mean for row in rows) / alone
    return (
        f"Paid p99 without free load: {alone:.3f} s; the worst under free load is {worst:.2f} × "
        f"that ({'reached' if worst <= 1.1 else 'missed'}: within 10 %)."
    )


def _plot(found: Mapping[str, Mapping[str, Estimate]]) -> str:
    loads = [float(name.split(" ", maxsplit=1)[0]) for name in found]
    lines = [
        Line(title, list(zip(loads, (row[key].mean for row in found.values()), strict=True)))
        for key, title in (
            ("paid_p50", "paid, p50"),
            ("paid_p99", "paid, p99"),
            ("free_p50", "free, p50"),
            ("free_p99", "free, p99"),
        )
    ]
    return line_chart(
        "Time to first token by tier against free load",
        "free load, × capacity (paid load 0.3)",
        "TTFT, s",
        lines,
        log_y=True,
    )

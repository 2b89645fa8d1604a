"""Table B: VTC's synthetic workloads, and the same with lengths that no average tells."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from contracts.runs import Tier
from ops.bench.schedule.contenders import own_room, single_gpu
from ops.bench.schedule.gpu import GpuModel
from ops.bench.schedule.history import Outcome
from ops.bench.schedule.intervals import shown
from ops.bench.schedule.measures import (
    accumulated_gap,
    percentile,
    service,
    ttfts,
    windowed_differences,
)
from ops.bench.schedule.plots import Line, line_chart
from ops.bench.schedule.prompts import OpenWorkload
from ops.bench.schedule.scenario import TABLE_A_GPU, Contender, Scenario, open_tiers, play
from ops.bench.schedule.tables import Progress, Report, markdown_table, sample
from ops.bench.schedule.workloads.synthetic import (
    Lengths,
    fixed,
    short_and_long,
    uniform,
    variable,
)

_SAME = fixed(256, 256)
_EIGHT = (0.4, 0.4, 0.4, 0.6, 0.6, 0.6, 0.6, 0.6)
_WEIGHTS = {f"client-{index}": index + 1 for index in range(4)}
_UNTOLD_GPU = GpuModel(kv_tokens=11_112)


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A workload of the table: its figure, what was published of it, what is to be reached."""

    name: str
    figure: str
    published: str
    target: str
    scenario: Scenario
    measure: Callable[[Outcome], float]
    contenders: tuple[Contender, ...]
    digits: int = 0


def _gap(outcome: Outcome, until_s: float) -> float:
    return accumulated_gap(outcome.records, until_s)


def _weight_error(outcome: Outcome) -> float:
    """Return by how many percent the share furthest from its weight is off."""
    served = service(outcome.records, 30, 360)
    total, weights = sum(served.values()), sum(_WEIGHTS.values())
    shares = [served[user] * weights / (total * weight) for user, weight in _WEIGHTS.items()]
    return max(abs(share - 1) for share in shares) * 100


def _weighted(seed: int) -> OpenWorkload:
    """Return four clients in tiers that weigh 1 to 4."""
    rates = (0.8, 0.8, 1.2, 1.6)
    return uniform(rates, 360, _SAME, seed, tiers=[cast("Tier", user) for user in _WEIGHTS])


def _rows() -> list[Synthetic]:
    same, mixed = tuple(single_gpu()), tuple(own_room())

    def scenario(
        name: str, make: Callable[[int], OpenWorkload], until_s: float, *, told: bool = True
    ) -> Scenario:
        gpu = TABLE_A_GPU if told else _UNTOLD_GPU
        return Scenario(f"B, {name}", make, gpus=(gpu,), until_s=until_s)

    def overload(lengths: Lengths) -> Callable[[int], OpenWorkload]:
        return lambda seed: uniform((1.5, 3), 360, lengths, seed)

    def eight(lengths: Lengths) -> Callable[[int], OpenWorkload]:
        return lambda seed: uniform(_EIGHT, 360, lengths, seed)

    def mix(lengths: Lengths) -> Callable[[int], OpenWorkload]:
        return lambda seed: short_and_long(8, 1.5, 600, lengths, seed)

    weighted = Scenario("B, weights 1:2:3:4", _weighted, until_s=460, tiers=open_tiers(_WEIGHTS))
    return [
        Synthetic(
            "overload, 1.5 + 3 req/s", "accumulated gap", "137k / 9,050 / 345", "≤ 345",
            scenario("overload", overload(_SAME), 460), partial(_gap, until_s=360), same,
        ),
        Synthetic(
            "8 clients", "accumulated gap", "34.8k / 2,976 / 746", "≤ 746",
            scenario("8 clients", eight(_SAME), 660), partial(_gap, until_s=600), same,
        ),
        Synthetic(
            "weights 1:2:3:4", "largest error of a share, %", "– / 0.1 / –", "≤ 0.5",
            weighted, _weight_error, tuple(single_gpu(_WEIGHTS)), 2,
        ),
        Synthetic(
            "on-off under its share", "light client's p50 TTFT, s", "84.7 / 2.68 / –", "≤ 2.7",
            scenario(
                "on-off under its share",
                lambda seed: uniform((0.5, 2), 600, _SAME, seed, on_off_s=60), 900,
            ),
            _light_p50, same, 2,
        ),
        Synthetic(
            "on-off overload", "max difference", "1,317 / 223 / –", "< 223",
            scenario(
                "on-off overload",
                lambda seed: uniform((2, 3), 600, _SAME, seed, on_off_s=60), 700,
            ),
            _largest_difference, same,
        ),
        Synthetic(
            "short (8 req/s) against long (1.5)", "accumulated gap", "205k / 5.2k / –", "< 5.2k",
            scenario("short against long", mix(_SAME), 700), partial(_gap, until_s=600), same,
        ),
        Synthetic(
            "overload, variable lengths, untold", "accumulated gap", "–", "–",
            scenario("overload, variable", overload(variable()), 480, told=False),
            partial(_gap, until_s=360), mixed,
        ),
        Synthetic(
            "8 clients, variable lengths, untold", "accumulated gap", "–", "–",
            scenario("8 clients, variable", eight(variable()), 680, told=False),
            partial(_gap, until_s=600), mixed,
        ),
        Synthetic(
            "short against long, variable, untold", "accumulated gap", "–", "–",
            scenario("short against long, variable", mix(variable()), 720, told=False),
            partial(_gap, until_s=600), mixed,
        ),
    ]  # fmt: skip


def _light_p50(outcome: Outcome) -> float:
    light = [record for record in outcome.records if record.prompt.user == "client-0"]
    return percentile(ttfts(light), 0.5)


def _largest_difference(outcome: Outcome) -> float:
    return max(windowed_differences(outcome.records, 600))


def table_b(seeds: Sequence[int], progress: Progress) -> Report:
    """Play every workload under every policy."""
    rows = _rows()
    names = [contender.name for contender in rows[-1].contenders]
    lines = []
    for row in rows:
        cells = {}
        for contender in row.contenders:
            found = sample(row.scenario, contender, seeds, _as_mapping(row.measure), progress)
            cells[contender.name] = shown(found["figure"], row.digits)
        figures = [cells.get(name, "–") for name in names]
        lines.append([row.name, row.figure, row.published, row.target, *figures])
    headers = ["workload", "figure", "published: FCFS / VTC / oracle", "to reach", *names]
    report = Report()
    report.add(
        "## B. Synthetic, 256 in / 256 out",
        f"One GPU as in table A; {len(seeds)} seeds (phases, draws and jitter), 95 % intervals. "
        "Gap: largest difference of two clients' service (in + 2 × out) since second 30. "
        "“Untold”: runs declare at most 1,024 tokens and the production room rule holds.",
        markdown_table(headers, lines),
    )
    report.plots |= _service_plots(seeds[0])
    report.add(*(f"![service over time]({name})" for name in report.plots))
    return report


def _as_mapping(measure: Callable[[Outcome], float]) -> Callable[[Outcome], Mapping[str, float]]:
    return lambda outcome: {"figure": measure(outcome)}


def _service_plots(seed: int) -> dict[str, str]:
    """Return each client's service over time in the on-off overload, for three policies."""
    row = next(row for row in _rows() if row.name == "on-off overload")
    times = [30.0 + 10 * index for index in range(55)]
    plots = {}
    for contender in row.contenders:
        if contender.name not in ("FCFS", "VTC", row.contenders[-1].name):
            continue
        records = play(row.scenario, contender, seed).records
        rates = [service(records, at - 30, at + 30) for at in times]
        lines = [
            Line(user, [(at, rate[user] / 60) for at, rate in zip(times, rates, strict=True)])
            for user in sorted(rates[0])
        ]
        name = contender.name.strip("*")
        plots[f"b-on-off-{name.lower()}.svg"] = line_chart(
            f"On-off overload, {name}: service of each client",
            "time, s",
            "in + 2 × out, tokens/s (60 s window)",
            lines,
        )
    return plots

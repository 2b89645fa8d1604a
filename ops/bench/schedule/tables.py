"""Samples over seeds, and the Markdown that shows them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ops.bench.schedule.history import Outcome
from ops.bench.schedule.intervals import Estimate, estimate, shown
from ops.bench.schedule.scenario import Contender, Scenario, play

Progress = Callable[[str], None]
Measure = Callable[[Outcome], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of the measure by its key, how it is headed, and its digits."""

    key: str
    title: str
    digits: int = 0


@dataclass(slots=True)
class Report:
    """What a command leaves: Markdown, and pictures by file name."""

    markdown: str = ""
    plots: dict[str, str] = field(default_factory=dict)

    def add(self, *paragraphs: str) -> None:
        """Append paragraphs."""
        self.markdown += "".join(f"{paragraph}\n\n" for paragraph in paragraphs)


def sample(
    scenario: Scenario,
    contender: Contender,
    seeds: Sequence[int],
    measure: Measure,
    progress: Progress,
) -> dict[str, Estimate]:
    """Play the scenario once for each seed. Returns each figure's mean and interval."""
    found: dict[str, list[float]] = {}
    for seed in seeds:
        outcome = play(scenario, contender, seed)
        for key, value in measure(outcome).items():
            found.setdefault(key, []).append(value)
        found.setdefault("decisions_s", []).append(outcome.cost.decisions_s)
    estimates = {key: estimate(values) for key, values in found.items()}
    first = next(iter(estimates))
    progress(f"{scenario.name}: {contender.name}: {first} {shown(estimates[first], 1)}")
    return estimates


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is left-aligned and all others right-aligned."""
    rule = ["---", *("---:" for _ in headers[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (headers, rule, *rows))


def figures(
    samples: Mapping[str, Mapping[str, Estimate]], columns: Sequence[Column], first: str
) -> str:
    """Return the table of the samples by contender."""
    rows = [
        [name, *(shown(found[column.key], column.digits) for column in columns)]
        for name, found in samples.items()
    ]
    return markdown_table([first, *(column.title for column in columns)], rows)

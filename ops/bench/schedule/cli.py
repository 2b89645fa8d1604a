"""`parley bench schedule`."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import click

from ops.bench.schedule.table_a import table_a
from ops.bench.schedule.table_b import table_b
from ops.bench.schedule.table_c import table_c
from ops.bench.schedule.table_d import table_d
from ops.bench.schedule.table_more import table_ablation, table_mooncake
from ops.bench.schedule.tables import Progress, Report
from ops.bench.schedule.truth import compare_live
from ops.bench.schedule.workloads.traces import TraceMissing, traces_folder

_LIVE_PROMPTS = 300
Build = Callable[[Path | None, list[int], Progress], Report]
_TABLES: dict[str, Build] = {
    "A": table_a,
    "B": lambda _, seeds, progress: table_b(seeds, progress),
    "C": lambda _, seeds, progress: table_c(seeds, progress),
    "D": lambda _, seeds, progress: table_d(seeds, progress),
    "mooncake": lambda traces, seeds, progress: table_mooncake(
        traces_folder(traces), seeds, progress
    ),
    "ablation": lambda _, seeds, progress: table_ablation(seeds, progress),
}


@click.command()
@click.option(
    "--table", "names", type=click.Choice(list(_TABLES), case_sensitive=False), multiple=True,
    help="Only this one; repeatable.",
)  # fmt: skip
@click.option("--seeds", default=10, show_default=True, type=click.IntRange(1, 100))
@click.option(
    "--traces", type=click.Path(path_type=Path, file_okay=False), help="Where recorded traces are."
)
@click.option("--live", is_flag=True, help="Compare the simulator with a real engine instead.")
@click.option("--model", default="parley-small", metavar="NAME_OR_PATH", help="For --live.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write it there too.")
def schedule(
    *,
    names: tuple[str, ...],
    seeds: int,
    traces: Path | None,
    live: bool,
    model: str,
    out: Path | None,
) -> None:
    """Measure the production scheduler in virtual time against other schedulers' orders."""
    begun_s = time.monotonic()

    def progress(line: str) -> None:
        click.echo(f"{time.monotonic() - begun_s:6.0f} s  {line}", err=True)

    if live:
        report = asyncio.run(compare_live(model, _LIVE_PROMPTS, progress))
        click.echo(report.markdown)
        _write(out, "live", report)
        return
    for name in names or tuple(_TABLES):
        try:
            report = _TABLES[name](traces, list(range(seeds)), progress)
        except TraceMissing as missing:
            click.echo(f"Table {name} is left out: {missing}\n")
            continue
        click.echo(report.markdown)
        _write(out, f"table-{name.lower()}", report)


def _write(out: Path | None, name: str, report: Report) -> None:
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(report.markdown)
    for file, picture in report.plots.items():
        (out / file).write_text(picture)

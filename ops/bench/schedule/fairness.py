"""`parley bench fairness`: a light user beside a flooder, live on a real engine."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ops.bench.schedule.live import Answered, Ask, Caller
from ops.bench.schedule.measures import percentile
from ops.bench.schedule.tables import markdown_table
from ops.bench.servers import parley_stack, user_key
from ops.model_files import find_model

_LIGHT_OUTPUT, _FLOOD_OUTPUT = 32, 128
_PROMPT = 128


@dataclass(frozen=True, slots=True)
class Flood:
    """`prompts` at once from one user, while another asks `light` times, every `every_s`."""

    prompts: int
    light: int
    every_s: float


@click.command()
@click.option("--model", default="parley-small", show_default=True, metavar="NAME_OR_PATH")
@click.option("--prompts", default=200, show_default=True, type=click.IntRange(1, 2_000))
@click.option("--light", default=8, show_default=True, type=click.IntRange(2, 1_000))
@click.option("--every", default=1.0, show_default=True, help="Seconds between light prompts.")
@click.option("--slots", default=16, show_default=True, type=click.IntRange(1, 512))
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(1, 20))
def fairness(
    *, model: str, prompts: int, light: int, every: float, slots: int, rounds: int
) -> None:
    """Compare a light user's first tokens with a flood ÷ without, fair and first come first
    served, in turn on the same stack's engine."""
    flood = Flood(prompts, light, every)
    rows = []
    for order in ("fair", "fcfs"):
        calm, busy = asyncio.run(_measure(model, order, flood, slots, rounds))
        rows.append(_row(order, calm, busy))
        click.echo(" | ".join(rows[-1]), err=True)
    headers = ["order", "light TTFT alone p50, ms", "with the flood p50, ms", "p99, ms", "ratio"]
    click.echo(markdown_table(headers, rows))


def _row(order: str, calm: Sequence[Answered], busy: Sequence[Answered]) -> list[str]:
    alone = statistics.median(answer.ttft_s for answer in calm) * 1e3
    beside = statistics.median(answer.ttft_s for answer in busy) * 1e3
    worst = percentile([answer.ttft_s for answer in busy], 0.99) * 1e3
    return [order, f"{alone:.0f}", f"{beside:.0f}", f"{worst:.0f}", f"{beside / alone:.1f}"]


async def _measure(
    model: str, order: str, flood: Flood, slots: int, rounds: int
) -> tuple[list[Answered], list[Answered]]:
    """Return the light user's answers without and with the flood, of all rounds."""
    files = find_model(model)
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        home = Path(folder) / "home"
        engine = {"enforce_eager": "true", "max_num_seqs": str(slots)}
        words = ("--order", order)
        async with parley_stack(files.path, engine, home, Path(folder) / "log", words) as base_url:
            keys = {user: await user_key(home, user, "free") for user in ("light", "flooder")}
            caller = Caller(base_url, files.model_id, keys, seed=int(time.time()))
            await caller.play([Ask("light", 0.0, _PROMPT, _LIGHT_OUTPUT)] * 4)
            calm: list[Answered] = []
            busy: list[Answered] = []
            for _ in range(rounds):
                calm += await caller.play(_light(flood))
                flooding = [Ask("flooder", 0.0, _PROMPT, _FLOOD_OUTPUT)] * flood.prompts
                answers = await caller.play([*_light(flood), *flooding])
                over_s = max(a.first_s for a in answers if a.ask.user == "flooder")
                busy += [a for a in answers if a.ask.user == "light" and a.sent_s < over_s]
    return calm, busy


def _light(flood: Flood) -> list[Ask]:
    return [
        Ask("light", 0.5 + flood.every_s * number, _PROMPT, _LIGHT_OUTPUT)
        for number in range(flood.light)
    ]

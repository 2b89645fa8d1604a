"""`parley bench`."""

import asyncio
import dataclasses
import json
import tempfile
from pathlib import Path

import click

from actors.gpu.vllm_host import usual_cpu_dtype
from ops.bench.affinity import affinity
from ops.bench.client import Load, measure
from ops.bench.memory.cli import memory, retrieval
from ops.bench.report import Pair, table
from ops.bench.schedule.cli import schedule
from ops.bench.schedule.fairness import fairness
from ops.bench.schedule.free_load import free_load
from ops.bench.scheduler import scheduler
from ops.bench.servers import api_key, parley_stack, vllm_server
from ops.model_files import ModelFiles, find_model
from ops.placement import nvidia_cards

_ENGINE = {"enforce_eager": "true", "block_size": "32", "max_num_seqs": "128"}


@click.group()
def bench() -> None:
    """Measure, side by side in one run."""


bench.add_command(affinity)
bench.add_command(schedule)
bench.add_command(fairness)
bench.add_command(free_load)
bench.add_command(scheduler)
bench.add_command(memory)
bench.add_command(retrieval)


@bench.command()
@click.option("--model", default="parley-small", show_default=True, metavar="NAME_OR_PATH")
@click.option("--concurrency", default="1,32,100", show_default=True, metavar="N,N,…")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 50))
@click.option("--input-tokens", default=128, show_default=True, type=click.IntRange(1))
@click.option("--output-tokens", default=128, show_default=True, type=click.IntRange(1))
@click.option("--requests", default=4, show_default=True, help="Requests per concurrent client.")
@click.option(
    "--engine-arg", multiple=True, metavar="NAME=VALUE", help="For both engines; repeatable."
)
@click.option("--out", type=click.Path(path_type=Path), help="Write the measurements as JSON.")
def serve(
    *,
    model: str,
    concurrency: str,
    rounds: int,
    input_tokens: int,
    output_tokens: int,
    requests: int,
    engine_arg: tuple[str, ...],
    out: Path | None,
) -> None:
    """Compare the whole of Parley with vLLM's own server: same model, engine arguments and
    client (vLLM's), in turn. The ratio of output tokens a second is the figure to quote."""
    levels = [int(part) for part in concurrency.split(",")]
    dtype = {} if nvidia_cards() else {"dtype": usual_cpu_dtype()}  # which vLLM's would not choose
    engine = {**_ENGINE, **dtype, **dict(part.split("=", 1) for part in engine_arg)}
    loads = [
        Load(max(16, level * requests), input_tokens, output_tokens, level, seed)
        for level in levels
        for seed in range(rounds)
    ]
    pairs = asyncio.run(_serve(model, engine, loads))
    click.echo(table(pairs))
    if out is not None:
        out.write_text(json.dumps([dataclasses.asdict(pair) for pair in pairs], indent=2))


async def _serve(model: str, engine: dict[str, str], loads: list[Load]) -> list[Pair]:
    files = find_model(model)
    pairs: list[Pair] = []
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        home = Path(folder) / "home"
        click.echo("starting Parley and vLLM's server …", err=True)
        async with (
            parley_stack(files.path, engine, home, Path(folder) / "parley.log") as ours,
            vllm_server(files.path, files.model_id, engine, Path(folder) / "vllm.log") as theirs,
        ):
            key = await api_key(home)
            for number, load in enumerate(loads):
                pair = await _pair((ours, theirs), files, load, key=key, swap=bool(number % 2))
                pairs.append(pair)
                ratio = pair.parley.tokens_s / pair.vllm.tokens_s
                click.echo(
                    f"{number + 1}/{len(loads)} concurrency {load.concurrency}: "
                    f"Parley {pair.parley.tokens_s:.0f}, vLLM {pair.vllm.tokens_s:.0f} tok/s, "
                    f"ratio {ratio:.2f}",
                    err=True,
                )
    return pairs


async def _pair(
    servers: tuple[str, str], model: ModelFiles, load: Load, *, key: str, swap: bool
) -> Pair:
    """Measure both servers, in the given order or swapped."""
    order = servers[::-1] if swap else servers
    found = {url: await measure(url, model.model_id, model.path, load, key) for url in order}
    return Pair(load.concurrency, found[servers[0]], found[servers[1]])

"""`parley chaos`: break a stack of its own, again and again, and say what became of it."""

import asyncio
import dataclasses
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from ops.chaos.campaign import Campaign, Tally, choose
from ops.chaos.faults import Fault, kinds_for
from ops.chaos.figures import quantile
from ops.chaos.nats_cluster import nats_cluster
from ops.chaos.soak import soak
from ops.chaos.stack import RunningStack
from ops.chaos.storms import Storm, cancel_storm, kill_storm

_SIMULATED = (
    "--engine", "sim", "--engine-arg", "step_ms=15", "--engine-arg", "eos_every=0",
    "--engine-arg", "slots=16",
)  # fmt: skip
_LIMITED = ("--queue-limit", "64")
"""So that a flood is more than the stack takes."""
_PATIENCE_S = 300.0


@click.command()
@click.option("--faults", default=100, show_default=True, type=click.IntRange(0))
@click.option("--only", default="", metavar="TEXT", help="Only faults whose name holds this.")
@click.option("--engine", default="sim", show_default=True, type=click.Choice(["sim", "vllm"]))
@click.option("--gpus", default=3, show_default=True, type=click.IntRange(1, 16))
@click.option(
    "--nats-nodes", default=1, show_default=True, type=click.IntRange(1, 5), metavar="N",
    help="NATS servers; three replicate each stream, and are hit one at a time.",
)  # fmt: skip
@click.option("--chats", default=4, show_default=True, type=click.IntRange(1, 100))
@click.option("--storm", default=0.0, metavar="MINUTES", help="A kill every 5 s for so long.")
@click.option("--cancels", default=0, metavar="N", help="Stop N answers at random moments.")
@click.option("--soak", "soaked", default=0.0, metavar="MINUTES", help="Weigh processes so long.")
@click.option("--seed", default=0, help="0: a new one, which is told.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(".cache/chaos"))
def chaos(
    *,
    faults: int,
    only: str,
    engine: str,
    gpus: int,
    nats_nodes: int,
    chats: int,
    storm: float,
    cancels: int,
    soaked: float,
    seed: int,
    out: Path,
) -> int:
    """Kill, stop and end every kind of actor under load, and compare what was streamed, what is
    stored and what the undisturbed stack says, byte for byte.

    The simulated engine is for volume; its stack says so. Exit code 1: something differed.
    """
    seed = seed or random.SystemRandom().randrange(1, 10**6)
    rng = random.Random(seed)
    begun = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - begun:6.0f} s] {text}", err=True)

    words = (*(_SIMULATED if engine == "sim" else ()), *_LIMITED)
    possible = kinds_for(clustered=nats_nodes > 1)
    kinds = [fault for fault in possible if only in str(fault)]
    if not kinds:
        named = ", ".join(map(str, possible))
        raise click.UsageError(f"No fault is named {only}; there are: {named}.")
    document: dict[str, Any] = {
        "seed": seed, "engine": engine, "gpus": gpus, "nats_nodes": nats_nodes, "chats": chats,
    }  # fmt: skip
    parts = [
        f"seed {seed}, {engine} engine, {gpus} gpu actors, {nats_nodes} NATS servers, "
        f"{chats} chats a round\n"
    ]
    good = True
    with ExitStack() as around:
        say(f"seed {seed}: starting a stack with {gpus} {engine} engines")
        stack = _started(around, (*words, "--gpus", str(gpus)), nats_nodes)
        try:
            if faults:
                campaign = Campaign(stack, rng, chats, gpus)
                _run(_rounds(campaign, choose(rng, faults, kinds), say))
                document["faults"] = {
                    str(f): dataclasses.asdict(t) for f, t in campaign.tallies.items()
                }
                parts.append(table(campaign.tallies))
                good = all(tally.clean for tally in campaign.tallies.values())
            if storm:
                found = _run(kill_storm(stack, rng, storm, say))
                document["storm"] = dataclasses.asdict(found)
                parts.append(_told("Kill storm", found))
            if cancels:
                found = _run(cancel_storm(stack, rng, cancels, say))
                document["cancels"] = dataclasses.asdict(found)
                parts.append(_told("Cancel storm", found))
            if soaked:
                weighed = _run(soak(stack, rng, soaked, say))
                document["soak"] = dataclasses.asdict(weighed)
                parts.append(weighed.report())
        finally:
            code = stack.end()
    if code:
        parts.append(f"parley up ended with {code}:\n{stack.said}\n")
    out.mkdir(parents=True, exist_ok=True)
    (out / "campaign.json").write_text(json.dumps(document, indent=2) + "\n")
    (out / "campaign.md").write_text("\n".join(parts))
    click.echo("\n".join(parts))
    return 0 if good and code == 0 else 1


def _started(around: ExitStack, words: tuple[str, ...], nats_nodes: int) -> RunningStack:
    """Start a stack in a folder that is deleted when `around` ends, with its NATS servers."""
    folder = Path(around.enter_context(tempfile.TemporaryDirectory(prefix="parley-chaos-")))
    nats = None
    if nats_nodes > 1:
        nats = around.enter_context(nats_cluster(folder / "nats", nats_nodes))
    return RunningStack(folder / "home", *words, nats=nats).start(_PATIENCE_S)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def _rounds(campaign: Campaign, faults: list[Fault], say: Callable[[str], None]) -> None:
    await campaign.learn()
    for number, fault in enumerate(faults, 1):
        tally = await campaign.round(fault)
        gap = f", gap {tally.gaps_ms[-1]} ms" if tally.gaps_ms else ""
        state = "exact" if tally.clean else f"NOT CLEAN: {tally.stories[-1:]}"
        say(f"{number}/{len(faults)} {fault}: {state}{gap}")


def table(tallies: dict[Fault, Tally]) -> str:
    """Return the campaign's table in Markdown."""
    lines = [
        "| Fault | rounds | answers | exact | differing | lost | endless | ended twice "
        "| gap p50 ms | p99 | max |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for fault, tally in sorted(tallies.items(), key=lambda item: str(item[0])):
        gaps = tally.gaps_ms or [0]
        cells = (
            tally.rounds, tally.answers, tally.exact, tally.differing, tally.lost, tally.endless,
            tally.doubled, quantile(gaps, 0.5), quantile(gaps, 0.99), max(gaps),
        )  # fmt: skip
        lines.append(f"| {fault} | " + " | ".join(map(str, cells)) + " |")
    total = sum(tally.rounds for tally in tallies.values())
    return "\n".join([*lines, f"\n{total} faults\n"])


def _told(name: str, storm: Storm) -> str:
    endings = ", ".join(f"{count} {end}" for end, count in sorted(storm.endings.items()))
    return (
        f"{name}: {storm.kills} kills, {storm.accepted} accepted ({storm.refused} refused), "
        f"{endings}; completed {100 * storm.completed:.2f} %\n"
    )


if __name__ == "__main__":
    sys.exit(chaos(standalone_mode=False))

"""`parley chaos`: break stacks of its own, again and again, and say what became of it."""

import asyncio
import dataclasses
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from ops.chaos.campaign import Campaign, choose
from ops.chaos.faults import ELSEWHERE, Fault, Place, kinds_for
from ops.chaos.findings import Findings
from ops.chaos.places import lacking, running_stack
from ops.chaos.reckoning import BUDGET
from ops.chaos.soak import soak
from ops.chaos.stack import RunningStack
from ops.chaos.storms import cancel_storm, kill_storm
from ops.chaos.verdict import Broken

_SIMULATED = (
    "--engine", "sim", "--engine-arg", "step_ms=15", "--engine-arg", "eos_every=0",
    "--engine-arg", "slots=16",
)  # fmt: skip
_LIMITED = ("--queue-limit", "64")
"""So that a flood is more than the stack takes."""
_PLACES: tuple[Place, ...] = ("here", "two hosts", "small disk")


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What is to be done, with which stacks."""

    faults: Sequence[Fault]
    engine: str
    gpus: int
    nats_nodes: int
    chats: int
    storm: float
    cancels: int
    soaked: float

    @property
    def at_length(self) -> bool:
        """Whether something is to be done besides single faults."""
        return bool(self.storm or self.cancels or self.soaked)


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
    """Kill, stop, end and cut off every kind of actor under load, and compare what was streamed,
    what is stored and what the undisturbed stack says, byte for byte.

    The simulated engine is for volume; its stack says so. Networks are cut, and disks filled, in
    stacks of their own, where this machine and user may. Exit code 1: something differed.
    """
    _end_when_told()
    seed = seed or random.SystemRandom().randrange(1, 10**6)
    rng = random.Random(seed)
    begun = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - begun:6.0f} s] {text}", err=True)

    not_run = {place: why for place in _PLACES if (why := lacking(place))}
    every = (*kinds_for(clustered=nats_nodes > 1), *ELSEWHERE)
    named = [fault for fault in every if only in str(fault)]
    kinds = [fault for fault in named if fault.place not in not_run]
    if not kinds:
        raise click.UsageError(_no_kind(only, every, not_run))
    plan = _Plan(
        choose(rng, faults, kinds), engine, gpus, nats_nodes, chats, storm, cancels, soaked
    )
    findings = Findings(
        f"seed {seed}, {engine} engine, {gpus} gpu actors, {nats_nodes} NATS servers, "
        f"{chats} chats a round",
        [f"{fault}: {not_run[fault.place]}" for fault in named if fault.place in not_run],
    )
    say(f"seed {seed}")
    for place in _PLACES:
        _break_there(place, plan, rng, findings, say)
    facts = {
        "seed": seed, "engine": engine, "gpus": gpus, "nats_nodes": nats_nodes, "chats": chats,
    }  # fmt: skip
    findings.write(out, facts)
    click.echo(findings.markdown())
    return 0 if findings.good else 1


def _end_when_told() -> None:
    """Let SIGINT, which a shell has its background jobs ignore, and SIGTERM end this command as
    Ctrl-C does: all stacks end first."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def _no_kind(only: str, every: Sequence[Fault], not_run: dict[Place, str]) -> str:
    there = ", ".join(str(fault) for fault in every if fault.place not in not_run)
    return f"No fault that can happen here is named {only}; there are: {there}."


def _break_there(
    place: Place, plan: _Plan, rng: random.Random, findings: Findings, say: Callable[[str], None]
) -> None:
    """Do what is to be done in this place, with a stack of its own; nothing, if that is nothing."""
    faults = [fault for fault in plan.faults if fault.place == place]
    long = place == "here" and plan.at_length
    if not faults and not long:
        return
    words = (*(_SIMULATED if plan.engine == "sim" else ()), *_LIMITED, *BUDGET)
    say(f"{place}: starting a stack with {plan.gpus} {plan.engine} engines")
    try:
        with running_stack(place, words, gpus=plan.gpus, nats_nodes=plan.nats_nodes) as stack:
            if faults:
                campaign = Campaign(stack, rng, plan.chats, plan.gpus, findings.tallies)
                asyncio.run(_rounds(campaign, faults, say))
            if long:
                _at_length(stack, plan, rng, findings, say)
    except Broken as error:
        findings.broken.append(f"{place}: {error}")


def _at_length(
    stack: RunningStack,
    plan: _Plan,
    rng: random.Random,
    findings: Findings,
    say: Callable[[str], None],
) -> None:
    if plan.storm:
        findings.storm = asyncio.run(kill_storm(stack, rng, plan.storm, say))
    if plan.cancels:
        findings.cancels = asyncio.run(cancel_storm(stack, rng, plan.cancels, say))
    if plan.soaked:
        findings.soak = asyncio.run(soak(stack, rng, plan.soaked, say))


async def _rounds(campaign: Campaign, faults: Sequence[Fault], say: Callable[[str], None]) -> None:
    await campaign.learn()
    for number, fault in enumerate(faults, 1):
        tally = await campaign.round(fault)
        gap = f", gap {tally.gaps_ms[-1]} ms" if tally.gaps_ms else ""
        state = "exact" if tally.clean else f"NOT CLEAN: {'; '.join(tally.stories)}"
        say(f"{number}/{len(faults)} {fault}: {state}{gap}")


if __name__ == "__main__":
    sys.exit(chaos(standalone_mode=False))

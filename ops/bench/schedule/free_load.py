"""`parley bench free-load`: what free load does to paid users, live on a real engine.

Table D's question without a simulator: paid load stays at 0.3 of what the engine serves, free
load goes up. Clients and engine share the machine, so refusing prompts takes from the engine.
"""

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from contracts.runs import Tier
from ops.bench.schedule.live import Answered, Ask, Caller
from ops.bench.schedule.measures import percentile
from ops.bench.schedule.tables import markdown_table
from ops.bench.servers import parley_stack, user_key
from ops.model_files import find_model

_PAID_SHARE = 0.3
_USERS: dict[Tier, int] = {"paid": 4, "free": 8}
_PROMPT, _OUTPUT = (32, 96), (96, 288)
_PROBES_A_SLOT = 5
_FREE_WAIT_S = 10
"""A free run waits so long at most, so that a level of a minute gets to refusals."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """`levels` of free load, in parts of what the engine serves, each of `seconds`; what came
    in the first `warm_up_s` of a level counts for nothing."""

    levels: tuple[float, ...]
    seconds: float
    warm_up_s: float
    slots: int
    seed: int


@dataclass(frozen=True, slots=True)
class Level:
    """What one level found; times in seconds, of those who were let in."""

    free: float
    paid_asked: int
    paid_refused: int
    paid_p50_s: float
    paid_p99_s: float
    free_asked: int
    free_refused: int
    free_p50_s: float
    free_runs_s: float


@click.command("free-load")
@click.option("--model", default="parley-small", show_default=True, metavar="NAME_OR_PATH")
@click.option("--levels", default="0,0.5,1,2,5", show_default=True, metavar="X,X,…")
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(5))
@click.option("--warm-up", default=15.0, show_default=True, type=click.FloatRange(0))
@click.option("--slots", default=16, show_default=True, type=click.IntRange(1, 512))
@click.option("--seed", default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the measurements as JSON.")
def free_load(
    *,
    model: str,
    levels: str,
    seconds: float,
    warm_up: float,
    slots: int,
    seed: int,
    out: Path | None,
) -> None:
    """Compare paid users' first tokens under growing free load, the same stack throughout."""
    parts = tuple(float(part) for part in levels.split(","))
    sweep = Sweep(parts, seconds, min(warm_up, seconds / 2), slots, seed)
    capacity, found = asyncio.run(_measure(model, sweep))
    click.echo(
        f"The engine serves {capacity:.1f} such prompts a second, {slots} at once; paid load is "
        f"{_PAID_SHARE:g} of that.\n\n{free_load_table(found)}"
    )
    if out is not None:
        report = {"capacity_runs_s": capacity, "levels": [asdict(level) for level in found]}
        out.write_text(json.dumps(report, indent=2))


def free_load_table(found: Sequence[Level]) -> str:
    """Return a Markdown table, a line a level; ratios are to the first one."""
    calm = found[0]
    rows = [
        [
            f"{it.free:g} ×",
            f"{it.paid_asked}",
            f"{it.paid_p50_s * 1e3:.0f}",
            f"{it.paid_p99_s * 1e3:.0f}",
            f"{it.paid_p50_s / calm.paid_p50_s:.2f}",
            f"{it.paid_p99_s / calm.paid_p99_s:.2f}",
            f"{it.paid_refused}",
            f"{it.free_asked}",
            f"{it.free_p50_s:.1f}" if it.free_asked > it.free_refused else "–",
            f"{100 * it.free_refused / it.free_asked:.0f}" if it.free_asked else "–",
            f"{it.free_runs_s:.1f}",
        ]
        for it in found
    ]
    headers = ["free load", "paid prompts", "TTFT p50, ms", "p99, ms", "p50 ÷ first", "p99 ÷ first"]
    headers += ["paid refused", "free prompts", "free TTFT p50, s", "free refused, %"]
    return markdown_table([*headers, "free begun, run/s"], rows)


async def _measure(model: str, sweep: Sweep) -> tuple[float, list[Level]]:
    """Return what the engine serves a second, and the levels."""
    files = find_model(model)
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        home = Path(folder) / "home"
        engine = {"enforce_eager": "true", "max_num_seqs": str(sweep.slots)}
        words = ("--tier", f"free.wait_s={_FREE_WAIT_S}")
        async with parley_stack(files.path, engine, home, Path(folder) / "log", words) as base_url:
            keys = {
                f"{tier}{number}": await user_key(home, f"{tier}{number}", tier)
                for tier, users in _USERS.items()
                for number in range(users)
            }
            caller = Caller(base_url, files.model_id, keys, seed=int(time.time()))
            capacity = await _capacity(caller, sweep)
            click.echo(f"{capacity:.1f} prompts a second", err=True)
            found = []
            for free in sweep.levels:
                level = await _level(caller, sweep, capacity, free)
                click.echo(f"free {free:g} ×: {level}", err=True)
                found.append(level)
    return capacity, found


async def _capacity(caller: Caller, sweep: Sweep) -> float:
    """Return the prompts a second that are served while all places are taken."""
    chance = random.Random(sweep.seed)
    await caller.play([_ask(chance, "paid", 0.0) for _ in range(sweep.slots)])
    asks = [_ask(chance, "paid", 0.0) for _ in range(_PROBES_A_SLOT * sweep.slots)]
    answers = await caller.play(asks)
    served_s = sorted(answer.end_s for answer in answers)
    full = len(served_s) - sweep.slots
    return full / served_s[full - 1]


async def _level(caller: Caller, sweep: Sweep, capacity: float, free: float) -> Level:
    asks = [
        *_poisson("paid", _PAID_SHARE * capacity, sweep),
        *_poisson("free", free * capacity, sweep),
    ]
    answers = await caller.offer(asks)
    counted = [it for it in zip(asks, answers, strict=True) if it[0].at_s >= sweep.warm_up_s]
    paid = [answer for ask, answer in counted if ask.user.startswith("paid")]
    others = [answer for ask, answer in counted if ask.user.startswith("free")]
    first_s, free_first_s = _first_tokens(paid), _first_tokens(others)
    return Level(
        free=free,
        paid_asked=len(paid),
        paid_refused=len(paid) - len(first_s),
        paid_p50_s=percentile(first_s, 0.5),
        paid_p99_s=percentile(first_s, 0.99),
        free_asked=len(others),
        free_refused=len(others) - len(free_first_s),
        free_p50_s=percentile(free_first_s, 0.5),
        free_runs_s=len(free_first_s) / (sweep.seconds - sweep.warm_up_s),
    )


def _first_tokens(answers: Sequence[Answered | None]) -> list[float]:
    return [answer.ttft_s for answer in answers if answer is not None]


def _poisson(tier: Tier, rate: float, sweep: Sweep) -> list[Ask]:
    """Return a tier's prompts at Poisson times, `rate` a second; the same for the same rate."""
    chance = random.Random(f"{sweep.seed} {tier}")
    asks: list[Ask] = []
    at_s = chance.expovariate(rate) if rate else sweep.seconds
    while at_s < sweep.seconds:
        asks.append(_ask(chance, tier, at_s))
        at_s += chance.expovariate(rate)
    return asks


def _ask(chance: random.Random, tier: Tier, at_s: float) -> Ask:
    user = f"{tier}{chance.randrange(_USERS[tier])}"
    return Ask(user, at_s, chance.randint(*_PROMPT), chance.randint(*_OUTPUT))

"""Is the simulator true? One workload through the whole stack on a real engine, and in the
simulator calibrated on that engine, side by side."""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.bench.schedule.calibration import Calibration, calibrate
from ops.bench.schedule.contenders import OWN
from ops.bench.schedule.live import Answered, Ask, Caller
from ops.bench.schedule.measures import percentile
from ops.bench.schedule.prompts import OpenWorkload, Prompt
from ops.bench.schedule.scenario import Contender, Scenario, play
from ops.bench.schedule.tables import Progress, Report, markdown_table
from ops.bench.servers import parley_stack, user_key
from ops.model_files import find_model

SLOTS = 16
_KV_TOKENS = 200_000
_USERS = ("one", "two", "three")
_OPEN = ("--tier", "paid.wait_s=600")
"""The tier that degradation spares, and as in the simulator refuses nobody."""


@dataclass(frozen=True, slots=True)
class Served:
    """An answer's times in seconds, wherever it was given."""

    sent_s: float
    first_s: float
    end_s: float
    tokens: int


def mixed_asks(count: int, rate: float, seed: int) -> list[Ask]:
    """Return prompts of three users at Poisson times, `rate` a second in all."""
    chance = random.Random(seed)
    asks, at_s = [], 0.0
    for _ in range(count):
        at_s += chance.expovariate(rate)
        user = chance.choices(_USERS, weights=(4, 2, 1))[0]
        asks.append(Ask(user, at_s, chance.randint(32, 600), chance.randint(16, 160)))
    return asks


def simulated(asks: Sequence[Ask], found: Calibration, slots: int, seed: int) -> list[Served]:
    """Return how a calibrated GPU serves these prompts under production's order; the stack's
    overhead is added to first tokens and ends."""
    prompts = [
        Prompt(
            name=f"{number}",
            user=ask.user,
            at_us=round(ask.at_s * 1e6),
            prompt_tokens=ask.prompt_tokens,
            output_tokens=ask.output_tokens,
            max_tokens=ask.output_tokens,
        )
        for number, ask in enumerate(asks)
    ]
    scenario = Scenario(
        "live twin", lambda _: OpenWorkload(prompts), gpus=(found.model(_KV_TOKENS, slots),)
    )
    records = play(scenario, Contender(OWN), seed).records
    return [
        Served(
            record.prompt.at_us / 1e6,
            ((record.first_us or 0) + found.overhead_us) / 1e6,
            ((record.end_us or 0) + found.overhead_us) / 1e6,
            record.prompt.prompt_tokens + record.output_tokens,
        )
        for record in records
    ]


async def compare_live(model: str, count: int, progress: Progress) -> Report:
    """Start the stack, calibrate, play the workload at about 0.6 and 1.5 times what it serves,
    and the same in the simulator."""
    files = find_model(model)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        home = Path(folder) / "home"
        engine = {"enforce_eager": "true", "max_num_seqs": str(SLOTS)}
        progress("starting Parley with a real engine")
        async with parley_stack(files.path, engine, home, Path(folder) / "log", _OPEN) as base_url:
            keys = {user: await user_key(home, user, "paid") for user in _USERS}
            caller = Caller(base_url, files.model_id, keys)
            found = await calibrate(caller, _USERS[0])
            progress(f"calibrated: {found}")
            rows = []
            for share in (0.6, 1.5):
                asks = mixed_asks(count, share * _capacity(found), seed=round(share * 10))
                live = [_served(answer) for answer in await caller.play(asks)]
                twin = simulated(asks, found, SLOTS, seed=0)
                progress(f"{share:g} × capacity: played")
                rows += _rows(f"{share:g} ×", live, twin)
    report.add(
        "## Is the simulator true?",
        f"{count} prompts of three users, 32 to 600 tokens in, 16 to 160 out, through the whole "
        f"stack on a real engine ({SLOTS} at once), and the same prompts in the simulator "
        f"calibrated just before: step {found.step_us} µs + {found.sequence_us} µs × batch + "
        f"{found.context_ns} ns × tokens of context, "
        f"prefill {found.prefill_tokens_s:,} tok/s, overhead {found.overhead_us} µs.",
        markdown_table(["load", "figure", "live", "simulated", "simulated ÷ live"], rows),
    )
    return report


def _capacity(found: Calibration) -> float:
    """Return how many of these prompts a second the engine serves with all slots taken."""
    context_us = found.context_ns * (316 + 44) / 1e3
    step_s = (found.step_us + (found.sequence_us + context_us) * SLOTS) / 1e6
    each_s = 88 * step_s / SLOTS + 316 / found.prefill_tokens_s
    return 1 / each_s


def _served(answer: Answered) -> Served:
    tokens = answer.ask.prompt_tokens + answer.ask.output_tokens
    return Served(answer.sent_s, answer.first_s, answer.end_s, tokens)


def _rows(load: str, live: Sequence[Served], twin: Sequence[Served]) -> list[list[str]]:
    figures = {
        "tok/s": [sum(s.tokens for s in it) / max(s.end_s for s in it) for it in (live, twin)]
    }
    for share in (0.1, 0.5, 0.9, 0.99):
        figures[f"TTFT p{round(share * 100)}, ms"] = [
            percentile([s.first_s - s.sent_s for s in it], share) * 1e3 for it in (live, twin)
        ]
    return [
        [load, name, f"{ours:,.0f}", f"{theirs:,.0f}", f"{theirs / ours:.2f}"]
        for name, (ours, theirs) in figures.items()
    ]

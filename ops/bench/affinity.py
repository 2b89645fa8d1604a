"""`parley bench affinity`: what it gives to send a chat's turns where its prefix is cached.

The whole of Parley on two engines, with chats of several turns that overlap; once with affinity
and once without, in turn. What the engines report as cached counts, not what was hoped for.
"""

import asyncio
import dataclasses
import json
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import httpx
from httpx_sse import aconnect_sse

from ops.bench.client import BenchFailed
from ops.bench.servers import api_key, parley_stack, workers_ready
from ops.model_files import find_model

_ENGINE = {"max_num_seqs": "32"}
_PREFACE_WORDS = 120
_PROMPT_WORDS = 30
_THINK_S = (0.1, 0.6)
_TIMEOUT_S = 120.0
_WORDS = tuple(
    f"{a}{b}"
    for a in ("ri", "sto", "mor", "gar", "win", "har")
    for b in ("ver", "ne", "ning", "den")
)


@dataclass(frozen=True, slots=True)
class Conversations:
    """What is played: `chats` at once of `turns` turns each, answers of `answer_tokens`."""

    chats: int
    turns: int
    answer_tokens: int


@dataclass(slots=True)
class Tally:
    """What one round found. `cached` of `prompt` tokens came from a prefix cache, by the
    engines' word; `first_token_ms` of every turn but the chats' first."""

    affinity: bool
    prompt: int = 0
    cached: int = 0
    turns: int = 0
    took_s: float = 0.0
    first_token_ms: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The part of all prompt tokens that was cached."""
        return self.cached / max(1, self.prompt)


@click.command()
@click.option("--model", default="parley-small", show_default=True, metavar="NAME_OR_PATH")
@click.option("--chats", default=12, show_default=True, type=click.IntRange(1, 200))
@click.option("--turns", default=10, show_default=True, type=click.IntRange(2, 50))
@click.option("--answer-tokens", default=48, show_default=True, type=click.IntRange(1))
@click.option("--gpus", default=2, show_default=True, type=click.IntRange(2, 64))
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(1, 20))
@click.option("--out", type=click.Path(path_type=Path), help="Write the measurements as JSON.")
def affinity(
    *,
    model: str,
    chats: int,
    turns: int,
    answer_tokens: int,
    gpus: int,
    rounds: int,
    out: Path | None,
) -> None:
    """Compare the share of prompt tokens served from cache with affinity and without."""
    work = Conversations(chats, turns, answer_tokens)
    tallies: list[Tally] = []
    for number in range(rounds):
        for on in (True, False) if number % 2 == 0 else (False, True):
            tally = asyncio.run(_round(model, gpus, work, seed=number, on=on))
            tallies.append(tally)
            click.echo(
                f"round {number + 1}, affinity {'on' if on else 'off'}: {tally.turns} turns, "
                f"{tally.share:.1%} of {tally.prompt} prompt tokens cached, {tally.took_s:.1f} s",
                err=True,
            )
    click.echo(affinity_table(tallies))
    if out is not None:
        out.write_text(json.dumps([dataclasses.asdict(tally) for tally in tallies], indent=2))


def affinity_table(tallies: Sequence[Tally]) -> str:
    """Return a Markdown table of medians over the rounds: one line with affinity, one without,
    and one of their ratios."""
    lines = [
        "| affinity | rounds | prompt tokens from cache | uncached prompt tokens a turn "
        "| first token of later turns p50, ms | p99, ms |",
        "|---|---|---|---|---|---|",
    ]
    figures = [_figures([t for t in tallies if t.affinity is on]) for on in (True, False)]
    for on, (rounds, *cells) in zip(("on", "off"), figures, strict=True):
        lines.append(
            f"| {on} | {rounds:.0f} | {cells[0]:.1%} | {cells[1]:.0f} "
            f"| {cells[2]:.1f} | {cells[3]:.1f} |"
        )
    ratios = [a / b if b else 0.0 for a, b in zip(*figures, strict=True)][1:]
    lines.append("| on ÷ off | | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")
    return "\n".join(lines)


def _figures(tallies: Sequence[Tally]) -> tuple[float, ...]:
    def median(values: Sequence[float]) -> float:
        return statistics.median(values)

    return (
        len(tallies),
        median([t.share for t in tallies]),
        median([(t.prompt - t.cached) / max(1, t.turns) for t in tallies]),
        median([median(t.first_token_ms) for t in tallies]),
        median([sorted(t.first_token_ms)[len(t.first_token_ms) * 99 // 100] for t in tallies]),
    )


async def _round(model: str, gpus: int, work: Conversations, *, seed: int, on: bool) -> Tally:
    """Start the stack with cold caches, play all chats, and return what they found."""
    files = find_model(model)
    tally = Tally(affinity=on)
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        home, log = Path(folder) / "home", Path(folder) / "parley.log"
        words = ("--gpus", str(gpus), "--affinity", "yes" if on else "no")
        async with parley_stack(files.path, _ENGINE, home, log, words=words) as base_url:
            await workers_ready(home, gpus)
            headers = {"Authorization": f"Bearer {await api_key(home)}"}
            async with (
                httpx.AsyncClient(base_url=base_url, headers=headers, timeout=_TIMEOUT_S) as http,
                asyncio.TaskGroup() as group,
            ):
                begun_s = time.monotonic()
                for number in range(work.chats):
                    draw = random.Random(f"{seed}/{number}")
                    group.create_task(_chat(http, work, draw, tally))
            tally.took_s = time.monotonic() - begun_s
    return tally


async def _chat(
    http: httpx.AsyncClient, work: Conversations, draw: random.Random, tally: Tally
) -> None:
    """Play one chat of distinct words to its end."""
    created = await http.post("/chats")
    if created.status_code >= 300:
        raise BenchFailed(f"No chat could be begun: {created.text[:200]}")
    path = f"/chats/{created.json()['chatId']}/messages"
    for turn in range(work.turns):
        await asyncio.sleep(draw.uniform(*_THINK_S))
        words = draw.choices(_WORDS, k=_PROMPT_WORDS if turn else _PREFACE_WORDS)
        body = {
            "content": " ".join(words),
            "maxTokens": work.answer_tokens,
            "temperature": 0,
        }
        await _turn(http, path, body, tally, first=not turn)


async def _turn(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], tally: Tally, *, first: bool
) -> None:
    sent_s = time.monotonic()
    heard = False
    async for kind, data in _events(http, path, body):
        if kind == "message.delta" and not heard:
            heard = True
            if not first:
                tally.first_token_ms.append((time.monotonic() - sent_s) * 1000)
        elif kind == "run.completed":
            usage = data["usage"]
            tally.prompt += usage["promptTokens"]
            tally.cached += usage["cachedTokens"]
            tally.turns += 1
            return
        elif kind in ("run.failed", "run.cancelled"):
            raise BenchFailed(f"A turn ended as {kind}: {data}")
    raise BenchFailed("A turn's stream ended before the turn.")


async def _events(
    http: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    headers = {"Accept": "text/event-stream"}
    async with aconnect_sse(http, "POST", path, json=body, headers=headers) as source:
        if source.response.status_code >= 300:
            await source.response.aread()
            raise BenchFailed(f"A prompt was refused: {source.response.text[:200]}")
        async for event in source.aiter_sse():
            if event.data and event.event != "ping":
                yield event.event, event.json()

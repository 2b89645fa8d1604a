"""`parley bench memory` and `parley bench retrieval`."""

import asyncio
import dataclasses
import json
import random
import statistics
import tempfile
import time
from array import array
from pathlib import Path

import click

from actors.session.embedded_retrieval import EmbeddedRetrieval, VectorRoom
from actors.session.retrieval import FOUND_MAX, Meaning, Passage, Retrieval, terms_of
from actors.session.sqlite_retrieval import SqliteRetrieval
from ops.bench.memory.outcome import Told, table
from ops.bench.memory.script import Line, prose, script
from ops.bench.memory.talk import Typist
from ops.bench.memory.tap import prompts_of
from ops.bench.servers import api_key, parley_stack
from ops.model_files import find_model

_ENGINE = {"enforce_eager": "true", "block_size": "32", "max_num_seqs": "16"}
_KINDS = ("verbatim", "summary", "retrieval", "both")


@click.command()
@click.option("--model", default="parley-small", show_default=True, metavar="NAME_OR_PATH")
@click.option(
    "--memory",
    "kinds",
    multiple=True,
    type=click.Choice(_KINDS),
    help="Kinds of memory to compare; default: all four.",
)
@click.option(
    "--context-tokens", default=1024, show_default=True, type=click.IntRange(256), metavar="TOKENS"
)
@click.option("--facts", default=20, show_default=True, type=click.IntRange(1, 40))
@click.option("--others", default=20, show_default=True, type=click.IntRange(0))
@click.option("--seed", default=7, show_default=True)
@click.option(
    "--kill", "kill_share", default=0.0, show_default=True, type=click.FloatRange(0, 1),
    help="Chance of killing the session host or the summarizer before a turn.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Write every turn as JSON.")
def memory(
    *,
    model: str,
    kinds: tuple[str, ...],
    context_tokens: int,
    facts: int,
    others: int,
    seed: int,
    kill_share: float,
    out: Path | None,
) -> None:
    """Tell a chat facts, talk of other things, ask for the facts: how many are known with each
    kind of memory, how many stood in the prompt that asked, how long the prompts are and how much
    of them was in the prefix cache."""
    lines = script(seed, facts=facts, others=others)
    chats = []
    for kind in kinds or _KINDS:
        click.echo(f"{kind}: starting …", err=True)
        told = asyncio.run(_tell(model, kind, context_tokens, lines, kill_share, seed))
        click.echo(f"{kind}: {told.known} of {told.asked} known", err=True)
        chats.append(told)
    click.echo(table(chats))
    if out is not None:
        out.write_text(json.dumps([dataclasses.asdict(chat) for chat in chats], indent=2))


async def _tell(
    model: str, kind: str, context_tokens: int, lines: tuple[Line, ...], kills: float, seed: int
) -> Told:
    files = find_model(model)
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        home = Path(folder) / "home"
        words = ("--memory", kind, "--context-tokens", str(context_tokens))
        log = Path(folder) / "parley.log"
        async with (
            parley_stack(files.path, _ENGINE, home, log, words) as url,
            prompts_of(home, files.path) as prompts,
        ):
            key = await api_key(home)
            typist = Typist(url, home, key, prompts, kill_share=kills, seed=seed)
            return await typist.tell(kind, lines)


@click.command()
@click.option("--turns", default=2_000, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--searches", default=2_000, show_default=True, type=click.IntRange(100))
@click.option(
    "--embedded",
    "dimensions",
    default=0,
    type=click.IntRange(0, 16_384),
    metavar="DIMENSIONS",
    help="Look for them by made-up vectors of so many dimensions, too.",
)
@click.option("--seed", default=7, show_default=True)
def retrieval(*, turns: int, searches: int, dimensions: int, seed: int) -> None:
    """Index a chat of many turns of 80 words, which are as unevenly frequent as in a language, and
    look for a dozen words of one of them."""
    rng = random.Random(seed)
    words = prose(rng, 80 * turns)
    texts = [words[80 * n : 80 * n + 80] for n in range(turns)]
    room = VectorRoom(2 * turns * dimensions * 4 + (1 << 20))
    index: Retrieval = SqliteRetrieval()
    if dimensions:
        index = EmbeddedRetrieval(index, room)
    began = time.perf_counter()
    index.add(
        [Passage(2 * n, n + 1, " ".join(t[:40]), " ".join(t[40:])) for n, t in enumerate(texts)]
    )
    index.learn([(each, _meaning(rng, dimensions)) for each in index.unlearned(turns)])
    built_ms = (time.perf_counter() - began) * 1000
    waited_ms, worked_ms = [], []
    for _ in range(searches):
        terms = terms_of(" ".join(rng.sample(rng.choice(texts), 12)))
        meaning = _meaning(rng, dimensions) if dimensions else None
        began, began_work = time.perf_counter(), time.thread_time()
        index.search(terms, FOUND_MAX, meaning)
        worked_ms.append((time.thread_time() - began_work) * 1000)
        waited_ms.append((time.perf_counter() - began) * 1000)
    index.close()
    click.echo(f"{turns} turns indexed in {built_ms:.0f} ms; {searches} searches, each")
    for what, times in (("by the clock", waited_ms), ("of the processor", worked_ms)):
        p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
        click.echo(f"  {what}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, {max(times):.2f} ms at most")


def _meaning(rng: random.Random, dimensions: int) -> Meaning:
    return Meaning("made-up", array("f", (rng.gauss(0, 1) for _ in range(dimensions))).tobytes())

"""``python -m ops.training``: make the demonstration model, or go on where it stopped.

Progress goes to stderr, checkpoints to ``--work``; a run that was interrupted
goes on when the same command is given again. ``--score`` trains nothing and
prints the held-out scores of the model in ``--out``.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from pathlib import Path

import torch

from ops.training import export, heldout, loop, scoring, tokenizer
from ops.training.conversations import stream
from ops.training.llama import Shape

EVALUATION_SEED = 7
EVALUATION_EACH = 100
_TOKENIZER_SAMPLE = 30_000
"""Conversations from which the tokenizer is learnt."""


def make(plan: loop.Plan, work: Path, out: Path) -> None:
    """Learn tokenizer and network in `work`, as far as that isn't done, and write `out`."""
    work.mkdir(parents=True, exist_ok=True)
    shape, vocabulary, checkpoint = Shape(), work / "tokenizer.json", work / "checkpoint.pt"
    if not vocabulary.exists():
        print("training the tokenizer", file=sys.stderr, flush=True)
        _learn_words(plan.seed, shape.vocabulary, vocabulary)
    words = tokenizer.load(vocabulary)
    trainer = loop.Trainer(shape, plan)
    if checkpoint.exists():
        trainer.resume(checkpoint)
        print(f"resumed at step {trainer.step}", file=sys.stderr, flush=True)
    loop.run(trainer, words, checkpoint, heldout.messages(EVALUATION_SEED, EVALUATION_EACH))
    export.write(trainer.master, words, out)
    print(f"wrote {out}", file=sys.stderr)


def _learn_words(seed: int, size: int, path: Path) -> None:
    sample = itertools.islice(stream(seed), _TOKENIZER_SAMPLE)
    text = (
        message for made in sample for turn in made.turns for message in (turn.user, turn.assistant)
    )
    part = path.with_suffix(".part")
    tokenizer.train(text, size).save(str(part))
    part.replace(path)


def show_scores(out: Path, every: int) -> None:
    """Print the scores of the model in `out` on one case in `every`, and each wrong answer."""
    cases = heldout.cases(EVALUATION_SEED, EVALUATION_EACH)[::every]
    found = scoring.score(scoring.Speaker(out), cases)
    print(found.table())
    for case, answer in found.wrong:
        print(f"\n[{case.category}] {case.script[-1]}\n  said: {answer}")


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and do what it asks."""
    plan = loop.Plan()
    parser = argparse.ArgumentParser(prog="python -m ops.training", description=__doc__)
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--steps", type=int, default=plan.steps)
    parser.add_argument("--rate", type=float, default=plan.rate)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, default=Path(".cache/training"))
    parser.add_argument("--out", type=Path, default=Path("ops/models/parley-small"))
    parser.add_argument("--score", action="store_true")
    parser.add_argument("--every", type=int, default=1)
    asked = parser.parse_args(arguments)
    os.nice(10)
    torch.set_num_threads(asked.threads)
    if asked.score:
        show_scores(asked.out, asked.every)
    else:
        plan = loop.Plan(seed=asked.seed, steps=asked.steps, rate=asked.rate)
        make(plan, asked.work, asked.out)


if __name__ == "__main__":
    main()

"""``python -m ops.training``: make the demonstration model from nothing, or go on where it stopped."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from pathlib import Path

import torch

from ops.training import export, loop, tokenizer
from ops.training.conversations import stream
from ops.training.llama import Shape

_TOKENIZER_SAMPLE = 30_000


def main(arguments: list[str] | None = None) -> None:
    """Train the tokenizer and the network as asked, then export."""
    parser = argparse.ArgumentParser(prog="python -m ops.training", description=__doc__)
    plan = loop.Plan()
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--steps", type=int, default=plan.steps)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, default=Path(".cache/training"), help="checkpoints")
    parser.add_argument("--out", type=Path, default=Path("ops/models/parley-small"))
    asked = parser.parse_args(arguments)
    plan = loop.Plan(seed=asked.seed, steps=asked.steps, threads=asked.threads)
    torch.set_num_threads(plan.threads)
    asked.work.mkdir(parents=True, exist_ok=True)
    shape = Shape()
    vocabulary = asked.work / "tokenizer.json"
    if not vocabulary.exists():
        print("training the tokenizer", file=sys.stderr, flush=True)
        sample = itertools.islice(stream(plan.seed), _TOKENIZER_SAMPLE)
        words = (message for made in sample for turn in made.turns for message in (turn.user, turn.assistant))
        tokenizer.train(words, shape.vocabulary).save(str(vocabulary))
    words_of = tokenizer.load(vocabulary)
    trainer = loop.Trainer(shape, plan)
    checkpoint = asked.work / "checkpoint.pt"
    if checkpoint.exists():
        trainer.resume(checkpoint)
        print(f"resumed at step {trainer.step}", file=sys.stderr, flush=True)
    loop.run(trainer, words_of, checkpoint, frozenset())
    export.write(trainer.master, words_of, asked.out)
    print(f"wrote {asked.out}", file=sys.stderr)


if __name__ == "__main__":
    main()

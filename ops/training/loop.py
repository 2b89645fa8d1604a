"""The training loop: bucketed batches, loss on the assistant's words, Muon and AdamW, checkpoints.

Muon (Jordan et al. 2024, ``torch.optim.Muon``) moves the matrices of the
blocks, AdamW the embedding and the norms. The network computes in bfloat16
(five times as fast as float32 on a CPU with AVX-512 BF16); its master weights
are float32. A step learns from several batches, each on a copy of the network
and in a thread of its own: a matrix of this size is too small for two cores.
"""

from __future__ import annotations

import dataclasses
import random
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from ops.training import tokenizer as text
from ops.training.conversations import stream
from ops.training.llama import Llama, Shape, rotary_tables
from ops.training.priming import prime_copying

Batch = tuple[Tensor, Tensor, Tensor]

_WIDTHS = 32


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast to learn; equal plans and seeds draw equal text.

    `rate` is a share of both full rates. Weight decay goes with the rate: at the full one the
    matrices forget within some hundred steps, which is good at first and bad for tables.
    `copies` of the network learn from as many batches of `batch_tokens` at each step.
    """

    seed: int = 1
    steps: int = 5000
    copies: int = 2
    batch_tokens: int = 2560
    pool: int = 512
    warmup_steps: int = 40
    decay_share: float = 0.35
    rate: float = 1.0
    rate_matrices: float = 0.02
    rate_others: float = 0.008
    checkpoint_seconds: float = 60.0


def batches(tokenizer: Tokenizer, plan: Plan, number: int, excluded: frozenset[str]) -> list[Batch]:
    """The batches of pool `number`, drawn from the plan's seed: conversations of like length side by side.

    Each is ids ``[batch, time]``, the flat positions whose next token the
    assistant says, and those next tokens. Pools are numbered so that a resumed
    run draws the text that it would have drawn.
    """
    source = stream(plan.seed * 1_000_003 + number, excluded)
    pool = [text.encode(tokenizer, next(source)) for _ in range(plan.pool)]
    trimmed = [(ids[: text.WINDOW], spoken[: text.WINDOW]) for ids, spoken in pool]
    trimmed.sort(key=lambda pair: len(pair[0]))
    ready: list[Batch] = []
    group: list[tuple[list[int], list[bool]]] = []
    for pair in trimmed:
        if group and _width(len(pair[0])) * (len(group) + 1) > plan.batch_tokens:
            ready.append(_stack(group))
            group = []
        group.append(pair)
    ready.append(_stack(group))
    random.Random(number).shuffle(ready)
    return ready


def _width(length: int) -> int:
    """Few widths, so that few shapes: oneDNN prepares, and keeps, a kernel for each."""
    return -(-length // _WIDTHS) * _WIDTHS


def _stack(group: list[tuple[list[int], list[bool]]]) -> Batch:
    width = _width(max(len(ids) for ids, _ in group))
    ids = torch.full((len(group), width), text.PAD)
    spoken = torch.zeros((len(group), width), dtype=torch.bool)
    for row, (tokens, mask) in enumerate(group):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        spoken[row, : len(mask)] = torch.tensor(mask)
    chosen = torch.zeros_like(spoken)
    chosen[:, :-1] = spoken[:, 1:]
    flat = chosen.flatten().nonzero().squeeze(1)
    return ids, flat, ids.flatten()[flat + 1]


def _together(ready: Sequence[Batch], count: int) -> Iterator[tuple[Batch, ...]]:
    """Groups of `count` batches; what is left over at the end is left out."""
    return zip(*[iter(ready)] * count, strict=False)


def rate(plan: Plan, step: int) -> float:
    """The share of the full learning rate at `step`: warm-up, plateau, linear decay to 2 % of it."""
    if step < plan.warmup_steps:
        return plan.rate * (step + 1) / plan.warmup_steps
    decay = max(1, int(plan.steps * plan.decay_share))
    return plan.rate * max(0.02, min(1.0, (plan.steps - step) / decay))


class Trainer:
    """A network with its float32 master weights, optimizers and place in the plan."""

    def __init__(self, shape: Shape, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.master = Llama(shape)
        prime_copying(self.master, plan.seed)
        self.copies = [Llama(shape).to(torch.bfloat16) for _ in range(plan.copies)]
        self._hands = ThreadPoolExecutor(min(plan.copies, torch.get_num_threads()))
        self.step = 0
        self.pool = 0
        matrices = [p for p in self.master.blocks.parameters() if p.dim() == 2]
        chosen = {id(p) for p in matrices}
        others = [p for p in self.master.parameters() if id(p) not in chosen]
        self.optimizers: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(
                matrices, lr=plan.rate_matrices, weight_decay=0.3, adjust_lr_fn="original"
            ),
            torch.optim.AdamW(others, lr=plan.rate_others, betas=(0.9, 0.98), weight_decay=0.0),
        )
        self._publish()

    @torch.no_grad()
    def _publish(self) -> None:
        for copy in self.copies:
            for fast, exact in zip(copy.parameters(), self.master.parameters(), strict=True):
                fast.copy_(exact)

    def learn(self, batches: Sequence[Batch], tables: tuple[Tensor, Tensor]) -> float:
        """One step on `batches`, one for each copy; returns the mean of their losses before it,
        in nats a token."""
        losses = list(self._hands.map(_grade, self.copies, batches, repeat(tables)))
        alike = zip(*(copy.parameters() for copy in self.copies), strict=True)
        for exact, fast in zip(self.master.parameters(), alike, strict=True):
            grads = [one.grad.float() for one in fast if one.grad is not None]
            exact.grad = torch.stack(grads).mean(0) if grads else None
            for one in fast:
                one.grad = None
        torch.nn.utils.clip_grad_norm_(self.master.parameters(), 1.0)
        share = rate(self.plan, self.step)
        for optimizer, full in zip(
            self.optimizers, (self.plan.rate_matrices, self.plan.rate_others), strict=True
        ):
            for group in optimizer.param_groups:
                group["lr"] = full * share
            optimizer.step()
        self._publish()
        self.step += 1
        return sum(losses) / len(losses)

    def save(self, path: Path) -> None:
        """Write everything that a resumed run needs; a crash leaves the old file or the new one."""
        state = {
            "shape": dataclasses.asdict(self.master.shape),
            "weights": self.master.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "pool": self.pool,
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    def resume(self, path: Path) -> None:
        """Take up the state of `path`, which :meth:`save` wrote."""
        state = torch.load(path, weights_only=True)
        self.master.load_state_dict(state["weights"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.pool = state["step"], state["pool"]
        self._publish()


def _grade(copy: Llama, batch: Batch, tables: tuple[Tensor, Tensor]) -> float:
    """Leave the gradients of a batch in a copy of the network; return its loss."""
    torch.set_num_threads(1)  # of this thread
    loss = copy.loss(batch[0], *tables, *batch[1:])
    torch.autograd.backward(loss)
    return float(loss.detach())


def run(trainer: Trainer, tokenizer: Tokenizer, checkpoint: Path, excluded: frozenset[str]) -> None:
    """Train to the end of the plan, writing `checkpoint` now and then and progress to stderr."""
    plan, tables = trainer.plan, rotary_tables(trainer.master.shape, torch.bfloat16)
    begun = saved = time.monotonic()
    first, seen, smooth = trainer.step, 0, 0.0
    while trainer.step < plan.steps:
        ready = batches(tokenizer, plan, trainer.pool, excluded)
        for group in _together(ready, plan.copies):
            loss = trainer.learn(group, tables)
            seen += sum(batch[0].numel() for batch in group)
            smooth = loss if smooth == 0.0 else 0.98 * smooth + 0.02 * loss
            if trainer.step % 25 == 0:
                taken_s = time.monotonic() - begun
                done = trainer.step - first
                left_s = taken_s / done * (plan.steps - trainer.step)
                print(
                    f"step {trainer.step}/{plan.steps} loss {smooth:.3f} "
                    f"{seen / taken_s:.0f} tok/s, {left_s / 60:.0f} min left",
                    file=sys.stderr,
                    flush=True,
                )
            if trainer.step >= plan.steps:
                break
        trainer.pool += 1
        if time.monotonic() - saved > plan.checkpoint_seconds:
            trainer.save(checkpoint)
            saved = time.monotonic()
    trainer.save(checkpoint)

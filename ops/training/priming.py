"""Heads that copy from the first step, set by hand instead of waited for.

A network of this size, trained on so little text, meets no cause to form the
induction circuit (Olsson et al. 2022) for most of its budget, and without it
recalls nothing. Here one head of the first block attends to the token before
and writes it into a subspace of its own, and two heads of the second block look
there for the current token and copy what followed it. Training refines them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ops.training.llama import Block, Llama

_FAST_PAIRS = 4
"""Rotary pairs, quickest first, by which a head finds the position before."""
_SLOW_FROM = 20
"""First of the rotary pairs that hardly turn within a conversation: those match content."""
_COPYING_HEADS = (0, 1)


def prime_copying(network: Llama, seed: int) -> None:
    """Overwrite one head of the first block and two of the second, and shift the embedding.

    The shift is one vector for all tokens: it moves every logit alike, and gives the head that
    looks back something constant to look with. Needs two blocks of two heads at least.
    """
    shape = network.shape
    table = network.embedding.weight.data
    half = shape.head_size // 2
    slow = [*range(_SLOW_FROM, half), *range(_SLOW_FROM + half, shape.head_size)]
    generator = torch.Generator().manual_seed(seed)
    axes = torch.randn(shape.hidden, shape.hidden, generator=generator)
    axes[:, 0] = table.mean(0)
    axes = torch.linalg.qr(axes).Q.T
    constant, free = axes[1], axes[2:]
    matched, written = free[: len(slow)], free[len(slow) : 2 * len(slow)]
    length = float((table - table.mean(0)).norm(dim=1).mean())
    table.add_(constant * (length - float(table.mean(0) @ constant)))
    turn = torch.arange(_FAST_PAIRS) / half
    angle = shape.rope_base**-turn
    query, key = torch.zeros(2, shape.head_size, shape.hidden)
    query[:_FAST_PAIRS] = 0.7 * angle.cos()[:, None] * constant
    query[half : half + _FAST_PAIRS] = -0.7 * angle.sin()[:, None] * constant
    key[:_FAST_PAIRS] = 0.7 * constant
    value = torch.zeros_like(query)
    value[: len(slow)] = matched
    _set_head(network.blocks[0], 0, query, key, value, 0.45 * length * _padded(written, value))
    copied = free[2 * len(slow) :]
    for number in _COPYING_HEADS:
        query, key = torch.zeros(2, shape.head_size, shape.hidden)
        query[slow], key[slow] = 2.2 * matched, 2.2 * written
        value = copied[number * shape.head_size : (number + 1) * shape.head_size]
        value = _padded(value, query)
        _set_head(network.blocks[1], number, query, key, value, 0.4 * length * value)


def _padded(rows: Tensor, like: Tensor) -> Tensor:
    """`rows` with zeros below, to the shape of `like`."""
    full = torch.zeros_like(like)
    full[: len(rows)] = rows
    return full


def _set_head(
    block: Block, number: int, query: Tensor, key: Tensor, value: Tensor, out: Tensor
) -> None:
    """Give head `number` these projections, each ``[head_size, hidden]``; `out` is transposed."""
    shape = block.shape
    width, first = shape.heads * shape.head_size, number * shape.head_size
    for part, rows in enumerate((query, key, value)):
        start = part * width + first
        block.qkv.weight.data[start : start + shape.head_size] = rows
    block.out.weight.data[:, first : first + shape.head_size] = out.T

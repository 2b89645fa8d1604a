"""A Llama in plain torch, shaped for training on a CPU: fused projections, no padding mask.

Weights are named and laid out so that :mod:`ops.training.export` can write the
Hugging Face form. Rotary embedding as in RoFormer (Su et al. 2021), halves
rotated; RMSNorm (Zhang and Sennrich 2019); SwiGLU (Shazeer 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of the network; `head_size` is fixed by what vLLM's CPU attention supports."""

    vocabulary: int = 4096
    hidden: int = 256
    inner: int = 768
    layers: int = 5
    heads: int = 4
    head_size: int = 64
    positions: int = 2048
    rope_base: float = 10_000.0
    epsilon: float = 1e-6


def rotary_tables(shape: Shape, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each ``[positions, head_size]``."""
    steps = torch.arange(0, shape.head_size, 2, dtype=torch.float32) / shape.head_size
    angles = torch.outer(
        torch.arange(shape.positions, dtype=torch.float32), shape.rope_base**-steps
    )
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


@lru_cache(maxsize=64)
def _later(time: int, dtype: torch.dtype) -> Tensor:
    """Minus infinity above the diagonal of ``[time, time]``, zero elsewhere."""
    return torch.full((time, time), float("-inf"), dtype=dtype).triu(1)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention by plain products: at these lengths a third faster than torch's fused one."""
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2))
    scores = scores.add_(_later(query.shape[2], query.dtype))
    return torch.matmul(torch.softmax(scores, dim=-1), value)


class Block(nn.Module):
    """Attention and SwiGLU, each with its norm before and a residual around."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.heads * shape.head_size
        self.norm_attention = nn.Parameter(torch.ones(shape.hidden))
        self.norm_inner = nn.Parameter(torch.ones(shape.hidden))
        self.qkv = nn.Linear(shape.hidden, 3 * width, bias=False)
        self.out = nn.Linear(width, shape.hidden, bias=False)
        self.gate_up = nn.Linear(shape.hidden, 2 * shape.inner, bias=False)
        self.down = nn.Linear(shape.inner, shape.hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """``[batch, time, hidden]`` to the same; every position sees itself and those before."""
        shape, (batch, time, _) = self.shape, x.shape
        normed = F.rms_norm(x, (shape.hidden,), self.norm_attention, shape.epsilon)
        qkv = self.qkv(normed).view(batch, time, 3, shape.heads, shape.head_size)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = _attend(_rotate(query, cos, sin), _rotate(key, cos, sin), value)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, time, -1))
        normed = F.rms_norm(x, (shape.hidden,), self.norm_inner, shape.epsilon)
        gate, up = self.gate_up(normed).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Llama(nn.Module):
    """The decoder with tied embeddings."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.hidden)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.full((shape.hidden,), 0.1))
        self._initialise()

    def _initialise(self) -> None:
        """Embeddings as large as what blocks write, which begins at nothing: tokens stay legible."""
        nn.init.normal_(self.embedding.weight, std=0.5)
        for block in self.blocks:
            for name, weight in block.named_parameters():
                if name.startswith(("out", "down")):
                    nn.init.zeros_(weight)
                elif weight.dim() == 2:
                    nn.init.normal_(weight, std=weight.shape[1] ** -0.5)

    def hidden(self, ids: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Final normed states ``[batch, time, hidden]`` of token ids ``[batch, time]``."""
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, cos[: ids.shape[1]], sin[: ids.shape[1]])
        return F.rms_norm(x, (self.shape.hidden,), self.norm, self.shape.epsilon)

    def loss(
        self, ids: Tensor, cos: Tensor, sin: Tensor, chosen: Tensor, targets: Tensor
    ) -> Tensor:
        """Mean cross-entropy at the flat positions `chosen`, whose next tokens are `targets`."""
        states = self.hidden(ids, cos, sin).flatten(0, 1)[chosen]
        return F.cross_entropy(F.linear(states, self.embedding.weight).float(), targets)

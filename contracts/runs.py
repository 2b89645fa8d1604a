"""A run: one answer to one prompt, from submission to its one ending."""

from typing import Literal

from contracts.base import Wire
from contracts.errors import Problem

Tier = Literal["paid", "free", "background"]
TIERS: tuple[Tier, ...] = ("paid", "free", "background")

FinishReason = Literal["stop", "length", "cancelled", "error"]
Degradation = Literal["deferred", "downgraded", "shortened"]


class Sampling(Wire):
    """How tokens are drawn. Ranges are checked by the edge, not here.

    `max_tokens` ≥ 1 counts new tokens; 0 ≤ `min_tokens` ≤ `max_tokens`; `temperature` 0 is
    greedy; `top_k` 0 means all; `seed` None lets the engine choose.
    """

    max_tokens: int
    min_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False


class Usage(Wire, omit_defaults=False):
    """Token counts of a run. `cached_tokens` ≤ `prompt_tokens` came from the prefix cache."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class RunSpec(Wire):
    """Everything that a worker needs to write the answer, and a scheduler to order it.

    `chat_id` None marks an API run: it belongs to no chat, its log's end entry is its
    terminal event. `message_id` is the answer's. `block_keys` name the prompt's prefix
    blocks for affinity (empty until the scheduler uses them).
    """

    run_id: str
    pool: str
    model: str
    user_id: str
    prompt_tokens: tuple[int, ...]
    sampling: Sampling
    submitted_at_ms: int
    tier: Tier = "free"
    chat_id: str | None = None
    message_id: str = ""
    block_keys: tuple[str, ...] = ()


class RunOutcome(Wire):
    """How a run ended, as the worker (or the scheduler, for a run never started) saw it."""

    finish_reason: FinishReason
    usage: Usage = Usage()
    error: Problem | None = None

"""A run: one answer to one prompt, from submission to its one ending."""

from typing import Literal

import msgspec

from contracts.base import Wire
from contracts.errors import Problem

Tier = Literal["paid", "free", "background"]
TIERS: tuple[Tier, ...] = ("paid", "free", "background")

FinishReason = Literal["stop", "length", "cancelled", "error"]
Degradation = Literal["deferred", "downgraded", "shortened"]


class Guide(Wire):
    """A form that the text must have: any JSON object, or JSON of a schema (`json_schema`, the
    schema's own JSON text)."""

    kind: Literal["json_object", "json_schema"]
    json_schema: str = ""


class Sampling(Wire):
    """How tokens are drawn. Ranges are checked by the edge, not here.

    `max_tokens` ≥ 1 counts new tokens; 0 ≤ `min_tokens` ≤ `max_tokens`; `temperature` 0 is
    greedy; `top_k` 0 means all; `seed` None lets the engine choose. `logit_bias` are pairs of
    a token and what is added to its logit, -100 to 100. `logprobs` k asks for the logarithm
    of each token's probability and the k likeliest at its place; None asks for none.
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
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
    guide: Guide | None = None


class TokenLogprob(msgspec.Struct, frozen=True, array_like=True):
    """How likely a token was: the natural logarithm of its probability, and the likeliest
    tokens at its place with theirs. An array on the wire: there is one for each token."""

    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class Usage(Wire, omit_defaults=False):
    """Token counts of a run. `cached_tokens` ≤ `prompt_tokens` came from the prefix cache.
    `degraded` says what was done to the run because the pool was over capacity."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    degraded: tuple[Degradation, ...] = ()


class LeftOut(Wire):
    """What of its conversation a prompt does not hold: `exchanges` stand neither in it nor in the
    summary, `attachments` of the new message were shortened, `summary` and `passages` say whether
    the running summary and the quoted older turns had to make way for the new message; of the
    conversation's `pictures` so many are only named."""

    exchanges: int = 0
    attachments: int = 0
    summary: bool = False
    passages: bool = False
    pictures: int = 0


class Sight(Wire):
    """What a model sees: at most `pictures` in one prompt, each of at most `tokens` tokens."""

    pictures: int
    tokens: int


class Picture(Wire):
    """A picture in a prompt. The mark at index `at` of the prompt's tokens stands for it; its
    bytes lie in the file store as `name`, and `digest` is their SHA-256 (hex). `tokens` is the
    most that it adds to the prompt."""

    at: int
    name: str
    digest: str
    tokens: int


class RunSpec(Wire):
    """Everything that a worker needs to write the answer, and a scheduler to order it.

    `chat_id` None marks an API run: it belongs to no chat, its log's end entry is its
    terminal event. `message_id` is the answer's. `block_keys` name the prompt's prefix
    blocks for affinity (`contracts.block_keys`), `home` the worker that answered in this chat
    last ("": not known): both are hints. `reader` names the edge that alone reads the answer,
    where nobody wants it once that edge is gone ("": others may). `deferrable`: it may wait
    for a calmer time. `degraded` says what was done to it before it was queued. `left_out`: what
    the prompt does not hold of its chat (None: it has all). `pictures` are in the order of their
    marks.
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
    home: str = ""
    deferrable: bool = False
    reader: str = ""
    degraded: tuple[Degradation, ...] = ()
    left_out: LeftOut | None = None
    pictures: tuple[Picture, ...] = ()

    @property
    def prompt_length(self) -> int:
        """The most tokens that the engine makes of the prompt."""
        return len(self.prompt_tokens) + sum(picture.tokens for picture in self.pictures)


class RunOutcome(Wire):
    """How a run ended, as the worker (or the scheduler, for a run never started) saw it."""

    finish_reason: FinishReason
    usage: Usage = Usage()
    error: Problem | None = None

"""The settings of session actors, parsed once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.ports.text import TextCodec


@dataclass(frozen=True, slots=True)
class ModelContext:
    """What a session must know of a model.

    `context_length` bounds prompt and output together, in tokens. `output_reserve` is the
    share of it that a prompt never takes; `max_output` caps an answer whose request names no
    limit.
    """

    model: str
    pool: str
    codec: TextCodec
    context_length: int
    output_reserve: int
    max_output: int
    system_prompt: str = ""


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Limits in counts and milliseconds. `default_model` must be a key of `models`. A run that
    the scheduler does not know `unknown_max` times, `watch_ms` apart, is lost."""

    models: Mapping[str, ModelContext] = field(default_factory=dict)
    default_model: str = ""
    lease_ttl_s: float = 3.0
    messages_loaded: int = 200
    runs_loaded: int = 50
    early_cancels_max: int = 64
    early_cancel_ms: int = 30_000
    retry_ms: int = 250
    cancel_retry_ms: int = 200
    watch_ms: int = 5_000
    unknown_max: int = 3
    idle_ms: int = 300_000
    active_max: int = 10_000
    mailbox_max: int = 256

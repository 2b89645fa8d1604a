"""The settings of session actors, parsed once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from actors.runtime.lease_machine import LEASE_TTL_S
from contracts.ports.text import TextCodec


@dataclass(frozen=True, slots=True)
class Shares:
    """How a prompt's room is shared, in percent of it, each from 0 to 100 (ADR 0016).

    Turns stay word for word until they take more than `verbatim_high`; then the oldest are
    folded into the summary, or left out, until they take at most `verbatim_low`: seldom and
    in large steps, since each step costs the warm prefix. The running summary takes at most
    `summary` (0: there is none), passages of older turns `retrieved` (0: none), the text of
    one message's attachments `attachments`.
    """

    verbatim_high: int = 50
    verbatim_low: int = 25
    summary: int = 25
    retrieved: int = 10
    attachments: int = 40


@dataclass(frozen=True, slots=True)
class ModelContext:
    """What a session must know of a model.

    `context_length` bounds prompt and output together, in tokens. `output_reserve` is the
    share of it that a prompt never takes; `max_output` caps an answer whose request names no
    limit. `shares` are of the rest, the prompt's room. `quotes_known`: an older turn is quoted
    also where the summary tells it, to a model too small to find it there.
    """

    model: str
    pool: str
    codec: TextCodec
    context_length: int
    output_reserve: int
    max_output: int
    system_prompt: str = ""
    shares: Shares = field(default_factory=Shares)
    quotes_known: bool = False

    @property
    def room(self) -> int:
        """The tokens that a prompt may have, whatever answer is asked for."""
        return max(1, self.context_length - self.output_reserve)

    def tokens(self, share: int) -> int:
        """Return what a share of the room is in tokens."""
        return self.room * share // 100


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Limits in counts and milliseconds. `default_model` must be a key of `models`. A run that
    the scheduler does not know `unknown_max` times, `watch_ms` apart, is lost. A chat begins
    with its newest `messages_loaded` messages; where its memory needs older ones, it holds
    `messages_max`. A fold that brought no summary is wanted again after `fold_again_ms`, at
    the end of a turn. `titles`: a summarizer is asked for the title of a new chat."""

    models: Mapping[str, ModelContext] = field(default_factory=dict)
    default_model: str = ""
    lease_ttl_s: float = LEASE_TTL_S
    messages_loaded: int = 200
    messages_max: int = 4_000
    fold_again_ms: int = 60_000
    titles: bool = False
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

"""The settings of an edge, parsed once."""

from dataclasses import dataclass, field
from pathlib import Path

from contracts.runs import Sampling

TOKEN_SECRET_BYTES_MIN = 32
_PLAIN = Sampling(max_tokens=0)


@dataclass(frozen=True, slots=True)
class ModelPool:
    """A model that clients may name, and the pool that serves it.

    `context_length` in tokens, prompt and output together; 0: what the pool's status says.
    `demonstration` marks the small model that ships with Parley. `sampling` is what a request
    gets that does not say how tokens are drawn; its limits on length are not used.
    `fallback` is the pool of a smaller model that prompts may be sent to when this one is
    pressed ("": none). `description` and `abilities` are for people.
    """

    model: str
    pool: str
    context_length: int = 0
    demonstration: bool = False
    sampling: Sampling = _PLAIN
    fallback: str = ""
    description: str = ""
    abilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbeddingPool:
    """The model that makes embeddings, and the pool of its workers. `context_length` in tokens,
    of one input."""

    model: str
    pool: str
    context_length: int


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A secret that signs session tokens, and the id by which a token names it."""

    key_id: str
    secret: bytes

    def __post_init__(self) -> None:
        if len(self.secret) < TOKEN_SECRET_BYTES_MIN:
            raise ValueError(f"a token key needs {TOKEN_SECRET_BYTES_MIN} bytes (RFC 7518, 3.2)")


@dataclass(frozen=True, slots=True)
class PasswordCost:
    """argon2id's cost (RFC 9106, second recommended option), and how many hashes may run at
    once: each takes a thread and `memory_kib`."""

    time_cost: int = 3
    memory_kib: int = 65_536
    lanes: int = 4
    concurrent: int = 2
    waiting_max: int = 64


PROMPT_FILES_MAX = 10
"""Files of one prompt."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Limits of files, in bytes and characters of their text: each, of one prompt together, of
    one user together. `at_once` are received, and held in memory, by one edge."""

    file_bytes_max: int = 20 << 20
    file_chars_max: int = 200_000
    prompt_chars_max: int = 250_000
    files_max: int = 1_000
    user_bytes_max: int = 1 << 30
    at_once: int = 8


@dataclass(frozen=True, slots=True)
class PdfLimits:
    """What reading one PDF may take; `concurrent` are read at once."""

    memory_bytes: int = 512 << 20
    seconds: int = 10
    pages_max: int = 500
    chars_max: int = 200_000
    concurrent: int = 2
    waiting_max: int = 16


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """Limits in counts, bytes and seconds.

    `models` must not be empty; `default_model` '' means the first of them. Of `token_keys`
    the first signs and all verify, so keys can be rotated. `reader` names this life of this
    edge to schedulers, which stop what only it reads once it is gone ('': they don't).
    `secure_cookies` marks cookies Secure even if this process sees plain HTTP (behind a proxy
    that ends TLS).
    `embeddings` None: nobody makes any; `embeddings_at_once` requests for them are worked on, and
    each batch of inputs is waited for `embedding_timeout_s`.
    `body_max_bytes` bounds a request, `pictured_body_max_bytes` one that has pictures.
    `status_silence_s` without a status makes a pool unusable; before it takes its first request
    an edge waits up to `first_status_s` for the status of every pool. `command_margin_s` is how
    much earlier a command expires than its client is told so. A scheduler that is asked about a
    prompt and does not answer within `ask_timeout_s` is not waited for. A reader that takes
    nothing for `slow_reader_s`, or falls `backlog_max` events behind, is disconnected and may
    resume. An edge that has been cut off from the bus for `adrift_s` ends its streams: another
    one may have more to tell.
    """

    models: tuple[ModelPool, ...]
    token_keys: tuple[TokenKey, ...]
    default_model: str = ""
    reader: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    static_dir: Path = field(default=Path(__file__).parent / "static")
    embeddings: EmbeddingPool | None = None
    embeddings_at_once: int = 8
    embedding_timeout_s: float = 20.0
    allow_guests: bool = True
    secure_cookies: bool = False
    session_s: int = 30 * 86_400
    password_cost: PasswordCost = PasswordCost()
    login_failures_max: int = 10
    address_failures_max: int = 100
    login_window_s: int = 300
    lookup_ttl_s: float = 5.0
    lookups_max: int = 10_000
    api_keys_max: int = 100
    deletion_sweep_s: float = 600.0
    uploads: UploadLimits = UploadLimits()
    pdf: PdfLimits = PdfLimits()
    body_max_bytes: int = 1_048_576
    pictured_body_max_bytes: int = 16 << 20
    command_max_bytes: int = 900_000
    submit_timeout_s: float = 10.0
    command_margin_s: float = 0.5
    cancel_wait_s: float = 2.0
    describe_timeout_s: float = 1.0
    ask_timeout_s: float = 0.05
    status_silence_s: float = 3.0
    first_status_s: float = 0.0
    disconnect_cancel_s: float = 5.0
    ping_s: float = 15.0
    slow_reader_s: float = 10.0
    backlog_max: int = 2_000
    adrift_s: float = 2.0
    stream_max_s: float = 3_600.0
    streams_max: int = 20_000
    connections_max: int = 40_000
    shutdown_grace_s: float = 10.0

    def __post_init__(self) -> None:
        if not self.models or not self.token_keys:
            raise ValueError("an edge needs at least one model and one token key")
        if self.default_model and all(m.model != self.default_model for m in self.models):
            raise ValueError(f"the default model {self.default_model!r} is not served")

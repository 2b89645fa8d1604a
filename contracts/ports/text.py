"""Text and tokens of one model: chat template, encoding, incremental decoding.

Pure computation: machines may call it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


class TextDecoder(Protocol):
    """Incremental decoding of one answer; the same tokens give the same text in any split."""

    def push(self, tokens: Sequence[int]) -> str:
        """Return the text that these tokens complete: whole characters only, special tokens
        left out."""
        ...

    def flush(self) -> str:
        """Return what is still held back (an incomplete character as U+FFFD), at the end."""
        ...


class TextCodec(Protocol):
    """The tokenizer of a model."""

    @property
    def eos_tokens(self) -> frozenset[int]:
        """Tokens that end an answer."""
        ...

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the tokens of plain text, with special tokens recognised (completions API)."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of `tokens`, special tokens left out."""
        ...

    def render_chat(self, turns: Sequence[Turn]) -> tuple[int, ...]:
        """Return the prompt of a conversation by the model's template, ready for the answer.
        Special tokens inside a turn's content are text: nobody can forge a role."""
        ...

    def decoder(self) -> TextDecoder:
        """Return a new decoder."""
        ...

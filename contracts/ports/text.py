"""Text and tokens of one model: chat template, encoding, incremental decoding.

Pure computation: machines may call it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

ToolForm = Literal["", "hermes"]
"""How a model writes its calls of tools: "" not at all; "hermes" as JSON between
`<tool_call>` and `</tool_call>`, as NousResearch's Hermes and Qwen's models do."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that an assistant made; `arguments` is JSON text."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a prompt. `tool_calls` are an assistant's; `call_id` says what a tool's
    message answers. `pictures` are the places in the content, in characters and in order, before
    which a picture stands."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    pictures: tuple[int, ...] = ()


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

    @property
    def tool_form(self) -> ToolForm:
        """How the model's template has it call tools."""
        ...

    @property
    def picture_mark(self) -> int | None:
        """The token by which the model's template says that a picture stands there; None: it
        takes none."""
        ...

    def render_chat(
        self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[int, ...]:
        """Return the prompt of a conversation by the model's template, ready for the answer.
        Special tokens inside a turn's content are text: nobody can forge a role. `tools` are
        definitions as OpenAI's API has them; only where there is a `tool_form`. Each picture of
        a turn becomes one mark, in order, where there is a `picture_mark`."""
        ...

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of UTF-8 that one token stands for, a special token's name; empty
        for a number that is none."""
        ...

    def decoder(self) -> TextDecoder:
        """Return a new decoder."""
        ...

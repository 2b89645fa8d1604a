"""A tokenizer without a model: every byte of UTF-8 is a token.

The fake beside `tokenizer.HfTextCodec`; both pass the suite in `tests/unit/gpu/test_codecs.py`.
"""

import codecs
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.ports.text import ToolForm, Turn

EOS = 256
TURN = 257
_ROLES = {"system": 258, "user": 259, "assistant": 260, "tool": 261}


class _ByteDecoder:
    """See `contracts.ports.text.TextDecoder`."""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, tokens: Sequence[int]) -> str:
        """Return the characters that these tokens complete."""
        return self._utf8.decode(bytes(token for token in tokens if token < 256))

    def flush(self) -> str:
        """Return an incomplete character as U+FFFD."""
        return self._utf8.decode(b"", final=True)


class ByteCodec:
    """See `contracts.ports.text.TextCodec`. Tokens 0 to 255 are bytes, 256 ends an answer,
    257 ends a turn, 258 to 261 begin a turn of a role; none of the last six has a text."""

    @property
    def eos_tokens(self) -> frozenset[int]:
        """The one token that ends an answer."""
        return frozenset((EOS,))

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the bytes of `text`."""
        return tuple(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of the bytes among `tokens`."""
        return bytes(token for token in tokens if token < 256).decode("utf-8", "replace")

    @property
    def tool_form(self) -> ToolForm:
        """None."""
        return ""

    @property
    def picture_mark(self) -> int | None:
        """None."""
        return None

    def render_chat(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Mapping[str, Any]] = (),  # noqa: ARG002
    ) -> tuple[int, ...]:
        """Return role, content and end of each turn, then the role of the answer."""
        tokens: list[int] = []
        for turn in turns:
            tokens += (_ROLES[turn.role], *turn.content.encode(), TURN)
        tokens.append(_ROLES["assistant"])
        return tuple(tokens)

    def token_bytes(self, token: int) -> bytes:
        """Return the byte."""
        return bytes((token,)) if token < 256 else f"<{token}>".encode()

    def decoder(self) -> _ByteDecoder:
        """Return a new decoder."""
        return _ByteDecoder()

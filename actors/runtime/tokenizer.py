"""The tokenizer of a Hugging Face model, by the `tokenizers` library and its chat template.

It never imports vLLM, torch or transformers, so that session and edge start quickly.
"""

import codecs
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from actors.runtime.stand_ins import disguised, split_at, strings_of, unused_characters
from contracts.errors import ParleyError, Problem, Refused
from contracts.ports.text import TextDecoder, ToolForm, Turn

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: "
    "{{ message['content'] }}\n{% endfor %}Assistant:"
)
"""What a model without a chat template is given."""

_NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")


class BadTokenizer(ParleyError):
    """The model's directory has no usable tokenizer; the message names the file."""


def _bytes_of_characters() -> dict[str, int]:
    """Return the byte that each character of a byte-level vocabulary stands for (GPT-2's
    table: printable Latin-1 stands for itself, the rest are moved up from U+0100)."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in own}
    moved = (byte for byte in range(256) if byte not in own)
    table.update({chr(0x100 + place): byte for place, byte in enumerate(moved)})
    return table


class _ByteLevelDecoder:
    """Decodes by bytes: constant work a token, and exact in any split."""

    def __init__(self, table: Sequence[bytes]) -> None:
        self._table = table
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, tokens: Sequence[int]) -> str:
        table = self._table
        if len(tokens) == 1:
            return self._utf8.decode(table[tokens[0]])
        return self._utf8.decode(b"".join([table[token] for token in tokens]))

    def flush(self) -> str:
        return self._utf8.decode(b"", final=True)


class _StreamDecoder:
    """Decodes any other tokenizer, a token at a time (so that every split gives the same)."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._tokens: list[int] = []
        self._length = 0

    def push(self, tokens: Sequence[int]) -> str:
        parts = []
        for token in tokens:
            self._tokens.append(token)
            part = self._stream.step(self._tokenizer, token)
            if part:
                parts.append(part)
        text = "".join(parts)
        self._length += len(text)
        return text

    def flush(self) -> str:
        whole: str = self._tokenizer.decode(self._tokens, skip_special_tokens=True)
        rest = whole[self._length :]
        self._length += len(rest)
        return rest


class HfTextCodec:
    """See `contracts.ports.text.TextCodec`; make one with `load`."""

    def __init__(
        self,
        tokenizer: Any,
        *,
        eos_tokens: frozenset[int],
        template: str,
        names: Mapping[str, str],
        model_vocabulary: int = 0,
    ) -> None:
        self._tokenizer = tokenizer
        self._eos_tokens = eos_tokens
        self._template = _compile(template)
        self._tool_form: ToolForm = "hermes" if _takes_tools(template) else ""
        self._names = dict(names)
        self._special = {
            token.content: number
            for number, token in tokenizer.get_added_tokens_decoder().items()
            if token.special
        }
        self._table = _byte_table(tokenizer, frozenset(self._special.values()), model_vocabulary)
        self._takes_strings = True
        self._picture_mark = self._find_picture_mark()

    @classmethod
    def load(cls, model_dir: Path) -> "HfTextCodec":
        """Return the codec of the model in `model_dir`.

        What the file says of cutting and padding is not followed: that is the caller's business.
        Reads `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja`, `config.json`
        and `generation_config.json`; only the first must be there.

        Raises:
            BadTokenizer: a file is missing or malformed.
        """
        path = model_dir / "tokenizer.json"
        if not path.is_file():
            raise BadTokenizer(f"no tokenizer: {path} is missing")
        try:
            tokenizer = Tokenizer.from_str(path.read_text("utf-8"))
        except Exception as error:
            raise BadTokenizer(f"{path} is not a tokenizer: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        settings = _read_json(model_dir / "tokenizer_config.json")
        names = {}
        for name in _NAMED_TOKENS:
            value = settings.get(name)
            content = value.get("content") if isinstance(value, dict) else value
            if isinstance(content, str):
                names[name] = content
        eos: set[int] = set()
        for name in ("generation_config.json", "config.json"):
            value = _read_json(model_dir / name).get("eos_token_id")
            eos.update([value] if isinstance(value, int) else value or ())
        config = _read_json(model_dir / "config.json")
        spoken = config.get("text_config")
        layers = (config, spoken if isinstance(spoken, dict) else {})
        vocabulary = next((each["vocab_size"] for each in layers if "vocab_size" in each), 0)
        own = tokenizer.token_to_id(names.get("eos_token", ""))
        if own is not None:
            eos.add(own)
        return cls(
            tokenizer,
            eos_tokens=frozenset(eos),
            template=_template_of(model_dir, settings),
            names=names,
            model_vocabulary=vocabulary if isinstance(vocabulary, int) else 0,
        )

    @property
    def vocabulary(self) -> int:
        """The number of tokens."""
        size: int = self._tokenizer.get_vocab_size(with_added_tokens=True)
        return size

    @property
    def eos_tokens(self) -> frozenset[int]:
        """Every token that the model's files name as an end of the answer."""
        return self._eos_tokens

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the tokens of `text` with the model's own beginning and end marks."""
        return tuple(self._tokenizer.encode(text).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of `tokens`, special tokens left out."""
        decoder = self.decoder()
        return decoder.push(tokens) + decoder.flush()

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of one token, a special token's name."""
        if self._table is not None and token < len(self._table) and self._table[token]:
            return self._table[token]
        name: str | None = self._tokenizer.id_to_token(token)
        if name is None or token in self._special.values():
            return (name or "").encode()
        text: str = self._tokenizer.decode([token], skip_special_tokens=False)
        return text.encode()

    def decoder(self) -> TextDecoder:
        """Return a new decoder."""
        if self._table is not None:
            return _ByteLevelDecoder(self._table)
        return _StreamDecoder(self._tokenizer)

    @property
    def tool_form(self) -> ToolForm:
        """The form that the chat template describes to the model, if it takes tools."""
        return self._tool_form

    @property
    def picture_mark(self) -> int | None:
        """The first special token that the chat template writes for a part of the type
        `image`."""
        return self._picture_mark

    def _find_picture_mark(self) -> int | None:
        """Try the template with a picture, as Hugging Face's take it: a message whose content is
        a list of parts. Also find out whether it takes contents that are no lists beside it."""
        word = {"type": "text", "text": "word"}

        def said(content: Any) -> str:
            try:
                return self._render([[{"role": "user", "content": content}], []])
            except (Refused, TypeError):
                return ""

        without, seen = said([word]), said([{"type": "image"}, word])
        if "word" not in seen or "word" not in without:
            return None
        self._takes_strings = "word" in said("word")
        special = frozenset(self._special.values())
        known = self._encode_template(without)
        added = (token for token in self._encode_template(seen) if token in special)
        return next((token for token in added if token not in known), None)

    def render_chat(
        self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[int, ...]:
        """Return the prompt of a conversation, ready for the answer.

        A special token written out in a turn or a tool is replaced by a private character
        before the template sees it, and encoded as plain text in that character's place.

        Raises:
            Refused: the template does not take these turns (`invalid_value`).
        """
        parts = not self._takes_strings and any(turn.pictures for turn in turns)
        given: list[Any] = [[_message(turn, parts=parts) for turn in turns], list(tools)]
        said = strings_of(given)
        forged = [
            content
            for content in self._special
            if content and any(content in string for string in said)
        ]
        if not forged:
            return self._encode_template(self._render(given))
        marks = unused_characters("".join(said), len(forged))
        # The longest first: one special token may be a part of another.
        stand_ins = dict(zip(sorted(forged, key=len, reverse=True), marks, strict=True))
        meanings = {mark: special for special, mark in stand_ins.items()}
        tokens: list[int] = []
        for piece in split_at(self._render(disguised(given, stand_ins)), meanings):
            if piece in meanings:
                tokens += self._encode_literally(meanings[piece])
            else:
                tokens += self._encode_template(piece)
        return tuple(tokens)

    def _render(self, given: Sequence[Any]) -> str:
        messages, tools = given
        try:
            return self._template.render(
                messages=messages,
                add_generation_prompt=True,
                **({"tools": tools} if tools else {}),
                **self._names,
            )
        except TemplateError as error:
            raise Refused(
                Problem(
                    code="invalid_value",
                    detail=f"The model's chat template does not take this conversation: {error}",
                )
            ) from error

    def _encode_template(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _encode_literally(self, text: str) -> tuple[int, ...]:
        self._tokenizer.encode_special_tokens = True
        try:
            return self._encode_template(text)
        finally:
            self._tokenizer.encode_special_tokens = False


def printable_tokens(codec: HfTextCodec, limit: int) -> tuple[int, ...]:
    """Return up to `limit` tokens whose text is printable, with a letter or a space at its
    front: what a simulated engine may say."""
    chosen = []
    for token in range(codec.vocabulary):
        text = codec.decode((token,))
        if text.isprintable() and text.strip().isalpha() and text.isascii():
            chosen.append(token)
            if len(chosen) == limit:
                break
    return tuple(chosen)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise BadTokenizer(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadTokenizer(f"{path} is not a JSON object")
    return content


def _template_of(model_dir: Path, settings: Mapping[str, Any]) -> str:
    path = model_dir / "chat_template.jinja"
    if path.is_file():
        return path.read_text("utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template}
        template = named.get("default")
    return template if isinstance(template, str) else PLAIN_TEMPLATE


def _compile(template: str) -> Template:
    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.globals["raise_exception"] = raise_exception
    environment.filters["tojson"] = lambda value, **options: json.dumps(
        value, ensure_ascii=False, **options
    )
    try:
        return environment.from_string(template)
    except TemplateError as error:
        raise BadTokenizer(f"the chat template can't be compiled: {error}") from error


def _takes_tools(template: str) -> bool:
    return "<tool_call>" in template and re.search(r"\btools\b", template) is not None


def _message(turn: Turn, *, parts: bool) -> dict[str, Any]:
    """Return a turn as templates take it; with `parts` also one without a picture in parts."""
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.pictures or parts:
        message["content"] = _parts(turn)
    if turn.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call.arguments)},
            }
            for call in turn.tool_calls
        ]
    if turn.call_id:
        message["tool_call_id"] = turn.call_id
    return message


def _parts(turn: Turn) -> list[dict[str, str]]:
    """Return a content as the parts that its pictures divide it into."""
    parts: list[dict[str, str]] = []
    start = 0
    for place in turn.pictures:
        if turn.content[start:place]:
            parts.append({"type": "text", "text": turn.content[start:place]})
        parts.append({"type": "image"})
        start = place
    if turn.content[start:] or not parts:
        parts.append({"type": "text", "text": turn.content[start:]})
    return parts


def _arguments(text: str) -> Any:
    """Return what JSON text says, as templates expect it, or the text if it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _byte_table(
    tokenizer: Any, special: frozenset[int], model_vocabulary: int
) -> list[bytes] | None:
    """Return the bytes of every token of a byte-level vocabulary; None for other kinds. A
    model may have more tokens than its tokenizer (padding): those have no text."""
    decoder = json.loads(tokenizer.to_str()).get("decoder") or {}
    if decoder.get("type") != "ByteLevel":
        return None
    byte_of = _bytes_of_characters()
    table = []
    known = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    for number in range(max(known, model_vocabulary)):
        token = tokenizer.id_to_token(number)
        if token is None or number in special:
            table.append(b"")
        elif all(char in byte_of for char in token):
            table.append(bytes(byte_of[char] for char in token))
        else:
            table.append(token.encode())
    return table

"""What OpenAI's clients and vLLM's benchmark send, checked.

What each parameter may be is decided by the table in `openai_parameters`; nothing is dropped
in silence.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from contracts.ports.text import Turn
from contracts.runs import Guide, Sampling
from edge.bodies import decode_json, invalid
from edge.openai_errors import Unsupported
from edge.openai_messages import (
    ChatMessage,
    Tool,
    ToolChoice,
    ToolUse,
    pictures_of,
    tool_use,
    turns_of,
)
from edge.openai_parameters import VERDICTS, Kind
from edge.prompts import SEED_MAX, TOKENS_MAX, Stops, StopText

COMPLETION_TOKENS_DEFAULT = 16
LOGPROBS_MAX = 20
CHOICES_MAX = 16
EMBEDDING_INPUTS_MAX = 2_048
SCHEMA_BYTES_MAX = 65_536
_BIASES_MAX = 1_024
_TOKEN_ID_MAX = 2**31 - 1

_DRAWN = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
)

Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
TopP = Annotated[float, msgspec.Meta(gt=0, le=1)]
NewTokens = Annotated[int, msgspec.Meta(ge=1, le=TOKENS_MAX)]
Bias = Annotated[float, msgspec.Meta(ge=-100, le=100)]
Likeliest = Annotated[int, msgspec.Meta(ge=0, le=LOGPROBS_MAX)]


class StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stream carries beside its text."""

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None
    continuous_usage_stats: Literal[False] | None = None


class JsonSchema(msgspec.Struct, frozen=True):
    """A schema that the answer must follow; what else is said of it helps nobody here."""

    schema: dict[str, Any] | None = None
    name: str = ""
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def guide(self) -> Guide | None:
        """Return what holds the engine to it. Raises InvalidRequest for an unusable schema."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return Guide(kind="json_object")
        schema = self.json_schema.schema if self.json_schema is not None else None
        return schema_guide(schema, "response_format.json_schema.schema")


def schema_guide(schema: dict[str, Any] | None, where: str) -> Guide:
    """Return the guide of a schema. Raises InvalidRequest if there is none, or it is long."""
    if schema is None:
        raise invalid(where, "must not be missing")
    text = msgspec.json.encode(schema).decode()
    if len(text) > SCHEMA_BYTES_MAX:
        raise invalid(where, f"takes at most {SCHEMA_BYTES_MAX} bytes")
    return Guide(kind="json_schema", json_schema=text)


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters that both kinds of request share."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=CHOICES_MAX)] | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: Annotated[int, msgspec.Meta(ge=-1, le=1_000_000)] | None = None
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, msgspec.Meta(gt=0, le=10)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=SEED_MAX)] | None = None
    stop: StopText | Stops | None = None
    max_tokens: NewTokens | None = None
    min_tokens: Annotated[int, msgspec.Meta(ge=0, le=TOKENS_MAX)] | None = None
    ignore_eos: bool | None = None
    logit_bias: Annotated[dict[str, Bias], msgspec.Meta(max_length=_BIASES_MAX)] | None = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def likeliest(self) -> int | None:
        """How many of the likeliest tokens are told at each place; None: no logprobs."""
        return None

    @property
    def guide(self) -> Guide | None:
        """The form of the answer."""
        return None

    def biases(self) -> tuple[tuple[int, float], ...]:
        """Return the biases by token. Raises InvalidRequest for what is no token id."""
        pairs = []
        for name, bias in (self.logit_bias or {}).items():
            if not name.isascii() or not name.isdigit() or int(name) > _TOKEN_ID_MAX:
                raise invalid("logit_bias", f"{name[:40]!r} is no token id")
            pairs.append((int(name), bias))
        return tuple(sorted(pairs))

    def sampling(self, max_tokens: int, usual: Sampling) -> Sampling:
        """Return how the answer is drawn, with at most `max_tokens` new tokens; what the
        request does not say is as `usual`."""
        min_tokens = self.min_tokens or 0
        if min_tokens > max_tokens:
            raise invalid("min_tokens", f"is above the {max_tokens} that may be written")
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        given = {name: getattr(self, name) for name in _DRAWN}
        if self.top_k is not None:
            given["top_k"] = max(self.top_k, 0)
        return msgspec.structs.replace(
            usual,
            max_tokens=max_tokens,
            min_tokens=min_tokens,
            seed=self.seed,
            stop=stop,
            ignore_eos=bool(self.ignore_eos),
            logit_bias=self.biases(),
            logprobs=self.likeliest,
            guide=self.guide,
            **{name: value for name, value in given.items() if value is not None},
        )


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """POST /v1/embeddings: inputs, as text or as token ids."""

    model: str
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None

    def inputs(self) -> Sequence[str | tuple[int, ...]]:
        """Return the inputs. Raises InvalidRequest for none, for too many, and for ids that no
        vocabulary has."""
        return _texts(self.input, "input", EMBEDDING_INPUTS_MAX)


class CompletionRequest(Drawn, frozen=True, kw_only=True):
    """POST /v1/completions: prompts, as text or as token ids."""

    prompt: str | list[str | int | list[int]]
    best_of: int | None = None
    echo: bool | None = None
    logprobs: Likeliest | bool | None = None

    @property
    def wanted_tokens(self) -> int | None:
        """The most new tokens that the client wants; None: what fits."""
        return COMPLETION_TOKENS_DEFAULT if self.max_tokens is None else self.max_tokens

    @property
    def likeliest(self) -> int | None:
        """See `Drawn`; false asks for none."""
        if isinstance(self.logprobs, bool):
            if self.logprobs:
                raise invalid("logprobs", "must be a number from 0 to 20")
            return None
        return self.logprobs

    def prompts(self) -> Sequence[str | tuple[int, ...]]:
        """Return the prompts. Raises InvalidRequest for none, for too many, and for ids that
        no vocabulary has."""
        if self.best_of not in (None, self.n or 1):
            raise Unsupported("best_of", "is not supported, except with the value of n")
        if self.echo and self.likeliest is not None:
            raise Unsupported("echo", "is not supported together with logprobs")
        prompts = _texts(self.prompt, "prompt", CHOICES_MAX)
        if len(prompts) * (self.n or 1) > CHOICES_MAX:
            raise invalid("prompt", f"makes more than {CHOICES_MAX} choices with n")
        return prompts


def _texts(given: Any, name: str, most: int) -> Sequence[str | tuple[int, ...]]:
    """Return what a field holds: a text, token ids, or a list of either."""
    texts: list[Any] = given if isinstance(given, list) else [given]
    if texts and isinstance(texts[0], int):
        texts = [texts]
    if not texts:
        raise invalid(name, "must not be empty")
    if len(texts) > most:
        raise invalid(name, f"takes at most {most} texts")
    return [_text(text, name) for text in texts]


def _text(text: Any, name: str) -> str | tuple[int, ...]:
    if not text:
        raise invalid(name, "must not be empty")
    if isinstance(text, str):
        return text
    if not isinstance(text, list) or not all(
        isinstance(token, int) and 0 <= token <= _TOKEN_ID_MAX for token in text
    ):
        raise invalid(name, "must be text or a list of token ids")
    return tuple(text)


class ChatRequest(Drawn, frozen=True, kw_only=True):
    """POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]
    max_completion_tokens: NewTokens | None = None
    logprobs: bool | None = None
    top_logprobs: Likeliest | None = None
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None

    @property
    def wanted_tokens(self) -> int | None:
        """The most new tokens that the client wants; None: what fits."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def likeliest(self) -> int | None:
        """See `Drawn`."""
        if not self.logprobs:
            if self.top_logprobs:
                raise invalid("top_logprobs", "needs logprobs to be true")
            return None
        return self.top_logprobs or 0

    @property
    def guide(self) -> Guide | None:
        """See `Drawn`."""
        return None if self.response_format is None else self.response_format.guide()

    def tool_use(self) -> ToolUse | None:
        """Return the tools that the model may call; None: none. Raises InvalidRequest."""
        use = tool_use(self.tools, self.tool_choice, self.parallel_tool_calls)
        if use is not None and self.likeliest is not None:
            raise Unsupported("logprobs", "is not supported together with tools")
        if use is not None and self.guide is not None:
            raise Unsupported("response_format", "is not supported together with tools")
        return use

    def turns(self) -> list[Turn]:
        """Return the conversation. Raises InvalidRequest for what is neither text nor a
        picture."""
        return turns_of(self.messages)

    def pictures(self) -> list[tuple[str, str]]:
        """Return the URLs of its pictures, each after the name of its place. Raises
        InvalidRequest."""
        return pictures_of(self.messages)


Q = TypeVar("Q", bound=msgspec.Struct)


def parse(data: bytes, shape: type[Q], kind: Kind) -> Q:
    """Return the request that `data` encodes.

    Raises:
        InvalidRequest: malformed, out of range, or a parameter that can't be honoured.
    """
    verdicts = VERDICTS[kind]
    for name, raw in decode_json(data or b"{}", dict[str, msgspec.Raw]).items():
        verdict = verdicts.get(name)
        if verdict is not None and verdict.does in ("supported", "label"):
            continue
        value: object = decode_json(bytes(raw), Any)
        if value is None or (verdict is not None and value in verdict.values):
            continue
        if verdict is None:
            raise Unsupported(name[:100], "is not a parameter that is supported here")
        if verdict.values:
            raise Unsupported(name, "is not supported, except with the value that changes nothing")
        raise Unsupported(name, "is not supported")
    return decode_json(data or b"{}", shape)

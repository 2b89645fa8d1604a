"""What OpenAI's clients and vLLM's benchmark send, checked.

A parameter that Parley can't honour is refused by its name, unless its value asks for
nothing; what only labels a request is ignored. Nothing is dropped in silence.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from contracts.ports.text import Turn
from contracts.runs import Sampling
from edge.bodies import decode_json, invalid
from edge.prompts import SEED_MAX, TOKENS_MAX, Stops, StopText

COMPLETION_TOKENS_DEFAULT = 16
_TOKEN_ID_MAX = 2**31 - 1

_LABELS = frozenset(
    (
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "parallel_tool_calls",
        "request_id",
    )
)
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "use_beam_search": (False,),
    "length_penalty": (1,),
    "stop_token_ids": ([],),
    "include_stop_str_in_output": (False,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "add_special_tokens": (True, False),
    "bad_words": ([],),
    "priority": (0,),
}


_DRAWN = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
)


class StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stream carries beside its text."""

    include_usage: bool = False
    include_obfuscation: bool = False
    continuous_usage_stats: Literal[False] | None = None


class _Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters that both kinds of request share."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=-1, le=1_000_000)] | None = None
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, msgspec.Meta(gt=0, le=10)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=SEED_MAX)] | None = None
    stop: StopText | Stops | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=TOKENS_MAX)] | None = None
    min_tokens: Annotated[int, msgspec.Meta(ge=0, le=TOKENS_MAX)] | None = None
    ignore_eos: bool | None = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return self.stream_options is not None and self.stream_options.include_usage

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
            **{name: value for name, value in given.items() if value is not None},
        )


class CompletionRequest(_Drawn, frozen=True, kw_only=True):
    """POST /v1/completions: one prompt, as text or as token ids."""

    prompt: str | list[str | int | list[int]]

    @property
    def wanted_tokens(self) -> int | None:
        """The most new tokens that the client wants; None: what fits."""
        return COMPLETION_TOKENS_DEFAULT if self.max_tokens is None else self.max_tokens

    def one_prompt(self) -> str | tuple[int, ...]:
        """Return the prompt. Raises InvalidRequest for none, for several, and for ids that
        no vocabulary has."""
        prompt: Any = self.prompt
        if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
            if len(prompt) > 1:
                raise invalid("prompt", "takes one prompt a request")
            prompt = prompt[0]
        if not prompt:
            raise invalid("prompt", "must not be empty")
        if isinstance(prompt, str):
            return prompt
        if not all(isinstance(token, int) and 0 <= token <= _TOKEN_ID_MAX for token in prompt):
            raise invalid("prompt", "must be text or a list of token ids")
        return tuple(prompt)


class ContentPart(msgspec.Struct, frozen=True):
    """A part of a message's content."""

    type: str
    text: str | None = None


class ChatMessage(msgspec.Struct, frozen=True):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ContentPart] | None = None
    tool_calls: list[Any] | None = None

    def turn(self, index: int) -> Turn:
        """Return it as a turn of the prompt. Raises InvalidRequest for what isn't text."""
        where = f"messages[{index}]"
        if self.tool_calls:
            raise invalid(f"{where}.tool_calls", "is not supported")
        if self.content is None:
            raise invalid(f"{where}.content", "must not be missing")
        if isinstance(self.content, str):
            text = self.content
        else:
            for part in self.content:
                if part.type != "text" or part.text is None:
                    raise invalid(
                        f"{where}.content", f"parts of type {part.type} are not supported"
                    )
            text = "".join(part.text or "" for part in self.content)
        return Turn(role="system" if self.role == "developer" else self.role, content=text)


class ChatRequest(_Drawn, frozen=True, kw_only=True):
    """POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]
    max_completion_tokens: Annotated[int, msgspec.Meta(ge=1, le=TOKENS_MAX)] | None = None

    @property
    def wanted_tokens(self) -> int | None:
        """The most new tokens that the client wants; None: what fits."""
        return self.max_completion_tokens or self.max_tokens

    def turns(self) -> list[Turn]:
        """Return the conversation. Raises InvalidRequest for what isn't text."""
        return [message.turn(index) for index, message in enumerate(self.messages)]


Q = TypeVar("Q", CompletionRequest, ChatRequest)


def parse(data: bytes, kind: type[Q]) -> Q:
    """Return the request that `data` encodes.

    Raises:
        InvalidRequest: malformed, out of range, or a parameter that can't be honoured.
    """
    known = kind.__struct_encode_fields__
    for name, raw in decode_json(data or b"{}", dict[str, msgspec.Raw]).items():
        if name in known or name in _LABELS:
            continue
        value: object = decode_json(bytes(raw), Any)
        if value is None or value in _NEUTRAL.get(name, ()):
            continue
        if name in _NEUTRAL:
            raise invalid(name, "is not supported, except with the value that changes nothing")
        raise invalid(name[:100], "is not a parameter that is supported here")
    return decode_json(data or b"{}", kind)

"""What each parameter of the OpenAI-compatible routes gets here: one table, which decides and
which documents. `python -m edge.openai_parameters` prints `edge/OPENAI.md`.

A parameter is never ignored in silence: it is supported, or it may only have the values that
change nothing, or it only labels a request, or it is refused by its name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["chat", "completion", "response", "embedding"]
KINDS: tuple[Kind, ...] = ("chat", "completion", "response", "embedding")
PATHS: dict[Kind, str] = {
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
    "response": "/v1/responses",
    "embedding": "/v1/embeddings",
}

_C: tuple[Kind, ...] = ("chat",)
_T: tuple[Kind, ...] = ("completion",)
_R: tuple[Kind, ...] = ("response",)
_CT = _C + _T
_E: tuple[Kind, ...] = ("embedding",)
_ALL = _CT + _R


@dataclass(frozen=True, slots=True)
class Parameter:
    """`supported` are the routes that honour it, `neutral` those that take only `values`, which
    change nothing, `label` those where it only names or sorts the request, `refused` those
    that know it and refuse it whatever its value. null is taken everywhere."""

    name: str
    supported: tuple[Kind, ...] = ()
    neutral: tuple[Kind, ...] = ()
    values: tuple[Any, ...] = ()
    label: tuple[Kind, ...] = ()
    refused: tuple[Kind, ...] = ()
    note: str = ""


def _yes(name: str, kinds: tuple[Kind, ...], note: str = "") -> Parameter:
    return Parameter(name, supported=kinds, note=note)


def _only(name: str, kinds: tuple[Kind, ...], *values: Any) -> Parameter:
    return Parameter(name, neutral=kinds, values=values)


def _label(name: str, kinds: tuple[Kind, ...]) -> Parameter:
    return Parameter(name, label=kinds)


def _no(name: str, kinds: tuple[Kind, ...], note: str = "") -> Parameter:
    return Parameter(name, refused=kinds, note=note)


PARAMETERS: tuple[Parameter, ...] = (
    _yes("model", _ALL + _E, "one of `/v1/models`"),
    _yes("messages", _C, "text; roles system, developer, user, assistant, tool"),
    _yes("prompt", _T, "text, token ids, or a list of either"),
    Parameter(
        "input",
        supported=_R + _E,
        note="responses: text, or items: messages, function calls and their outputs; "
        "embeddings: text, token ids, or a list of up to 2,048 of either",
    ),
    _yes("encoding_format", _E, "`float`, `base64`"),
    _no("dimensions", _E, "vectors have as many as the model makes"),
    _yes("instructions", _R),
    _yes("stream", _ALL),
    Parameter(
        "stream_options",
        supported=_CT,
        neutral=_R,
        values=({}, {"include_obfuscation": False}),
        note="`include_usage`; `include_obfuscation` and `continuous_usage_stats` only false",
    ),
    _yes("temperature", _ALL, "0 to 2; 0 is greedy"),
    _yes("top_p", _ALL, "above 0, at most 1"),
    _yes("max_tokens", _CT, "`/v1/completions` writes 16 unless told, chat what fits"),
    _yes("max_completion_tokens", _C),
    _yes("max_output_tokens", _R),
    _yes("n", _CT, "a run each; with `seed` s choice i has seed s + i"),
    _yes("best_of", _T, "only as many as `n`"),
    _yes("stop", _CT, "up to 16; the text before the first match is the answer"),
    _yes("seed", _CT, "0 to 2^63 - 1"),
    _yes("presence_penalty", _CT, "-2 to 2"),
    _yes("frequency_penalty", _CT, "-2 to 2"),
    _yes("logit_bias", _CT, "up to 1,024 tokens, -100 to 100"),
    Parameter(
        "logprobs",
        supported=_CT,
        note="chat: true; completions: 0 to 20 likeliest; not with `tools`",
    ),
    Parameter(
        "top_logprobs",
        supported=_C,
        neutral=_R,
        values=(0,),
        note="0 to 20, with `logprobs`",
    ),
    Parameter(
        "response_format",
        supported=_C,
        neutral=_T,
        values=({"type": "text"},),
        note="`text`, `json_object`, `json_schema`; not on a simulated engine",
    ),
    _yes("text", _R, "`format` as `response_format`; `verbosity` only medium"),
    _yes("tools", _C + _R, "functions, where the model's chat template defines tools"),
    _yes("tool_choice", _C + _R, "`auto`, `none`"),
    _yes("parallel_tool_calls", _C + _R),
    _yes("echo", _T, "not with `logprobs`"),
    _yes("background", _R, "with `store`"),
    _yes("store", _R, "true unless told"),
    _yes("previous_response_id", _R),
    _yes("metadata", _R),
    _only("store", _CT, False),
    _only("suffix", _T, ""),
    _only("functions", _C, []),
    _only("function_call", _C, "none", "auto"),
    _only("modalities", _C, ["text"]),
    _only("verbosity", _C, "medium"),
    _only("include", _R, []),
    _only("truncation", _R, "disabled"),
    _only("reasoning", _R, {}),
    _label("metadata", _CT),
    _label("user", _ALL + _E),
    _label("service_tier", _ALL),
    _label("safety_identifier", _ALL),
    _label("prompt_cache_key", _ALL),
    _label("prompt_cache_retention", _ALL),
    _no("audio", _C),
    _no("prediction", _C),
    _no("reasoning_effort", _C, "no model here reasons apart from its answer"),
    _no("web_search_options", _C),
    _no("moderation", _C + _R),
    _no("conversation", _R, "use `previous_response_id`"),
    _no("prompt", _R, "there are no stored prompts"),
    _no("max_tool_calls", _R, "there are no built-in tools"),
    _no("context_management", _R),
    # vLLM's
    _yes("top_k", _CT, "vLLM's; -1 or 0: all"),
    _yes("min_p", _CT, "vLLM's"),
    _yes("min_tokens", _CT, "vLLM's"),
    _yes("repetition_penalty", _CT, "vLLM's"),
    _yes("ignore_eos", _CT, "vLLM's"),
    _label("request_id", _CT),
    _only("use_beam_search", _CT, False),
    _only("length_penalty", _CT, 1),
    _only("stop_token_ids", _CT, []),
    _only("include_stop_str_in_output", _CT, False),
    _only("skip_special_tokens", _CT, True),
    _only("spaces_between_special_tokens", _CT, True),
    _only("add_generation_prompt", _C, True),
    _only("continue_final_message", _C, False),
    _only("add_special_tokens", _CT, True, False),
    _only("bad_words", _CT, []),
    _only("priority", _CT, 0),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a route does with a parameter; `values` are those that it takes as neutral."""

    does: Literal["supported", "neutral", "label", "refused"]
    values: tuple[Any, ...] = field(default=())


def _verdicts(kind: Kind) -> dict[str, Verdict]:
    found: dict[str, Verdict] = {}
    for each in PARAMETERS:
        if kind in each.supported:
            found[each.name] = Verdict("supported")
        elif kind in each.neutral:
            found[each.name] = Verdict("neutral", each.values)
        elif kind in each.label:
            found[each.name] = Verdict("label")
        elif kind in each.refused:
            found[each.name] = Verdict("refused")
    return found


VERDICTS: dict[Kind, dict[str, Verdict]] = {kind: _verdicts(kind) for kind in KINDS}

_WORDS = {"supported": "yes", "label": "a label", "refused": "refused"}


def document() -> str:
    """Return `edge/OPENAI.md`."""
    names = list(dict.fromkeys(each.name for each in PARAMETERS))
    rows = [f"| `{name}` | {' | '.join(_cells(name))} | {_note(name)} |" for name in names]
    return _PAGE.format(
        heads=" | ".join(f"`{PATHS[kind]}`" for kind in KINDS), rows="\n".join(rows)
    )


def _cells(name: str) -> Sequence[str]:
    return [_cell(VERDICTS[kind].get(name)) for kind in KINDS]


def _cell(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    if verdict.does == "neutral":
        return "only " + ", ".join(f"`{_json(value)}`" for value in verdict.values)
    return _WORDS[verdict.does]


def _json(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        inner = ", ".join(f'"{name}": {_json(each)}' for name, each in value.items())
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _note(name: str) -> str:
    return "; ".join(each.note for each in PARAMETERS if each.name == name and each.note)


_PAGE = """\
# The parameters of /v1

Made by `python -m edge.openai_parameters` from the table by which requests are checked
(`edge/openai_parameters.py`); a test compares the two.

*yes*: honoured. *only …*: taken with these values, which change nothing, and refused with any
other. *a label*: names or sorts the request and changes no answer. *refused*, or an empty cell:
answered with 400, `param` naming it. null is the same as absent.

`/v1/embeddings` is answered where an embedding model is given (`--embedding-model`), for that
model; for any other, and where none is given, with 400, code `unsupported_parameter`, `param`
model. Sound and files as parts of a message are refused in the same way, and pictures except as
`image_url` parts of a user's message in `/v1/chat/completions`, to a model that sees
(`abilities.vision` of `GET /models`): `data:` URLs in base64 of PNG, JPEG, GIF or WebP. Nothing is
fetched. `detail` may be auto.

| Parameter | {heads} | |
|---|---|---|---|---|---|
{rows}
"""


if __name__ == "__main__":
    import sys

    sys.stdout.write(document())

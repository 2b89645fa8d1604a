"""OpenAI's response bodies, whole and in chunks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from contracts.errors import Problem
from contracts.ports.text import TextCodec
from contracts.runs import RunOutcome, TokenLogprob, Usage
from edge.openai_errors import openai_error
from edge.tool_calls import CallReader, WrittenCall

ApiKind = Literal["completion", "chat"]
Told = Sequence[tuple[int, TokenLogprob]]

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"

_json = msgspec.json.Encoder()


def usage_view(usage: Usage) -> dict[str, Any]:
    """Return token counts as OpenAI's clients expect them."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def total(usages: Sequence[Usage], choices_a_prompt: int) -> Usage:
    """Return the usage of a request: each prompt counts once, however many choices it has."""
    firsts = usages[::choices_a_prompt]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in firsts),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in firsts),
    )


@dataclass(slots=True)
class Choice:
    """What was told of one choice. `echo` is said before its text, and `reader`, where tools
    may be called, takes the calls out of it."""

    index: int
    run_id: str
    echo: str = ""
    reader: CallReader | None = None
    begun: bool = False
    text: list[str] = field(default_factory=list)
    told: list[tuple[int, TokenLogprob]] = field(default_factory=list)
    calls: list[WrittenCall] = field(default_factory=list)
    offset: int = 0

    def finish_reason(self, outcome: RunOutcome) -> str:
        """Return how it ended, in OpenAI's words."""
        if self.calls and outcome.finish_reason == "stop":
            return "tool_calls"
        return "stop" if outcome.finish_reason == "cancelled" else outcome.finish_reason

    def call_view(self, number: int, call: WrittenCall) -> dict[str, Any]:
        """Return a call."""
        return {
            "id": f"call_{self.run_id.partition('_')[2]}_{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }


class Logprobs:
    """Tells likelihoods in the words of one of the two routes. The end token is not told."""

    def __init__(self, kind: ApiKind, codec: TextCodec, *, wanted: bool, ends: bool) -> None:
        self.wanted = wanted
        self._kind = kind
        self._codec = codec
        self._left_out = codec.eos_tokens if ends else frozenset()

    def view(self, choice: Choice, told: Told) -> dict[str, Any] | None:
        """Return what is said of these tokens, None where nothing was asked for."""
        if not self.wanted:
            return None
        shown = [(token, each) for token, each in told if token not in self._left_out]
        if self._kind == "chat":
            return {"content": [self._place(token, each) for token, each in shown], "refusal": None}
        offsets = []
        for token, _ in shown:
            offsets.append(choice.offset)
            choice.offset += len(self._text(token))
        return {
            "tokens": [self._text(token) for token, _ in shown],
            "token_logprobs": [each.logprob for _, each in shown],
            "top_logprobs": [
                {self._text(other): value for other, value in each.top} for _, each in shown
            ],
            "text_offset": offsets,
        }

    def _place(self, token: int, each: TokenLogprob) -> dict[str, Any]:
        top = [self._one(other, value) for other, value in each.top]
        return {**self._one(token, each.logprob), "top_logprobs": top}

    def _one(self, token: int, logprob: float) -> dict[str, Any]:
        data = self._codec.token_bytes(token)
        return {
            "token": data.decode("utf-8", "replace"),
            "logprob": logprob,
            "bytes": list(data),
        }

    def _text(self, token: int) -> str:
        return self._codec.token_bytes(token).decode("utf-8", "replace")


class AnswerEncoder:
    """Encodes one answer of one or more choices. The chunk of a piece of text is built by hand
    around one JSON string: it is the hot path."""

    def __init__(
        self,
        kind: ApiKind,
        choices: Sequence[Choice],
        logprobs: Logprobs,
        *,
        model: str,
        created_s: int,
        choices_a_prompt: int = 1,
        include_usage: bool = False,
    ) -> None:
        self._kind = kind
        self._choices = choices
        self._logprobs = logprobs
        self._a_prompt = choices_a_prompt
        self._include_usage = include_usage
        self._base: dict[str, Any] = {
            "id": f"{'chatcmpl' if kind == 'chat' else 'cmpl'}-{choices[0].run_id}",
            "object": "chat.completion.chunk" if kind == "chat" else "text_completion",
            "created": created_s,
            "model": model,
        }
        tail = b',"logprobs":null,"finish_reason":null}]'
        tail += b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._tail = b"}" + tail if kind == "chat" else tail
        head = b"data: " + _json.encode(self._base)[:-1]
        self._heads = []
        for choice in choices:
            opening = head + b',"choices":[{"index":' + str(choice.index).encode()
            opening += b',"delta":{"content":' if kind == "chat" else b',"text":'
            self._heads.append(opening)

    # in chunks

    def piece(self, index: int, text: str, told: Told) -> bytes:
        """Return the chunks that carry what one choice says next; b"" if nothing is certain,
        but for the first, which tells the client that the answer has begun."""
        choice = self._choices[index]
        if choice.begun:
            return self._more(choice, text, told)
        opening = self._open(choice)
        return opening + self._more(choice, text, told) or self._text(choice, "")

    def _more(self, choice: Choice, text: str, told: Told) -> bytes:
        if choice.reader is not None:
            text, calls = choice.reader.push(text)
            return self._said(choice, text) + self._called(choice, calls)
        if self._logprobs.wanted and (text or told):
            return self._chunk(choice, self._delta(text), self._logprobs.view(choice, told))
        return self._said(choice, text)

    def end(self, index: int, outcome: RunOutcome) -> bytes:
        """Return the last chunks of one choice."""
        if outcome.error is not None:
            return self.error(outcome.error)
        choice = self._choices[index]
        rest = b"" if choice.begun else self._open(choice)
        if choice.reader is not None:
            text, calls = choice.reader.finish()
            rest += self._said(choice, text) + self._called(choice, calls)
        nothing = {} if self._kind == "chat" else ""
        return rest + self._chunk(choice, nothing, None, choice.finish_reason(outcome))

    def close(self, usages: Sequence[Usage]) -> bytes:
        """Return what follows the last choice: the counts if asked for, the end mark."""
        if not self._include_usage:
            return DONE
        view = usage_view(total(usages, self._a_prompt))
        last = {**self._base, "choices": [], "usage": view}
        return b"data: " + _json.encode(last) + b"\n\n" + DONE

    @staticmethod
    def error(problem: Problem) -> bytes:
        """Return the chunks of an answer that failed after it had begun."""
        return b"data: " + _json.encode(openai_error(problem)) + b"\n\n" + DONE

    def _open(self, choice: Choice) -> bytes:
        choice.begun = True
        if self._kind == "chat":
            return self._chunk(choice, {"role": "assistant", "content": "", "refusal": None}, None)
        return self._said(choice, choice.echo)

    def _said(self, choice: Choice, text: str) -> bytes:
        return self._text(choice, text) if text else b""

    def _text(self, choice: Choice, text: str) -> bytes:
        return self._heads[choice.index] + _json.encode(text) + self._tail

    def _called(self, choice: Choice, calls: Sequence[WrittenCall]) -> bytes:
        chunks = []
        for call in calls:
            number = len(choice.calls)
            choice.calls.append(call)
            view = {"index": number, **choice.call_view(number, call)}
            chunks.append(self._chunk(choice, {"tool_calls": [view]}, None))
        return b"".join(chunks)

    def _delta(self, text: str) -> Any:
        return {"content": text} if self._kind == "chat" else text

    def _chunk(
        self,
        choice: Choice,
        delta: Any,
        logprobs: dict[str, Any] | None,
        finish_reason: str | None = None,
    ) -> bytes:
        view = {
            "index": choice.index,
            "delta" if self._kind == "chat" else "text": delta,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        body: dict[str, Any] = {**self._base, "choices": [view]}
        if self._include_usage:
            body["usage"] = None
        return b"data: " + _json.encode(body) + b"\n\n"

    # whole

    def keep(self, index: int, text: str, told: Told) -> None:
        """Keep what one choice says next, for `whole`."""
        choice = self._choices[index]
        choice.told += told
        if choice.reader is not None:
            text, calls = choice.reader.push(text)
            choice.calls += calls
        choice.text.append(text)

    def whole(self, outcomes: Sequence[RunOutcome]) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        views = [
            self._view(choice, outcome)
            for choice, outcome in zip(self._choices, outcomes, strict=True)
        ]
        usage = usage_view(total([outcome.usage for outcome in outcomes], self._a_prompt))
        body = {**self._base, "choices": views, "usage": usage}
        if self._kind == "chat":
            body["object"] = "chat.completion"
        return body

    def _view(self, choice: Choice, outcome: RunOutcome) -> dict[str, Any]:
        if choice.reader is not None:
            rest, calls = choice.reader.finish()
            choice.text.append(rest)
            choice.calls += calls
        text = "".join(choice.text)
        view: dict[str, Any] = {
            "index": choice.index,
            "logprobs": self._logprobs.view(choice, choice.told),
            "finish_reason": choice.finish_reason(outcome),
        }
        if self._kind == "completion":
            return {**view, "text": choice.echo + text}
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if choice.calls:
            message["content"] = text or None
            message["tool_calls"] = [
                choice.call_view(number, call) for number, call in enumerate(choice.calls)
            ]
        return {**view, "message": message}

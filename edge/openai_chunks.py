"""OpenAI's response bodies, whole and in chunks."""

from typing import Any, Literal

import msgspec

from contracts.errors import Problem
from contracts.runs import RunOutcome, Usage
from edge.problems import openai_error

ApiKind = Literal["completion", "chat"]

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
    }


class ChunkEncoder:
    """Encodes one answer. The chunk of a piece of text is built by hand around one JSON
    string: it is the hot path."""

    def __init__(
        self, kind: ApiKind, *, run_id: str, model: str, created_s: int, include_usage: bool
    ) -> None:
        self._kind = kind
        self._include_usage = include_usage
        self._base: dict[str, Any] = {
            "id": f"{'chatcmpl' if kind == 'chat' else 'cmpl'}-{run_id}",
            "object": "chat.completion.chunk" if kind == "chat" else "text_completion",
            "created": created_s,
            "model": model,
        }
        head = b"data: " + _json.encode(self._base)[:-1]
        tail = b',"logprobs":null,"finish_reason":null}]'
        tail += b',"usage":null}\n\n' if include_usage else b"}\n\n"
        if kind == "chat":
            opening = head + b',"choices":[{"index":0,"delta":{'
            self._first = opening + b'"role":"assistant","content":'
            self._head = opening + b'"content":'
            self._tail = b"}" + tail
        else:
            self._first = self._head = head + b',"choices":[{"index":0,"text":'
            self._tail = tail

    def text(self, text: str) -> bytes:
        """Return the chunk that carries `text`."""
        head, self._first = self._first, self._head
        return head + _json.encode(text) + self._tail

    def end(self, outcome: RunOutcome) -> bytes:
        """Return the last chunks: how it ended, the counts if asked for, the end mark."""
        if outcome.error is not None:
            return self.error(outcome.error)
        choice: dict[str, Any] = {"index": 0}
        choice["delta" if self._kind == "chat" else "text"] = {} if self._kind == "chat" else ""
        choice.update(logprobs=None, finish_reason=outcome.finish_reason)
        last = {**self._base, "choices": [choice]}
        chunks = [last]
        if self._include_usage:
            last["usage"] = None
            chunks.append({**self._base, "choices": [], "usage": usage_view(outcome.usage)})
        return b"".join(b"data: " + _json.encode(chunk) + b"\n\n" for chunk in chunks) + DONE

    @staticmethod
    def error(problem: Problem) -> bytes:
        """Return the chunks of an answer that failed after it had begun."""
        return b"data: " + _json.encode(openai_error(problem)) + b"\n\n" + DONE

    def whole(self, text: str, outcome: RunOutcome) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        choice: dict[str, Any] = {
            "index": 0,
            "logprobs": None,
            "finish_reason": outcome.finish_reason,
        }
        if self._kind == "chat":
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        body = {**self._base, "choices": [choice], "usage": usage_view(outcome.usage)}
        if self._kind == "chat":
            body["object"] = "chat.completion"
        return body

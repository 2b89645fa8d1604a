"""A response as OpenAI's clients see it: its object, its items, its typed events. Pure.

The events are a function of the run's log from its first entry on, so every reader at every
edge gives the same event the same `sequence_number`, and one that comes back names the last
number it has.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from contracts.errors import Problem
from contracts.events import (
    MessageDelta,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunStarted,
)
from contracts.responses import ResponseRecord
from contracts.runs import Usage
from edge.tool_calls import CallReader, WrittenCall

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
Event = dict[str, Any]

LAST_NUMBER = 2**53 - 1
"""The number of a last event that is told from history, where the log's are not known any
more: the largest that JavaScript counts exactly."""


def status_of(record: ResponseRecord) -> Status:
    """Return how a stored response stands."""
    match record.state:
        case "active":
            return "queued" if record.background else "in_progress"
        case "completed":
            return "incomplete" if record.finish_reason == "length" else "completed"
        case "cancelled":
            return "cancelled"
        case _:
            return "failed"


def usage_view(usage: Usage) -> dict[str, Any]:
    """Return token counts in the words of responses."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def response_view(record: ResponseRecord, status: Status, output: Sequence[Event]) -> Event:
    """Return the response object."""
    ended = status not in ("queued", "in_progress")
    error = record.error if ended else None
    reason = {"reason": "max_output_tokens"} if status == "incomplete" else None
    return {
        "id": record.response_id,
        "object": "response",
        "created_at": record.created_at_ms // 1000,
        "completed_at": (record.ended_at_ms or 0) // 1000 if status == "completed" else None,
        "status": status,
        "background": record.background,
        "error": None
        if error is None
        else {"code": "server_error", "message": f"{error.code}: {error.detail}"},
        "incomplete_details": reason,
        "model": record.model,
        "output": list(output),
        "previous_response_id": record.previous_id,
        "reasoning": {"effort": None, "summary": None},
        "truncation": "disabled",
        "top_logprobs": 0,
        "usage": usage_view(record.usage) if ended else None,
        **msgspec.json.decode(record.request),
    }


def has_tools(record: ResponseRecord) -> bool:
    """Say whether the answer may call tools."""
    told = msgspec.json.decode(record.request)
    return bool(told.get("tools")) and told.get("tool_choice") != "none"


def ended_with(record: ResponseRecord, terminal: RunEvent, text: str) -> ResponseRecord:
    """Return the record as its terminal event says that it ended."""
    match terminal:
        case RunCompleted(finish_reason=reason, usage=usage):
            return msgspec.structs.replace(
                record, state="completed", finish_reason=reason, usage=usage, text=text
            )
        case RunCancelled(usage=usage):
            return msgspec.structs.replace(record, state="cancelled", usage=usage, text=text)
        case RunFailed(error=error):
            return msgspec.structs.replace(record, state="failed", error=error, text=text)
    problem = Problem(code="internal", detail="The response ended without an end.")
    return msgspec.structs.replace(record, state="failed", error=problem, text=text)


class Story:
    """Tells one response from its beginning. `output` are the items so far."""

    def __init__(self, record: ResponseRecord) -> None:
        self._record = record
        self._digits = record.response_id.partition("_")[2]
        self._reader = CallReader() if has_tools(record) else None
        self._number = 0
        self._open = False
        self._said: list[str] = []
        self._all: list[str] = []
        self.output: list[Event] = []

    @property
    def text(self) -> str:
        """All that the model wrote."""
        return "".join(self._all)

    def begin(self) -> list[Event]:
        """Return the events that come before the run's."""
        return [self._stand("response.created"), self._stand(f"response.{self._waits}")]

    @property
    def _waits(self) -> Status:
        return "queued" if self._record.background else "in_progress"

    def hear(self, event: RunEvent) -> list[Event]:
        """Return what an event of the run, but its end, is to the client."""
        match event:
            case RunStarted() if self._record.background:
                return [self._stand("response.in_progress")]
            case MessageDelta(delta=delta):
                return self._take(delta)
        return []

    def end(self, record: ResponseRecord) -> list[Event]:
        """Return the last events; `record` is the response as it ended."""
        whole = record.state == "completed" and record.finish_reason != "length"
        events: list[Event] = []
        if self._reader is not None:
            said, calls = self._reader.finish()
            events = self._tell(said, calls)
        if whole and not self.output and not self._open:
            events += self._open_message()
        events += self._close_message("completed" if whole else "incomplete")
        status = status_of(record)
        kind = {"completed": "completed", "failed": "failed"}.get(status, "incomplete")
        self._record = record
        events.append(
            self._event(f"response.{kind}", response=response_view(record, status, self.output))
        )
        return events

    def _stand(self, kind: str) -> Event:
        status = self._waits if kind == "response.created" else kind.partition(".")[2]
        view = response_view(self._record, status, [])  # type: ignore[arg-type]
        return self._event(kind, response=view)

    def _event(self, kind: str, **fields: Any) -> Event:
        number = self._number
        self._number += 1
        return {"type": kind, "sequence_number": number, **fields}

    def _take(self, delta: str) -> list[Event]:
        self._all.append(delta)
        if self._reader is None:
            return self._tell(delta, ())
        return self._tell(*self._reader.push(delta))

    def _tell(self, said: str, calls: Sequence[WrittenCall]) -> list[Event]:
        events: list[Event] = []
        if said:
            if not self._open:
                events += self._open_message()
            self._said.append(said)
            events.append(
                self._event("response.output_text.delta", **self._place(), delta=said, logprobs=[])
            )
        for call in calls:
            events += self._close_message("completed")
            events += self._call(call)
        return events

    def _place(self) -> Event:
        index = len(self.output)
        return {"item_id": f"msg_{self._digits}o{index}", "output_index": index, "content_index": 0}

    def _message(self, status: str, text: str | None) -> Event:
        content = [] if text is None else [_part(text)]
        return {
            "id": self._place()["item_id"],
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        }

    def _open_message(self) -> list[Event]:
        self._open = True
        item = self._message("in_progress", None)
        return [
            self._event("response.output_item.added", output_index=len(self.output), item=item),
            self._event("response.content_part.added", **self._place(), part=_part("")),
        ]

    def _close_message(self, status: str) -> list[Event]:
        if not self._open:
            return []
        text, place = "".join(self._said), self._place()
        item = self._message(status, text)
        self._open = False
        self._said = []
        self.output.append(item)
        return [
            self._event("response.output_text.done", **place, text=text, logprobs=[]),
            self._event("response.content_part.done", **place, part=_part(text)),
            self._event("response.output_item.done", output_index=place["output_index"], item=item),
        ]

    def _call(self, call: WrittenCall) -> list[Event]:
        index = len(self.output)
        item = {
            "id": f"fc_{self._digits}o{index}",
            "type": "function_call",
            "call_id": f"call_{self._digits}{index}",
            "name": call.name,
            "arguments": call.arguments,
            "status": "completed",
        }
        place = {"item_id": item["id"], "output_index": index}
        begun = {**item, "arguments": "", "status": "in_progress"}
        self.output.append(item)
        return [
            self._event("response.output_item.added", output_index=index, item=begun),
            self._event("response.function_call_arguments.delta", **place, delta=call.arguments),
            self._event(
                "response.function_call_arguments.done",
                **place,
                name=call.name,
                arguments=call.arguments,
            ),
            self._event("response.output_item.done", output_index=index, item=item),
        ]


def _part(text: str) -> Event:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def from_history(record: ResponseRecord, after: int | None) -> list[Event]:
    """Return the events of an ended response whose log is gone: all of them for who begins;
    for who comes back, the last ones, which carry the whole text, under numbers above every
    one that the log gave out."""
    story = Story(record)
    events = story.begin()
    if record.text:
        events += story.hear(MessageDelta(delta=record.text))
    told = len(events)
    events += story.end(record)
    if after is None:
        return events
    last = events[told:]
    first_number = LAST_NUMBER - len(last) + 1
    numbered = [
        {**event, "sequence_number": number} for number, event in enumerate(last, first_number)
    ]
    return [event for event in numbered if event["sequence_number"] > after]


def view_of(record: ResponseRecord, *, began: bool = False) -> Event:
    """Return a stored response as it stands; `began`: its run has."""
    if record.state == "active":
        return response_view(record, "in_progress" if began else status_of(record), [])
    return response_view(record, status_of(record), output_of(record))


def output_of(record: ResponseRecord) -> list[Event]:
    """Return the output of an ended response."""
    story = Story(record)
    story.hear(MessageDelta(delta=record.text))
    story.end(record)
    return story.output

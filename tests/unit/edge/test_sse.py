"""The bytes of event streams, and the events that history stands in for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Problem
from contracts.events import (
    MessageDelta,
    MessageSnapshot,
    NumberedEvent,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunQueued,
    RunRecovered,
    RunStarted,
)
from contracts.records import Message, RunRecord, RunRecordState
from contracts.runs import Usage
from edge.run_history import LAST_ID, events_from_history
from edge.sse import EventEncoder

RUN = "run_" + "0" * 26
EVENTS: list[RunEvent] = [
    RunQueued(position=2, eta_ms=None, degraded=("deferred",)),
    RunStarted(model="m", message_id="msg"),
    MessageDelta(delta="x"),
    MessageSnapshot(text="all\nso far"),
    RunRecovered(gap_ms=40),
    RunCompleted(finish_reason="length", usage=Usage(), message_id="msg"),
    RunCancelled(usage=Usage(), message_id="msg"),
    RunFailed(error=Problem(code="worker_lost", detail="gone")),
]


def _parse(block: str) -> tuple[int, str, dict[str, object]]:
    lines = block.split("\n")
    assert [line.partition(": ")[0] for line in lines] == ["id", "event", "data"]
    fields = dict(line.split(": ", 1) for line in lines)
    return int(fields["id"]), fields["event"], json.loads(fields["data"])


@pytest.mark.parametrize("event", EVENTS)
def test_event_repeats_its_type_run_and_number(event: RunEvent) -> None:
    data = EventEncoder(RUN).encode([NumberedEvent(seq=7, event=event)]).decode()
    assert data.endswith("\n\n")
    number, kind, body = _parse(data[:-2])
    assert number == body["seq"] == 7
    assert kind == body["type"]
    assert body["runId"] == RUN


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_deltas_of_any_text_arrive_as_they_were(texts: list[str]) -> None:
    encodable = [text.encode("utf-8", "replace").decode() for text in texts]
    events = [
        NumberedEvent(seq=place, event=MessageDelta(delta=text))
        for place, text in enumerate(encodable, start=1)
    ]
    data = EventEncoder(RUN).encode(events).decode()
    assert "\r" not in data
    blocks = [_parse(block) for block in data[:-2].split("\n\n")]
    assert [block[0] for block in blocks] == list(range(1, len(texts) + 1))
    assert [block[2]["delta"] for block in blocks] == encodable


def test_failure_is_a_whole_problem_document() -> None:
    failed = RunFailed(error=Problem(code="worker_lost", detail="gone"), message_id="m")
    data = EventEncoder(RUN).encode([NumberedEvent(seq=1, event=failed)]).decode()
    error = _parse(data[:-2])[2]["error"]
    assert isinstance(error, dict)
    assert {"type", "title", "status", "detail", "code", "errors"} <= error.keys()


def _record(state: RunRecordState, usage: Usage) -> RunRecord:
    return RunRecord(
        run_id=RUN,
        chat_id="c",
        user_id="u",
        prompt_id="p",
        answer_id="a",
        created_at_ms=1,
        state=state,
        usage=usage,
    )


def _answer(text: str) -> Message:
    return Message(
        message_id="a", chat_id="c", position=1, role="assistant", content=text, created_at_ms=1
    )


@pytest.mark.parametrize("state", ["completed", "cancelled", "failed"])
@pytest.mark.parametrize("text", ["", "some text"])
@pytest.mark.parametrize("after", [None, 0, 1, 500, LAST_ID - 1, LAST_ID])
def test_history_ends_every_cursor_once(
    state: RunRecordState, text: str, after: int | None
) -> None:
    usage = Usage(prompt_tokens=3) if text else Usage()
    events = events_from_history(_record(state, usage), _answer(text), after)
    ids = [numbered.seq for numbered in events]
    assert ids == sorted(set(ids))
    assert all(place > (after or 0) for place in ids)
    if after == LAST_ID:
        assert events == []
        return
    assert ids[-1] == LAST_ID
    shown = [n.event.text for n in events if isinstance(n.event, MessageSnapshot)]
    # Who was told something learns that nothing of it is stored.
    assert shown == ([text] if (text or after) and after != LAST_ID - 1 else [])


def test_history_of_a_run_that_never_began_has_only_its_end() -> None:
    events = events_from_history(_record("cancelled", Usage()), None, None)
    assert [type(numbered.event) for numbered in events] == [RunCancelled]

"""What an API client is told of its run, and when."""

from collections.abc import AsyncIterator, Sequence

import pytest

from contracts.events import MessageDelta, NumberedEvent, RunQueued, RunStarted
from contracts.ports.token_log import LogBatch
from contracts.runs import RunOutcome, RunSpec, Sampling
from edge.openai_runs import ApiRun

SPEC = RunSpec(
    run_id="run_00000000000000000000000001",
    pool="default",
    model="m",
    user_id="user_1",
    prompt_tokens=(1,),
    sampling=Sampling(max_tokens=4),
    submitted_at_ms=0,
)
QUEUED = LogBatch([NumberedEvent(seq=1, event=RunQueued(position=3))])
STARTED = NumberedEvent(seq=2, event=RunStarted(model="m", message_id="msg_1"))
TEXT = LogBatch([NumberedEvent(seq=3, event=MessageDelta(delta="a"))], tokens=1)
ENDED = LogBatch([], end=RunOutcome(finish_reason="length"))


class Log:
    """A reader whose batches are given."""

    def __init__(self, batches: Sequence[LogBatch]) -> None:
        self._batches = batches

    async def __aenter__(self) -> "Log":
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def batches(self) -> AsyncIterator[LogBatch]:
        """Yield what was given."""
        for batch in self._batches:
            yield batch


@pytest.mark.parametrize(
    ("batches", "told"),
    [
        pytest.param([QUEUED, QUEUED, TEXT, ENDED], ["a"], id="places_in_the_queue"),
        pytest.param([LogBatch([STARTED], tokens=1), TEXT, ENDED], ["", "a"], id="half_a_word"),
        pytest.param([QUEUED, ENDED], [], id="an_end_without_tokens"),
    ],
)
async def test_answer_begins_with_the_first_token_not_with_a_place_in_the_queue(
    batches: list[LogBatch], told: list[str]
) -> None:
    run = ApiRun(SPEC, Log(batches))
    assert [text async for text, _ in run.pieces()] == told
    assert run.outcome == ENDED.end

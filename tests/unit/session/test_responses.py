"""The keeper of a response: what it does with each command, in any order."""

from typing import Any

import pytest
from msgspec.structs import replace

from actors.runtime.byte_codec import ByteCodec
from actors.session.config import ModelContext, SessionConfig
from actors.session.responses import ResponseMachine
from actors.session.responses_state import (
    DropResponse,
    ResponseDropped,
    ResponseSaved,
    ResponseStored,
    ResponseTaken,
    SaveResponse,
    StoreResponse,
)
from actors.session.state import (
    Acknowledge,
    AskCancel,
    AskKnown,
    CloseLog,
    Command,
    EnqueueRefused,
    EnqueueRun,
    Reply,
    RunClosed,
    RunEnqueued,
    RunKnown,
    Settle,
    Settled,
    StepFailed,
    TerminalWritten,
    Tick,
    WriteTerminal,
)
from contracts.events import RunCancelled, RunCompleted
from contracts.responses import ResponseRecord, SubmitResponse
from contracts.runs import RunOutcome, RunSpec, Sampling, Usage
from contracts.session import CancelReply, CancelRun, PromptAccepted, PromptRejected, RunFinished

CONFIG = SessionConfig(
    models={
        "tiny": ModelContext(
            model="tiny",
            pool="default",
            codec=ByteCodec(),
            context_length=64,
            output_reserve=16,
            max_output=16,
        )
    },
    default_model="tiny",
)
RECORD = ResponseRecord(
    response_id="resp_1", user_id="user_1", run_id="run_1", model="tiny", created_at_ms=1
)
SPEC = RunSpec(
    run_id="run_1",
    pool="default",
    model="tiny",
    user_id="user_1",
    prompt_tokens=(1, 2),
    sampling=Sampling(max_tokens=4),
    submitted_at_ms=1,
    chat_id="resp_1",
)
SUBMIT = SubmitResponse(record=RECORD, spec=SPEC, expires_at_ms=100, reply_to="inbox")
CANCEL = CancelRun(run_id="run_1", chat_id="resp_1", user_id="user_1", reply_to="stopper")
ACCEPTED = Reply("inbox", PromptAccepted(run_id="run_1", prompt_id="resp_1", answer_id="resp_1"))


def finished(reason: Any = "stop") -> RunFinished:
    return RunFinished(
        run_id="run_1",
        chat_id="resp_1",
        epoch=7,
        next_seq=5,
        text="hello",
        outcome=RunOutcome(finish_reason=reason, usage=Usage(prompt_tokens=2)),
        model="tiny",
        message_id="resp_1",
    )


CLOSED = RunClosed("run_1", text="hello", tokens=3, next_seq=5)


class Rig:
    """A machine, and the time."""

    def __init__(self, record: ResponseRecord | None = None) -> None:
        self.machine = ResponseMachine(CONFIG, record)
        self.now_ms = 10

    def give(self, message: Any) -> tuple[Any, ...]:
        return self.machine.handle(message, self.now_ms)

    def running(self) -> "Rig":
        self.give(Command(SUBMIT, 1))
        self.give(ResponseStored(RECORD))
        assert self.give(RunEnqueued("run_1")) == (ACCEPTED, Acknowledge(1))
        return self

    def wait(self, ms: int) -> tuple[Any, ...]:
        self.now_ms += ms
        return self.give(Tick())


def test_response_is_stored_before_it_is_queued_and_queued_before_it_is_accepted() -> None:
    rig = Rig()
    assert rig.give(Command(SUBMIT, 1)) == (StoreResponse(RECORD),)
    assert rig.give(ResponseStored(RECORD)) == (EnqueueRun(SPEC),)
    assert rig.give(RunEnqueued("run_1")) == (ACCEPTED, Acknowledge(1))
    assert rig.machine.idle


def test_response_ends_in_history_before_its_readers_hear() -> None:
    rig = Rig().running()
    assert rig.give(Command(finished(), 2)) == (CloseLog("run_1", finished()),)
    (save,) = rig.give(CLOSED)
    assert isinstance(save, SaveResponse)
    assert (save.record.state, save.record.text) == ("completed", "hello")
    assert save.record.usage == Usage(prompt_tokens=2, completion_tokens=3)
    (write,) = rig.give(ResponseSaved("run_1"))
    assert isinstance(write, WriteTerminal)
    assert (write.seq, type(write.event)) == (5, RunCompleted)
    assert rig.give(TerminalWritten("run_1")) == (Acknowledge(2),)
    assert rig.machine.idle


def test_next_owner_queues_what_was_stored_and_takes_its_end() -> None:
    rig = Rig(RECORD)
    assert rig.give(Command(SUBMIT, 1)) == (EnqueueRun(SPEC),)
    rig.give(Command(finished(), 2))
    effects = rig.give(RunEnqueued("run_1"))
    assert effects == (ACCEPTED, Acknowledge(1), CloseLog("run_1", finished()))


def test_submission_of_an_ended_response_is_only_answered() -> None:
    ended = replace(RECORD, state="completed")
    assert Rig(ended).give(Command(SUBMIT, 1)) == (ACCEPTED, Acknowledge(1))


def test_end_of_an_ended_response_is_written_once_more() -> None:
    ended = replace(RECORD, state="cancelled", text="hello")
    rig = Rig(ended)
    rig.give(Command(finished(), 2))
    (write,) = rig.give(CLOSED)
    assert type(write.event) is RunCancelled
    terminal = RunCancelled(usage=Usage(), message_id="resp_1")
    rig = Rig(ended)
    rig.give(Command(finished(), 2))
    assert rig.give(replace_closed(terminal=terminal)) == (Acknowledge(2),)


def replace_closed(**changes: Any) -> RunClosed:
    values = {"text": "hello", "tokens": 3, "next_seq": 5, **changes}
    return RunClosed("run_1", **values)


def test_log_that_is_gone_gets_no_terminal_event() -> None:
    rig = Rig().running()
    rig.give(Command(finished(), 2))
    rig.give(replace_closed(next_seq=1))
    assert rig.give(ResponseSaved("run_1")) == (Acknowledge(2),)


def test_late_submission_is_refused_and_not_stored() -> None:
    rig = Rig()
    rig.now_ms = 101
    assert rig.give(Command(SUBMIT, 1)) == (Settle("run_1", (1,)),)
    (reply,) = rig.give(Settled("run_1", (1,)))
    assert isinstance(reply.body, PromptRejected)
    assert reply.body.problem.code == "expired"


def test_used_key_is_a_conflict() -> None:
    rig = Rig()
    rig.give(Command(SUBMIT, 1))
    assert rig.give(ResponseTaken("run_1")) == (Settle("run_1", (1,)),)
    assert rig.give(StepFailed("run_1")) == ()
    rig.give(Command(SUBMIT, 2))
    assert rig.wait(CONFIG.retry_ms) == (Settle("run_1", (1, 2)),)
    rig.give(Command(SUBMIT, 3))
    *replies, again = rig.give(Settled("run_1", (1, 2)))
    assert [reply.body.problem.code for reply in replies] == ["conflict", "conflict"]
    assert again == Settle("run_1", (3,))
    rig.give(Settled("run_1", (3,)))
    assert rig.machine.idle


def test_full_queue_leaves_nothing_stored() -> None:
    rig = Rig()
    rig.give(Command(SUBMIT, 1))
    rig.give(ResponseStored(RECORD))
    assert rig.give(EnqueueRefused("run_1")) == (DropResponse("run_1", "resp_1"),)
    assert rig.give(StepFailed("run_1")) == ()
    assert rig.wait(CONFIG.retry_ms) == (DropResponse("run_1", "resp_1"),)
    assert rig.give(ResponseDropped("run_1")) == (Settle("run_1", (1,)),)
    (reply,) = rig.give(Settled("run_1", (1,)))
    assert reply.body.problem.code == "at_capacity"


def test_steps_that_fail_are_repeated_until_they_are_done() -> None:
    rig = Rig()
    rig.give(Command(SUBMIT, 1))
    rig.give(StepFailed("run_1"))
    assert rig.wait(CONFIG.retry_ms) == (StoreResponse(RECORD),)
    rig.give(ResponseStored(RECORD))
    rig.give(StepFailed("run_1"))
    assert rig.wait(CONFIG.retry_ms) == (EnqueueRun(SPEC),)
    rig.give(RunEnqueued("run_1"))
    rig.give(Command(finished(), 2))
    rig.give(StepFailed("run_1"))
    assert rig.wait(CONFIG.retry_ms) == (CloseLog("run_1", finished()),)
    (save,) = rig.give(CLOSED)
    rig.give(StepFailed("run_1"))
    assert rig.wait(CONFIG.retry_ms) == (save,)
    rig.give(ResponseSaved("run_1"))
    assert rig.give(StepFailed("run_1", fenced=True)) == (CloseLog("run_1", finished()),)


def test_cancel_is_asked_until_the_run_has_finished() -> None:
    rig = Rig().running()
    assert rig.give(Command(CANCEL, 3)) == (AskCancel("run_1", "default"),)
    assert rig.wait(CONFIG.cancel_retry_ms) == (AskCancel("run_1", "default"),)
    rig.give(Command(finished("cancelled"), 4))
    rig.give(CLOSED)
    rig.give(ResponseSaved("run_1"))
    assert rig.give(TerminalWritten("run_1")) == (
        Reply("stopper", CancelReply(status="ended", state="cancelled")),
        Acknowledge(3),
        Acknowledge(4),
    )
    assert rig.machine.next_due_ms is None


def test_cancel_of_a_run_that_nobody_knows_ends_it() -> None:
    rig = Rig(RECORD)
    rig.give(Command(CANCEL, 3))
    asked = 0
    closing: tuple[Any, ...] = ()
    while not closing:
        effects = rig.wait(CONFIG.watch_ms)
        assert AskKnown("run_1", "default") in effects
        asked += 1
        closing = rig.give(RunKnown("run_1", known=False))
    assert asked == CONFIG.unknown_max
    assert isinstance(closing[0], CloseLog)
    assert closing[0].finished.outcome.finish_reason == "cancelled"


@pytest.mark.parametrize("record", [None, replace(RECORD, user_id="other")])
def test_cancel_of_what_is_not_ones_own_is_unknown(record: ResponseRecord | None) -> None:
    assert Rig(record).give(Command(CANCEL, 3)) == (
        Reply("stopper", CancelReply(status="unknown")),
        Acknowledge(3),
    )


def test_cancel_while_it_is_taken_stops_it_once_it_is_queued() -> None:
    rig = Rig()
    rig.give(Command(SUBMIT, 1))
    assert rig.give(Command(CANCEL, 3)) == ()
    rig.give(ResponseStored(RECORD))
    assert AskCancel("run_1", "default") in rig.give(RunEnqueued("run_1"))

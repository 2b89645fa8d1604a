"""What the gpu machine decides, message by message."""

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
import pytest

from actors.gpu.config import GpuConfig
from actors.gpu.machine import GpuMachine
from actors.gpu.protocol import (
    AbortEngine,
    Append,
    Appended,
    Claimed,
    ClaimLog,
    Denied,
    Effect,
    EngineReady,
    Fenced,
    FinishStored,
    Forget,
    Freed,
    HandBack,
    LogLost,
    LogRead,
    Message,
    Output,
    PublishFinished,
    ReadLog,
    StartEngine,
    Stop,
    Tell,
    Tick,
    WriteSnapshot,
)
from actors.runtime.byte_codec import EOS, ByteCodec
from contracts.codec import encode
from contracts.errors import IllegalMessage, InvariantBroken
from contracts.events import MessageDelta, RunCompleted, RunRecovered, RunStarted
from contracts.ports.engine import EngineInfo, EngineLoad, EngineOutput
from contracts.ports.token_log import LogState
from contracts.runs import Guide, LeftOut, RunOutcome, RunSpec, Sampling, TokenLogprob, Usage
from contracts.scheduling import (
    AbortRun,
    Drain,
    DropRun,
    RunBegan,
    RunRejected,
    RunSettled,
    StartRun,
    WorkerGone,
    WorkerReport,
)

CODEC = ByteCodec()
CONFIG = GpuConfig(worker="gpu_1", pool="default", model="m", entry_max_ms=0)
INFO = EngineInfo(kind="sim", model="m", context_length=100, slots=2, block_size=16, kv_tokens=1000)
PROMPT = CODEC.encode("ask")
T = TypeVar("T")


class Rig:
    """A machine that is ready, and the time."""

    def __init__(self, config: GpuConfig = CONFIG) -> None:
        self.machine = GpuMachine(config, CODEC, incarnation=7)
        self.now_ms = 1_000_000
        self.machine.handle(EngineReady(INFO), self.now_ms)

    def give(self, message: Message) -> tuple[Effect, ...]:
        return self.machine.handle(message, self.now_ms)

    def start(self, attempt: int = 1, *, expect: int | None = 0, **spec: Any) -> tuple[Effect, ...]:
        return self.give(StartRun(spec=_spec(**spec), attempt=attempt, expect_epoch=expect))

    def say(
        self, text: str | Iterable[int], start: int, *, attempt: int = 1, **more: Any
    ) -> tuple[Effect, ...]:
        tokens = CODEC.encode(text) if isinstance(text, str) else tuple(text)
        output = EngineOutput(tokens=tokens, start=start, **more)
        return self.give(Output("run_1", attempt, output))

    def generating(self, **spec: Any) -> "Rig":
        self.start(**spec)
        self.give(Claimed("run_1", 1, 5))
        return self

    def take_over(self, log: LogState, **spec: Any) -> tuple[Effect, ...]:
        assert self.start(2, expect=None, **spec) == (ClaimLog("run_1", 2, None),)
        assert self.give(Claimed("run_1", 2, 9)) == (ReadLog("run_1", 2),)
        return self.give(LogRead("run_1", 2, log))


def _spec(
    run_id: str = "run_1", chat_id: str | None = "chat_1", model: str = "m", **sampling: Any
) -> RunSpec:
    sampling = {"max_tokens": 50, "temperature": 0.0} | sampling
    return RunSpec(
        run_id=run_id,
        pool="default",
        model=model,
        user_id="user_1",
        prompt_tokens=PROMPT,
        sampling=Sampling(**sampling),
        submitted_at_ms=0,
        chat_id=chat_id,
        message_id="msg_1",
    )


def _only(effects: Iterable[Effect], kind: type[T]) -> T:
    found = [effect for effect in effects if isinstance(effect, kind)]
    assert len(found) == 1, (kind, effects)
    return found[0]


def _told(effects: Iterable[Effect]) -> list[Any]:
    return [effect.message for effect in effects if isinstance(effect, Tell)]


def _committed(text: str, **more: Any) -> LogState:
    state: dict[str, Any] = {
        "next_seq": 3,
        "text": text,
        "tokens": CODEC.encode(text),
        "started": RunStarted(model="m", message_id="msg_1", cached_tokens=1),
        "started_seq": 1,
        "last_at_ms": 999_000,
    }
    return LogState(**(state | more))


# --- starting -------------------------------------------------------------------------------


def test_start_of_a_fresh_run_claims_and_generates_at_once() -> None:
    assert Rig().start() == (
        StartEngine("run_1", 1, PROMPT, Sampling(max_tokens=50, temperature=0.0)),
        ClaimLog("run_1", 1, 0),
    )


def test_start_that_comes_twice_has_no_effect() -> None:
    rig = Rig()
    rig.start()
    assert rig.start() == ()


def test_start_under_a_higher_attempt_replaces_the_older() -> None:
    rig = Rig().generating()
    assert rig.start(2, expect=None) == (
        AbortEngine("run_1", 1),
        Forget("run_1", 1),
        ClaimLog("run_1", 2, None),
    )
    assert rig.say("late", 0) == ()


@pytest.mark.parametrize(
    ("state", "reason"),
    [("starting", "starting"), ("draining", "draining"), ("full", "full"), ("other", "serves m")],
)
def test_start_when_it_cannot_be_taken_is_rejected(state: str, reason: str) -> None:
    rig = Rig()
    if state == "starting":
        rig.machine = GpuMachine(CONFIG, CODEC, incarnation=7)
    elif state in ("draining", "full"):
        rig.start(run_id="run_a")
        rig.start(run_id="run_b")
        if state == "draining":
            rig.give(Drain())
    effects = rig.start(model="other" if state == "other" else "m")
    rejected = RunRejected(run_id="run_1", attempt=1, worker="gpu_1", reason=reason)
    assert effects == (Tell(rejected),)


# --- writing --------------------------------------------------------------------------------


def test_tokens_before_the_claim_wait_for_it() -> None:
    rig = Rig()
    rig.start()
    assert rig.say("he", 0, cached_tokens=2) == ()
    entry = _only(rig.give(Claimed("run_1", 1, 5)), Append).entry
    assert entry.epoch == 5
    assert entry.seq == 1
    assert entry.tokens == CODEC.encode("he")
    assert entry.events == (
        RunStarted(model="m", message_id="msg_1", cached_tokens=2),
        MessageDelta(delta="he"),
    )


def test_first_event_says_what_the_prompt_does_not_hold() -> None:
    rig = Rig()
    spec = msgspec.structs.replace(_spec(), left_out=LeftOut(exchanges=3))
    rig.give(StartRun(spec=spec, attempt=1, expect_epoch=0))
    rig.say("he", 0)
    entry = _only(rig.give(Claimed("run_1", 1, 5)), Append).entry
    started = RunStarted(model="m", message_id="msg_1", left_out=LeftOut(exchanges=3))
    assert entry.events[0] == started
    assert b'"leftOut":{"exchanges":3}' in encode(started)
    assert b"leftOut" not in encode(RunStarted(model="m", message_id="msg_1"))


def test_output_while_an_entry_is_in_flight_rides_in_the_next() -> None:
    rig = Rig().generating()
    assert _only(rig.say("a", 0), Append).entry.offset == 0
    assert rig.say("b", 1) == ()
    assert rig.say("c", 2) == ()
    effects = rig.give(Appended("run_1", 1, 6))
    began = RunBegan(run_id="run_1", attempt=1, worker="gpu_1")
    assert _told(effects) == [began]
    entry = _only(effects, Append).entry
    assert (entry.seq, entry.offset, entry.tokens) == (3, 1, CODEC.encode("bc"))
    assert entry.events == (MessageDelta(delta="bc"),)
    assert rig.give(Appended("run_1", 1, 7)) == ()


def test_output_that_comes_twice_is_taken_once() -> None:
    rig = Rig().generating()
    rig.say("ab", 0)
    assert rig.say("ab", 0) == ()
    rig.say("bcd", 1)
    assert _only(rig.give(Appended("run_1", 1, 6)), Append).entry.tokens == CODEC.encode("cd")


def test_output_with_a_gap_is_a_bug() -> None:
    with pytest.raises(InvariantBroken):
        Rig().generating().say("x", 3)


def test_append_that_was_not_asked_for_is_illegal() -> None:
    with pytest.raises(IllegalMessage):
        Rig().generating().give(Appended("run_1", 1, 6))


def test_snapshot_after_two_seconds_holds_all_that_is_committed() -> None:
    rig = Rig().generating()
    rig.say("a", 0)
    rig.give(Appended("run_1", 1, 6))
    rig.now_ms += 2000
    rig.say("b", 1)
    rig.say("c", 2)
    effects = rig.give(Appended("run_1", 1, 8))
    snapshot = _only(effects, WriteSnapshot).snapshot
    assert (snapshot.seq, snapshot.stream_seq, snapshot.text) == (3, 8, "ab")
    assert snapshot.tokens == CODEC.encode("ab")
    assert snapshot.marks == ((1, 6), (3, 8))
    assert snapshot.started == RunStarted(model="m", message_id="msg_1")
    assert snapshot.started_seq == 1
    assert [type(effect) for effect in effects] == [WriteSnapshot, Append]


# --- ending ---------------------------------------------------------------------------------


def _end_of(rig: Rig, effects: tuple[Effect, ...], attempt: int = 1) -> tuple[RunOutcome, str]:
    """Commit the end entry, store the result, and return outcome and text."""
    entry = _only(effects, Append).entry
    assert entry.end is not None
    finished = _only(rig.give(Appended("run_1", attempt, 50)), PublishFinished).finished
    assert finished.next_seq == entry.next_seq
    assert finished.epoch == entry.epoch
    settled = rig.give(FinishStored("run_1", attempt))
    assert isinstance(settled[0], Forget)
    assert _told(settled) == [
        RunSettled(run_id="run_1", attempt=attempt, worker="gpu_1", outcome=entry.end)
    ]
    assert not rig.machine.running
    return entry.end, finished.text


def test_what_was_done_to_a_run_stands_in_its_usage() -> None:
    rig = Rig()
    start = StartRun(spec=_spec(), attempt=1, expect_epoch=0, degraded=("downgraded", "shortened"))
    rig.give(start)
    rig.give(Claimed("run_1", 1, 5))
    outcome, _ = _end_of(rig, rig.say((65, EOS), 0, finish="stop"))
    assert outcome.usage.degraded == ("downgraded", "shortened")


def test_end_by_the_engine_is_committed_with_the_last_tokens() -> None:
    rig = Rig().generating()
    outcome, text = _end_of(rig, rig.say((65, EOS), 0, finish="stop", cached_tokens=1))
    usage = Usage(prompt_tokens=3, completion_tokens=2, cached_tokens=1)
    assert outcome == RunOutcome(finish_reason="stop", usage=usage)
    assert text == "A"


def test_end_by_length_shows_what_was_held_back() -> None:
    rig = Rig().generating(stop=("END",))
    outcome, text = _end_of(rig, rig.say("so EN", 0, finish="length"))
    assert (outcome.finish_reason, text) == ("length", "so EN")


def test_stop_string_across_outputs_frees_the_engine_and_truncates() -> None:
    rig = Rig().generating(stop=("END",))
    rig.say("so E", 0)
    rig.give(Appended("run_1", 1, 6))
    effects = rig.say("NDless", 4)
    assert _only(effects, AbortEngine) == AbortEngine("run_1", 1)
    outcome, text = _end_of(rig, effects)
    assert (outcome.finish_reason, outcome.usage.completion_tokens, text) == ("stop", 6, "so ")


def test_api_run_is_settled_by_its_end_entry() -> None:
    rig = Rig().generating(chat_id=None)
    rig.say("a", 0, finish="length")
    assert isinstance(_told(rig.give(Appended("run_1", 1, 6)))[-1], RunSettled)


def test_engine_that_refuses_fails_the_run() -> None:
    rig = Rig().generating()
    outcome, text = _end_of(rig, rig.give(Denied("run_1", 1, "too long")))
    assert outcome.finish_reason == "error"
    assert outcome.error is not None
    assert outcome.error.code == "engine_error"
    assert text == ""


def test_settled_run_answers_repeated_commands() -> None:
    rig = Rig().generating()
    outcome, _ = _end_of(rig, rig.say("a", 0, finish="length"))
    settled = RunSettled(run_id="run_1", attempt=1, worker="gpu_1", outcome=outcome)
    assert _told(rig.start()) == [settled]
    assert _told(rig.give(AbortRun(run_id="run_1", attempt=1))) == [settled]


# --- cancelling -----------------------------------------------------------------------------


def test_cancel_frees_the_sequence_before_it_commits_the_end() -> None:
    rig = Rig().generating()
    rig.say("he", 0)
    assert rig.give(AbortRun(run_id="run_1", attempt=1)) == (AbortEngine("run_1", 1),)
    assert rig.give(AbortRun(run_id="run_1", attempt=1)) == ()
    assert rig.say("llo", 2) == ()
    assert not any(isinstance(e, Append) for e in rig.give(Appended("run_1", 1, 6)))
    outcome, text = _end_of(rig, rig.give(Freed("run_1", 1)))
    assert (outcome.finish_reason, outcome.usage.completion_tokens, text) == ("cancelled", 2, "he")


def test_cancel_before_the_claim_ends_the_run_after_it() -> None:
    rig = Rig()
    rig.start()
    assert rig.give(AbortRun(run_id="run_1", attempt=1)) == (AbortEngine("run_1", 1),)
    assert rig.give(Freed("run_1", 1)) == ()
    assert rig.give(Claimed("run_1", 1, 5)) == (ReadLog("run_1", 1),)
    effects = rig.give(LogRead("run_1", 1, LogState()))
    assert _only(effects, Append).entry.events == ()
    assert _end_of(rig, effects)[0].finish_reason == "cancelled"


def test_cancel_before_the_claim_counts_what_was_generated_by_then() -> None:
    rig = Rig()
    rig.start()
    rig.say("he", 0)
    rig.give(AbortRun(run_id="run_1", attempt=1))
    rig.give(Freed("run_1", 1))
    effects = rig.give(Claimed("run_1", 1, 5))
    entry = _only(effects, Append).entry
    assert entry.end is not None
    assert entry.end.usage.completion_tokens == len(entry.tokens) == 2
    outcome, text = _end_of(rig, effects)
    assert (outcome.finish_reason, text) == ("cancelled", "he")


def test_cancel_while_the_log_is_read_keeps_what_is_committed() -> None:
    rig = Rig()
    rig.start(2, expect=None)
    rig.give(AbortRun(run_id="run_1", attempt=2))
    rig.give(Claimed("run_1", 2, 9))
    outcome, text = _end_of(rig, rig.give(LogRead("run_1", 2, _committed("half"))), 2)
    assert (outcome.finish_reason, outcome.usage.completion_tokens, text) == (
        "cancelled",
        4,
        "half",
    )


def test_cancel_after_the_end_has_no_effect() -> None:
    rig = Rig().generating()
    rig.say("a", 0, finish="length")
    assert rig.give(AbortRun(run_id="run_1", attempt=1)) == ()


def test_cancel_of_an_unknown_run_is_rejected_and_so_is_its_late_start() -> None:
    rig = Rig()
    assert isinstance(_told(rig.give(AbortRun(run_id="run_1", attempt=3)))[0], RunRejected)
    assert isinstance(_told(rig.start(3))[0], RunRejected)
    assert ClaimLog("run_1", 4, 0) in rig.start(4)


def test_drop_frees_without_an_end() -> None:
    rig = Rig().generating()
    assert rig.give(DropRun(run_id="run_1", attempt=1)) == (
        AbortEngine("run_1", 1),
        Forget("run_1", 1),
    )


# --- taking over ----------------------------------------------------------------------------


def test_successor_continues_from_the_last_committed_token() -> None:
    rig = Rig()
    effects = rig.take_over(_committed("half"), min_tokens=10)
    started = _only(effects, StartEngine)
    assert started.prompt == (*PROMPT, *CODEC.encode("half"))
    assert (started.sampling.max_tokens, started.sampling.min_tokens) == (46, 6)
    entry = _only(rig.say(" full", 0, attempt=2, cached_tokens=6), Append).entry
    assert entry.seq == 3
    assert entry.offset == 4
    assert entry.events == (RunRecovered(gap_ms=1000), MessageDelta(delta=" full"))
    rig.give(Appended("run_1", 2, 20))
    outcome, text = _end_of(rig, rig.say("!", 5, attempt=2, finish="length"), 2)
    assert text == "half full!"
    assert outcome.usage == Usage(prompt_tokens=3, completion_tokens=10, cached_tokens=1)


def test_successor_finds_a_stop_string_across_the_seam() -> None:
    rig = Rig()
    rig.take_over(_committed("so ", tokens=CODEC.encode("so EN")), stop=("END",))
    outcome, text = _end_of(rig, rig.say("D", 0, attempt=2), 2)
    assert (outcome.finish_reason, text) == ("stop", "so ")


def test_successor_finishes_a_character_across_the_seam() -> None:
    rig = Rig()
    rig.take_over(_committed("a", tokens=CODEC.encode("aé")[:-1]))
    entry = _only(rig.say(CODEC.encode("é")[1:], 0, attempt=2), Append).entry
    assert entry.events[-1] == MessageDelta(delta="é")


@pytest.mark.parametrize(
    ("log", "sampling", "reason", "text"),
    [
        (_committed("abc"), {"max_tokens": 3}, "length", "abc"),
        (_committed("so ", tokens=CODEC.encode("so END")), {"stop": ("END",)}, "stop", "so "),
        (_committed("abc", tokens=(*CODEC.encode("abc"), EOS)), {}, "stop", "abc"),
        (_committed("x" * 97), {"max_tokens": 500}, "length", "x" * 97),
    ],
)
def test_successor_of_a_complete_answer_ends_it_without_the_engine(
    log: LogState, sampling: dict[str, Any], reason: str, text: str
) -> None:
    rig = Rig()
    effects = rig.take_over(log, **sampling)
    assert not any(isinstance(effect, StartEngine) for effect in effects)
    outcome, got = _end_of(rig, effects, 2)
    assert (outcome.finish_reason, got) == (reason, text)


def test_successor_of_an_ended_run_reports_the_end_again() -> None:
    rig = Rig()
    end = RunOutcome(finish_reason="stop", usage=Usage(completion_tokens=3))
    finished = _only(rig.take_over(_committed("abc", end=end)), PublishFinished).finished
    assert (finished.text, finished.outcome, finished.next_seq) == ("abc", end, 3)
    assert finished.epoch == 9
    settled = _told(rig.give(FinishStored("run_1", 2)))[0]
    assert settled.outcome == end


def test_successor_of_a_closed_run_settles_without_an_outcome() -> None:
    terminal = RunCompleted(finish_reason="stop", usage=Usage(), message_id="msg_1")
    effects = Rig().take_over(_committed("abc", terminal=terminal))
    assert _told(effects) == [RunSettled(run_id="run_1", attempt=2, worker="gpu_1")]


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 0.7, "seed": 3},
        {"presence_penalty": 0.5},
        {"frequency_penalty": 1},
        {"temperature": 0.0, "guide": Guide(kind="json_object")},
    ],
)
def test_successor_that_cannot_carry_the_state_replays(sampling: dict[str, Any]) -> None:
    rig = Rig()
    started = _only(rig.take_over(_committed("half"), **sampling), StartEngine)
    assert (started.prompt, started.sampling.max_tokens) == (PROMPT, 50)
    assert rig.say("ha", 0, attempt=2) == ()
    entry = _only(rig.say("lf!", 2, attempt=2), Append).entry
    assert (entry.tokens, entry.offset) == (CODEC.encode("!"), 4)


def test_likelihoods_of_a_replay_are_not_written_again() -> None:
    rig = Rig()
    rig.take_over(_committed("half"), temperature=0.7, seed=3, logprobs=0)
    tokens = CODEC.encode("half!")
    told = tuple(TokenLogprob(-float(place)) for place in range(len(tokens)))
    output = EngineOutput(tokens=tokens, start=0, logprobs=told)
    entry = _only(rig.give(Output("run_1", 2, output)), Append).entry
    assert (entry.tokens, entry.logprobs) == (CODEC.encode("!"), told[4:])


@pytest.mark.parametrize("output", [("hxlf!", None), ("ha", "stop")])
def test_replay_that_differs_ends_the_run_openly(output: tuple[str, Any]) -> None:
    rig = Rig()
    rig.take_over(_committed("half"), temperature=0.7, seed=3)
    outcome, text = _end_of(rig, rig.say(output[0], 0, attempt=2, finish=output[1]), 2)
    assert outcome.error is not None
    assert outcome.error.code == "cannot_resume"
    assert text == "half"


def test_unseeded_sampling_continues() -> None:
    started = _only(Rig().take_over(_committed("half"), temperature=1.0), StartEngine)
    assert started.prompt == (*PROMPT, *CODEC.encode("half"))


def test_log_whose_text_contradicts_its_tokens_fails_openly_and_keeps_what_was_said() -> None:
    rig = Rig()
    log = _committed("half", tokens=CODEC.encode("other"))
    effects = rig.take_over(log)
    assert _only(effects, Append).entry.seq == log.next_seq
    outcome, text = _end_of(rig, effects, 2)
    assert outcome.error is not None
    assert outcome.error.code == "cannot_resume"
    assert outcome.usage.completion_tokens == len(log.tokens)
    assert text == "half"


# --- losing ---------------------------------------------------------------------------------


def test_fenced_writer_frees_the_engine_and_forgets() -> None:
    rig = Rig().generating()
    rig.say("a", 0)
    assert rig.give(Fenced("run_1", 1)) == (
        AbortEngine("run_1", 1),
        Forget("run_1", 1),
        Tell(RunSettled(run_id="run_1", attempt=1, worker="gpu_1")),
    )
    assert rig.give(Appended("run_1", 1, 6)) == ()


def test_run_whose_log_is_gone_is_handed_back() -> None:
    effects = Rig().generating().give(LogLost("run_1", 1))
    assert isinstance(_told(effects)[0], RunRejected)


# --- the worker -----------------------------------------------------------------------------


def test_report_tells_committed_tokens_and_the_highest_attempt() -> None:
    rig = Rig().generating()
    rig.say("ab", 0)
    rig.give(Appended("run_1", 1, 6))
    rig.say("c", 2)
    rig.start(8, run_id="run_2")
    rig.start(9, run_id="run_3")
    report = _told(rig.give(Tick(EngineLoad(running=2, waiting=1, kv_used=0.5))))[0]
    assert isinstance(report, WorkerReport)
    assert [(r.run_id, r.attempt, r.tokens, r.started) for r in report.runs] == [
        ("run_1", 1, 2, True),
        ("run_2", 8, 0, False),
    ]
    assert (report.seen, report.slots, report.waiting, report.kv_used) == (9, 2, 1, 0.5)
    assert (report.incarnation, report.state, report.context_length) == (7, "ready", 100)
    again = _told(rig.give(Tick(EngineLoad())))[0]
    assert again.number == report.number + 1


def test_slots_are_never_more_than_the_engine_has() -> None:
    rig = Rig(GpuConfig(worker="gpu_1", pool="default", model="m", slots=9))
    assert _told(rig.give(Tick(EngineLoad())))[0].slots == 2


def test_drain_of_an_idle_worker_stops_it() -> None:
    rig = Rig()
    effects = rig.give(Drain())
    assert effects[-1] == Stop()
    assert [message.state for message in _told(effects)[:-1]] == ["draining", "stopped"]
    assert _told(effects)[-1] == WorkerGone(worker="gpu_1", incarnation=7, reason="drained")
    assert rig.give(Tick(EngineLoad())) == (), "it has said goodbye"


def test_drain_waits_for_the_last_run() -> None:
    rig = Rig().generating()
    assert Stop() not in rig.give(Drain())
    rig.say("a", 0, finish="length")
    rig.give(Appended("run_1", 1, 6))
    assert rig.give(FinishStored("run_1", 1))[-1] == Stop()


def test_hand_back_frees_everything_and_ends_nothing() -> None:
    rig = Rig().generating()
    effects = rig.give(HandBack("the drain took too long"))
    assert effects[0] == AbortEngine("run_1", 1)
    assert effects[-1] == Stop()
    assert not any(isinstance(message, RunSettled) for message in _told(effects))


# --- pacing ---------------------------------------------------------------------------------


def test_entries_keep_their_distance_but_the_first_and_the_last_never_wait() -> None:
    rig = Rig(GpuConfig(worker="gpu_1", pool="default", model="m", entry_ms=10)).generating()
    assert _only(rig.say("a", 0), Append).entry.tokens == CODEC.encode("a")
    rig.give(Appended("run_1", 1, 6))
    rig.now_ms += 4
    assert not rig.say("b", 1)
    rig.now_ms += 7
    assert _only(rig.say("c", 2), Append).entry.tokens == CODEC.encode("bc")
    rig.give(Appended("run_1", 1, 7))
    rig.now_ms += 1
    assert _only(rig.say("d", 3, finish="length"), Append).entry.end is not None


def test_text_that_waited_is_written_when_the_engine_says_nothing_more() -> None:
    rig = Rig(GpuConfig(worker="gpu_1", pool="default", model="m", entry_ms=10)).generating()
    rig.say("a", 0)
    rig.give(Appended("run_1", 1, 6))
    rig.say("b", 1)
    rig.now_ms += 100
    assert _only(rig.give(Tick(EngineLoad())), Append).entry.tokens == CODEC.encode("b")

"""The session machine, decision by decision."""

from typing import Any, TypeVar

import msgspec
import pytest

from actors.session.config import ModelContext, SessionConfig
from actors.session.machine import SessionMachine
from actors.session.state import (
    AcceptPrompt,
    Acknowledge,
    AnswerSaved,
    AskCancel,
    AskKnown,
    CloseLog,
    Command,
    Effect,
    EnqueueRefused,
    EnqueueRun,
    KeyLookedUp,
    LookUpRun,
    PromptConflict,
    PromptStored,
    ReadPath,
    Reply,
    RunClosed,
    RunEnqueued,
    RunKnown,
    RunLookedUp,
    SaveAnswer,
    SessionMessage,
    Settle,
    Settled,
    StepFailed,
    TerminalWritten,
    Tick,
    WriteTerminal,
)
from contracts.block_keys import prompt_keys
from contracts.events import RunCancelled, RunCompleted, RunFailed
from contracts.records import Chat, Message, RunRecord, SessionRecord
from contracts.runs import RunOutcome, Sampling, Usage
from contracts.session import (
    CancelReply,
    CancelRun,
    PromptAccepted,
    PromptRejected,
    RunFinished,
    SubmitPrompt,
)
from tests.unit.session.test_context import WordCodec

E = TypeVar("E")
CHAT = Chat(chat_id="chat", user_id="user", created_at_ms=1, active_at_ms=1)


def config() -> SessionConfig:
    model = ModelContext(
        model="m",
        pool="default",
        codec=WordCodec(),
        context_length=64,
        output_reserve=10,
        max_output=20,
    )
    return SessionConfig(models={"m": model}, default_model="m")


def submit(run_id: str = "run_1", **changes: Any) -> SubmitPrompt:
    base = SubmitPrompt(
        run_id=run_id,
        chat_id="chat",
        user_id="user",
        prompt_id=f"p_{run_id}",
        answer_id=f"a_{run_id}",
        content="hello there",
        sampling=Sampling(max_tokens=0),
        submitted_at_ms=100,
        expires_at_ms=10_000,
        reply_to="inbox",
    )
    return msgspec.structs.replace(base, **changes)


def finished(run_id: str = "run_1", reason: str = "stop", text: str = "hi") -> RunFinished:
    return RunFinished(
        run_id=run_id,
        chat_id="chat",
        epoch=7,
        next_seq=4,
        text=text,
        outcome=RunOutcome(
            finish_reason=reason,  # type: ignore[arg-type]
            usage=Usage(prompt_tokens=3, completion_tokens=2),
        ),
        model="m",
        message_id=f"a_{run_id}",
    )


class World:
    """Performs effects at once against a tiny history and queue; `fail` makes a step fail."""

    def __init__(self, record: SessionRecord | None = None, *, begun_ms: int = 0) -> None:
        self.chat = record.chat if record else CHAT
        record = record or SessionRecord(chat=CHAT)
        self.machine = SessionMachine(config(), record, begun_ms=begun_ms)
        self.messages: dict[str, Message] = {}
        self.runs: dict[str, RunRecord] = {}
        self.done: list[Effect] = []
        self.fail: set[type] = set()
        self.certain = False
        self.terminals: dict[str, object] = {}
        self.deliveries = 0
        self.now_ms = 1_000
        self.store_takes_ms = 0

    def deliver(self, body: SubmitPrompt | CancelRun | RunFinished) -> list[Effect]:
        self.deliveries += 1
        return self.tell(Command(body, self.deliveries))

    def tell(self, message: SessionMessage) -> list[Effect]:
        start = len(self.done)
        pending = [message]
        while pending:
            for effect in self.machine.handle(pending.pop(0), self.now_ms):
                self.done.append(effect)
                answer = self.perform(effect)
                if answer is not None:
                    pending.append(answer)
        return self.done[start:]

    def perform(self, effect: Effect) -> SessionMessage | None:
        run_id = getattr(effect, "run_id", "") or getattr(
            getattr(effect, "run", None) or getattr(effect, "spec", None), "run_id", ""
        )
        if type(effect) in self.fail:
            return StepFailed(run_id, certain=self.certain)
        match effect:
            case AcceptPrompt(prompt, answer, run):
                if self.chat.active_run_id not in (None, run_id):
                    return PromptConflict(run_id)
                self.now_ms += self.store_takes_ms
                assert prompt is not None
                self.messages |= {prompt.message_id: prompt, answer.message_id: answer}
                self.runs[run_id] = run
                self.chat = msgspec.structs.replace(
                    self.chat, active_run_id=run_id, next_position=answer.position + 1
                )
                return PromptStored(run_id, self.chat)
            case EnqueueRun():
                return RunEnqueued(run_id)
            case Settle(_, deliveries):
                return Settled(run_id, deliveries)
            case LookUpRun():
                record = self.runs.get(run_id)
                answer_of = self.messages.get(record.answer_id) if record else None
                return RunLookedUp(run_id, record, answer_of)
            case CloseLog(_, done):
                return RunClosed(
                    run_id,
                    done.text,
                    done.outcome.usage.completion_tokens,
                    done.next_seq,
                    self.terminals.get(run_id),  # type: ignore[arg-type]
                )
            case SaveAnswer(answer, run):
                self.messages[answer.message_id] = answer
                self.runs[run_id] = run
                self.chat = msgspec.structs.replace(self.chat, active_run_id=None)
                return AnswerSaved(run_id, applied=True)
            case WriteTerminal(_, _, event):
                assert run_id not in self.terminals, "two terminal events"
                self.terminals[run_id] = event
                return TerminalWritten(run_id)
        return None

    def only(self, kind: type[E], effects: list[Effect] | None = None) -> E:
        found = [e for e in (self.done if effects is None else effects) if isinstance(e, kind)]
        assert len(found) == 1, found
        return found[0]


def kinds(effects: list[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def test_submit_stores_then_replies_then_queues_then_acknowledges() -> None:
    effects = World().deliver(submit())
    assert kinds(effects) == ["AcceptPrompt", "Reply", "EnqueueRun", "Acknowledge"]
    assert effects[1] == Reply(
        "inbox", PromptAccepted(run_id="run_1", prompt_id="p_run_1", answer_id="a_run_1")
    )


def test_submit_stored_after_its_client_was_refused_keeps_the_message_and_fails_the_run() -> None:
    world = World()
    world.store_takes_ms = 9_001
    effects = world.deliver(submit())
    assert kinds(effects) == [
        "AcceptPrompt", "CloseLog", "SaveAnswer", "WriteTerminal", "Acknowledge",
    ]  # fmt: skip
    assert world.messages["p_run_1"].content == "hello there"
    assert world.messages["a_run_1"].status == "failed"
    assert world.chat.active_run_id is None


def test_submit_fills_the_run_from_context_and_model() -> None:
    world = World()
    spec = world.only(EnqueueRun, world.deliver(submit())).spec
    assert (spec.pool, spec.model, spec.message_id) == ("default", "m", "a_run_1")
    assert spec.prompt_tokens == (1000, 5, 5, 1001)
    assert spec.sampling.max_tokens == 20


def test_submit_names_the_prompts_blocks_and_who_served_the_chat_last() -> None:
    world = World()
    first = world.only(EnqueueRun, world.deliver(submit(content="word " * 40))).spec
    assert first.block_keys == prompt_keys(first.prompt_tokens) != ()
    assert first.home == ""
    world.deliver(msgspec.structs.replace(finished(), worker="gpu_2"))
    assert world.only(EnqueueRun, world.deliver(submit("run_2"))).spec.home == "gpu_2"


def test_submit_of_another_user_is_not_found_and_stores_nothing() -> None:
    effects = World().deliver(submit(user_id="mallory"))
    assert kinds(effects) == ["Reply", "Acknowledge"]
    assert isinstance(effects[0], Reply) and isinstance(effects[0].body, PromptRejected)
    assert effects[0].body.problem.code == "not_found"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expires_at_ms": 999}, "expired"),
        ({"model": "gpt-9"}, "unknown_model"),
        ({"content": "word " * 90}, "prompt_too_long"),
    ],
)
def test_submit_bad_prompt_is_refused_and_stores_nothing(
    changes: dict[str, Any], code: str
) -> None:
    world = World()
    reply = world.only(Reply, world.deliver(submit(**changes)))
    assert isinstance(reply.body, PromptRejected) and reply.body.problem.code == code
    assert not world.messages
    assert world.machine.idle


def test_submit_while_answering_names_the_active_run() -> None:
    world = World()
    world.deliver(submit())
    reply = world.only(Reply, world.deliver(submit("run_2")))
    assert isinstance(reply.body, PromptRejected)
    assert reply.body.problem.code == "run_active"
    assert reply.body.problem.active_run_id == "run_1"


def test_submit_redelivered_is_accepted_again_without_a_second_run() -> None:
    world = World()
    world.deliver(submit())
    effects = world.deliver(submit())
    assert kinds(effects) == ["Reply", "Acknowledge"]


def test_submit_same_key_same_body_gives_the_first_run() -> None:
    world = World()
    world.deliver(submit(idempotency_key="k", body_hash="h"))
    reply = world.only(Reply, world.deliver(submit("run_2", idempotency_key="k", body_hash="h")))
    assert isinstance(reply.body, PromptAccepted)
    assert reply.body.run_id == "run_1" and reply.body.replayed


def test_submit_same_key_other_body_is_a_mismatch_also_after_the_end() -> None:
    world = World()
    world.deliver(submit(idempotency_key="k", body_hash="h"))
    world.deliver(finished())
    reply = world.only(
        Reply, world.deliver(submit("run_2", idempotency_key="k", body_hash="other"))
    )
    assert isinstance(reply.body, PromptRejected)
    assert reply.body.problem.code == "idempotency_mismatch"


def test_finish_saves_the_answer_before_the_terminal_event() -> None:
    world = World()
    world.deliver(submit())
    effects = world.deliver(finished())
    assert kinds(effects) == ["CloseLog", "SaveAnswer", "WriteTerminal", "Acknowledge"]
    assert world.messages["a_run_1"].content == "hi"
    assert world.terminals["run_1"] == RunCompleted(
        finish_reason="stop",
        usage=Usage(prompt_tokens=3, completion_tokens=2),
        message_id="a_run_1",
    )
    assert world.machine.idle


def test_finish_text_of_the_log_wins_over_the_workers() -> None:
    world = World()
    world.deliver(submit())
    world.fail.add(CloseLog)
    world.deliver(finished(text="what a zombie says"))
    world.fail.clear()
    closed = RunClosed("run_1", text="what was streamed", tokens=9, next_seq=11)
    world.tell(closed)
    assert world.messages["a_run_1"].content == "what was streamed"
    assert world.only(WriteTerminal).seq == 11


def test_finish_redelivered_after_the_terminal_does_nothing_twice() -> None:
    world = World()
    world.deliver(submit())
    world.deliver(finished())
    effects = world.deliver(finished())
    assert kinds(effects) == ["LookUpRun", "CloseLog", "Acknowledge"]


def test_finish_after_a_crash_between_save_and_terminal_writes_the_terminal() -> None:
    world = World()
    world.deliver(submit())
    world.fail.add(WriteTerminal)
    world.deliver(finished())
    fresh = World(SessionRecord(chat=world.chat))
    fresh.runs, fresh.messages = world.runs, world.messages
    effects = fresh.deliver(finished())
    assert kinds(effects) == ["LookUpRun", "CloseLog", "WriteTerminal", "Acknowledge"]
    assert isinstance(fresh.terminals["run_1"], RunCompleted)


def test_finish_failed_stores_what_was_streamed_as_failed() -> None:
    world = World()
    world.deliver(submit())
    world.deliver(finished(reason="error", text="half a sen"))
    assert world.messages["a_run_1"].status == "failed"
    assert world.messages["a_run_1"].content == "half a sen"
    assert isinstance(world.terminals["run_1"], RunFailed)


def test_history_that_surely_refused_refuses_the_prompt_at_once() -> None:
    world = World()
    world.fail.add(AcceptPrompt)
    world.certain = True
    reply = world.only(Reply, world.deliver(submit()))
    assert isinstance(reply.body, PromptRejected) and reply.body.problem.code == "unavailable"
    assert world.machine.idle


def test_history_in_doubt_says_nothing_and_stores_again_until_it_knows() -> None:
    world = World()
    world.fail.add(AcceptPrompt)
    assert kinds(world.deliver(submit())) == ["AcceptPrompt"]
    world.now_ms += 1_000
    assert kinds(world.tell(Tick())) == ["AcceptPrompt"]
    world.fail.clear()
    world.now_ms += 1_000
    effects = world.tell(Tick())
    assert kinds(effects) == ["AcceptPrompt", "Reply", "EnqueueRun", "Acknowledge"]


def test_history_in_doubt_past_expiry_and_not_stored_is_rejected() -> None:
    world = World()
    world.fail.add(AcceptPrompt)
    world.deliver(submit())
    world.now_ms = 11_000
    world.tell(Tick())
    world.now_ms += 1_000
    assert kinds(world.tell(Tick())) == ["LookUpRun", "Settle", "Reply"]
    assert world.machine.idle


def test_history_in_doubt_past_expiry_but_stored_ends_failed() -> None:
    world = World()
    world.fail.add(AcceptPrompt)
    world.deliver(submit())
    stored = AcceptPrompt(*_stored(world))
    world.now_ms = 11_000
    world.tell(Tick())
    world.fail.clear()
    world.perform(stored)
    world.now_ms += 1_000
    world.tell(Tick())
    assert world.runs["run_1"].state == "failed"
    assert isinstance(world.terminals["run_1"], RunFailed)
    assert world.machine.stale


def test_prompt_of_an_earlier_owner_is_not_refused_while_history_refuses() -> None:
    world = World(begun_ms=500)
    world.fail.add(AcceptPrompt)
    world.certain = True
    assert kinds(world.deliver(submit())) == ["AcceptPrompt"]
    world.fail.clear()
    world.now_ms += 1_000
    effects = world.tell(Tick())
    assert kinds(effects) == ["AcceptPrompt", "Reply", "EnqueueRun", "Acknowledge"]


def test_branch_of_an_earlier_owner_is_not_refused_while_history_refuses() -> None:
    world = World(begun_ms=500)
    world.fail.add(ReadPath)
    assert kinds(world.deliver(submit(parent_id="m_1"))) == ["ReadPath"]
    world.now_ms += 1_000
    assert kinds(world.tell(Tick())) == ["ReadPath"]
    world.now_ms = 11_000
    assert kinds(world.tell(Tick())) == ["ReadPath"]
    world.now_ms += 1_000
    assert kinds(world.tell(Tick())) == ["LookUpRun", "Settle", "Reply"]


def test_prompt_that_an_earlier_owner_stored_goes_on_past_expiry() -> None:
    world = World(begun_ms=500)
    world.fail.add(AcceptPrompt)
    world.certain = True
    world.deliver(submit())
    prompt, answer, run = _stored(world)
    world.now_ms = 11_000
    world.tell(Tick())
    world.fail.clear()
    earlier = AcceptPrompt(prompt, answer, msgspec.structs.replace(run, created_at_ms=400))
    world.perform(earlier)
    world.now_ms += 1_000
    assert kinds(world.tell(Tick())) == ["LookUpRun"]
    assert world.machine.stale and not world.terminals


def _stored(world: World) -> tuple[Message, Message, RunRecord]:
    asked = world.only(AcceptPrompt)
    assert asked.prompt is not None
    return asked.prompt, asked.answer, asked.run


def test_history_away_at_the_end_waits_and_loses_nothing() -> None:
    world = World()
    world.deliver(submit())
    world.fail.add(SaveAnswer)
    effects = world.deliver(finished())
    assert "Acknowledge" not in kinds(effects)
    assert "WriteTerminal" not in kinds(effects)
    world.fail.clear()
    world.now_ms += 1_000
    effects = world.tell(Tick())
    assert kinds(effects) == ["SaveAnswer", "WriteTerminal", "Acknowledge"]


def test_queue_full_keeps_the_prompt_and_fails_the_run() -> None:
    world = World()
    world.fail.add(EnqueueRun)
    world.deliver(submit())
    world.fail.clear()
    effects = world.tell(EnqueueRefused("run_1"))
    assert kinds(effects) == ["CloseLog", "SaveAnswer", "WriteTerminal", "Acknowledge"]
    assert world.runs["run_1"].error is not None
    assert world.runs["run_1"].error.code == "at_capacity"


def test_cancel_running_asks_the_scheduler_until_the_end_comes() -> None:
    world = World()
    world.deliver(submit())
    cancel = CancelRun(run_id="run_1", chat_id="chat", user_id="user", reply_to="me")
    assert kinds(world.deliver(cancel)) == ["AskCancel"]
    world.now_ms += 1_000
    assert world.tell(Tick()) == [AskCancel("run_1", "default")]
    effects = world.deliver(finished(reason="cancelled"))
    assert effects[-3] == Reply("me", CancelReply(status="ended", state="cancelled"))
    assert kinds(effects)[-2:] == ["Acknowledge", "Acknowledge"]
    assert isinstance(world.terminals["run_1"], RunCancelled)


def test_cancel_ahead_of_its_prompt_ends_the_run_without_queueing_it() -> None:
    world = World()
    cancel = CancelRun(run_id="run_1", chat_id="chat", user_id="user", reply_to="me")
    assert kinds(world.deliver(cancel)) == ["LookUpRun"]
    effects = world.deliver(submit())
    assert "EnqueueRun" not in kinds(effects)
    assert isinstance(world.terminals["run_1"], RunCancelled)
    assert Reply("me", CancelReply(status="ended", state="cancelled")) in effects


def test_second_copy_of_a_refused_prompt_is_refused_alike() -> None:
    world = World()
    world.fail.add(AcceptPrompt)
    world.certain = True
    (refusal,) = [e for e in world.deliver(submit()) if isinstance(e, Reply)]
    assert isinstance(refusal.body, PromptRejected)
    world.fail.clear()
    effects = world.deliver(submit())
    assert effects == [Settle("run_1", (2,)), refusal]
    assert not world.runs


def test_refusal_is_told_when_its_prompt_comes_to_nobody_any_more() -> None:
    world = World()
    world.fail |= {AcceptPrompt, Settle}
    world.certain = True
    assert kinds(world.deliver(submit())) == ["AcceptPrompt", "Settle"]
    assert not world.deliver(submit()), "a copy waits with it"
    world.now_ms += 1_000
    assert world.tell(Tick()) == [Settle("run_1", (1, 2))]
    world.fail.clear()
    world.now_ms += 1_000
    assert kinds(world.tell(Tick())) == ["Settle", "Reply"]
    assert world.machine.idle


def test_copy_that_comes_while_a_refusal_is_settled_is_settled_next() -> None:
    world = World()
    world.fail |= {AcceptPrompt, Settle}
    world.certain = True
    world.deliver(submit())
    world.deliver(submit())
    assert world.machine.handle(Settled("run_1", (1,)), world.now_ms) == (Settle("run_1", (2,)),)
    assert kinds(world.tell(Settled("run_1", (2,)))) == ["Reply"]


def test_cancels_ahead_of_their_prompt_are_all_answered_and_acknowledged() -> None:
    world = World()
    for inbox in ("me", "again"):
        world.deliver(CancelRun(run_id="run_1", chat_id="chat", user_id="user", reply_to=inbox))
    effects = world.deliver(submit())
    assert {e.delivery for e in effects if isinstance(e, Acknowledge)} == {1, 2, 3}
    ended = CancelReply(status="ended", state="cancelled")
    assert Reply("me", ended) in effects and Reply("again", ended) in effects


def test_cancel_of_an_ended_run_says_how_it_ended() -> None:
    world = World()
    world.deliver(submit())
    world.deliver(finished())
    cancel = CancelRun(run_id="run_1", chat_id="chat", user_id="user", reply_to="me")
    effects = world.deliver(cancel)
    assert effects[0] == Reply("me", CancelReply(status="ended", state="completed"))


def test_cancel_of_an_unknown_run_is_forgotten_after_a_while() -> None:
    world = World()
    cancel = CancelRun(run_id="run_9", chat_id="chat", user_id="user", reply_to="me")
    world.deliver(cancel)
    assert not world.machine.idle
    world.now_ms += 60_000
    effects = world.tell(Tick())
    assert effects[0] == Reply("me", CancelReply(status="unknown"))
    assert world.machine.idle


def test_rebuilt_with_an_active_run_queues_it_again_only_when_its_prompt_comes_again() -> None:
    world = World()
    world.fail.add(EnqueueRun)
    world.deliver(submit())
    record = SessionRecord(
        chat=world.chat,
        messages=tuple(world.messages.values()),
        active_run=world.runs["run_1"],
    )
    fresh = World(record)
    effects = fresh.deliver(submit())
    assert kinds(effects) == ["Reply", "EnqueueRun", "Acknowledge"]
    spec = fresh.only(EnqueueRun).spec
    assert spec.prompt_tokens == world.only(EnqueueRun).spec.prompt_tokens


def test_rebuilt_remembers_the_newest_runs_longest() -> None:
    runs = tuple(
        RunRecord(
            run_id=f"run_{i}",
            chat_id="chat",
            user_id="user",
            prompt_id="p",
            answer_id="a",
            created_at_ms=i,
            state="completed",
        )
        for i in reversed(range(50))
    )
    world = World(SessionRecord(chat=CHAT, recent_runs=runs))
    world.deliver(submit("run_new"))
    world.deliver(finished("run_new"))
    newest = CancelRun(run_id="run_49", chat_id="chat", user_id="user", reply_to="me")
    assert kinds(world.deliver(newest)) == ["Reply", "Acknowledge"]
    oldest = CancelRun(run_id="run_0", chat_id="chat", user_id="user", reply_to="me")
    assert kinds(world.deliver(oldest)) == ["LookUpRun"]


def test_rebuilt_between_save_and_terminal_of_an_unqueued_run_writes_the_terminal() -> None:
    world = World()
    cancel = CancelRun(run_id="run_1", chat_id="chat", user_id="user", reply_to="me")
    world.deliver(cancel)
    world.fail.add(WriteTerminal)
    assert "Acknowledge" not in kinds(world.deliver(submit()))
    fresh = rebuilt(world)
    effects = fresh.deliver(submit())
    assert kinds(effects) == ["Reply", "CloseLog", "WriteTerminal", "Acknowledge"]
    assert isinstance(fresh.terminals["run_1"], RunCancelled)
    assert kinds(fresh.deliver(submit())) == ["Reply", "Acknowledge"]


def test_rebuilt_after_the_log_of_an_ended_run_aged_out_writes_nothing_into_it() -> None:
    world = World()
    world.deliver(submit())
    world.deliver(finished())
    effects = rebuilt(world).deliver(submit())
    assert kinds(effects) == ["Reply", "CloseLog", "Acknowledge"]


def test_submit_during_the_look_up_of_its_cancel_is_answered_after_it() -> None:
    world = World()
    world.fail.add(LookUpRun)
    cancel = CancelRun(run_id="run_1", chat_id="chat", user_id="user", reply_to="me")
    world.deliver(cancel)
    assert world.deliver(submit()) == []
    world.fail.clear()
    world.now_ms += 1_000
    effects = world.tell(Tick())
    assert isinstance(world.terminals["run_1"], RunCancelled)
    assert kinds(effects).count("Acknowledge") == 2
    assert world.machine.idle


def test_cancel_of_a_replayed_prompt_is_answered() -> None:
    runs = tuple(
        RunRecord(
            run_id=f"run_{i}",
            chat_id="chat",
            user_id="user",
            prompt_id="p",
            answer_id="a",
            created_at_ms=i,
            state="completed",
        )
        for i in reversed(range(50))
    )
    world = World(SessionRecord(chat=CHAT, recent_runs=runs))
    cancel = CancelRun(run_id="run_new", chat_id="chat", user_id="user", reply_to="me")
    world.deliver(cancel)
    world.deliver(submit("run_new", idempotency_key="k", body_hash="h"))
    earlier = msgspec.structs.replace(runs[0], idempotency_key="k", body_hash="h")
    effects = world.tell(KeyLookedUp("run_new", earlier))
    assert Reply("me", CancelReply(status="unknown")) in effects
    assert kinds(effects).count("Acknowledge") == 2
    assert world.machine.idle


def rebuilt(world: World) -> World:
    """The next owner's machine, over the same history."""
    runs = tuple(run for run in world.runs.values() if run.state != "active")
    record = SessionRecord(
        chat=world.chat, messages=tuple(world.messages.values()), recent_runs=runs
    )
    fresh = World(record)
    fresh.runs, fresh.messages = world.runs, world.messages
    return fresh


def test_stale_owner_is_refused_by_history_and_rebuilt_with_its_prompt_unanswered() -> None:
    world = World()
    world.chat = msgspec.structs.replace(world.chat, active_run_id="run_other")
    assert kinds(world.deliver(submit())) == ["AcceptPrompt"]
    assert world.machine.stale


def test_stale_owner_refuses_a_prompt_whose_time_is_up() -> None:
    world = World()
    world.chat = msgspec.structs.replace(world.chat, active_run_id="run_other")
    world.fail.add(AcceptPrompt)
    world.deliver(submit())
    world.fail.clear()
    world.now_ms = 10_001
    assert kinds(world.tell(PromptConflict("run_1"))) == ["Settle", "Reply"]
    assert world.machine.stale and world.machine.idle


def test_next_turn_sees_the_answer_before_it() -> None:
    world = World()
    world.deliver(submit())
    world.deliver(finished(text="well then"))
    spec = world.only(EnqueueRun, world.deliver(submit("run_2"))).spec
    assert spec.prompt_tokens == (1000, 5, 5, 1000, 4, 4, 1000, 5, 5, 1001)


def rebuilt_with_lost_run() -> World:
    """A chat whose run is active in history, and whose queue message is gone."""
    world = World()
    world.deliver(submit())
    record = SessionRecord(
        chat=world.chat,
        messages=tuple(world.messages.values()),
        active_run=world.runs["run_1"],
    )
    fresh = World(record)
    fresh.runs, fresh.messages = world.runs, world.messages
    return fresh


def ask_thrice(world: World, *, known: bool) -> list[Effect]:
    effects: list[Effect] = []
    for _ in range(3):
        world.now_ms += 5_000
        asked = world.tell(Tick())
        assert AskKnown("run_1", "default") in asked
        effects += world.tell(RunKnown("run_1", known))
    return effects


def test_run_that_the_scheduler_does_not_know_is_ended_as_lost() -> None:
    world = rebuilt_with_lost_run()
    effects = ask_thrice(world, known=False)
    assert kinds(effects) == ["CloseLog", "SaveAnswer", "WriteTerminal"]
    assert world.runs["run_1"].error is not None
    assert world.runs["run_1"].error.code == "worker_lost"


def test_run_that_the_scheduler_knows_is_left_alone() -> None:
    world = rebuilt_with_lost_run()
    assert ask_thrice(world, known=True) == []


def test_cancel_of_a_lost_run_ends_it_as_cancelled() -> None:
    world = rebuilt_with_lost_run()
    cancel = CancelRun(run_id="run_1", chat_id="chat", user_id="user", reply_to="me")
    world.deliver(cancel)
    effects = ask_thrice(world, known=False)
    assert Reply("me", CancelReply(status="ended", state="cancelled")) in effects


def test_run_whose_prompt_came_again_is_not_asked_after() -> None:
    world = rebuilt_with_lost_run()
    world.deliver(submit())
    world.now_ms += 60_000
    assert world.tell(Tick()) == []

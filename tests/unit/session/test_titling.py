"""When a session asks for a title."""

import msgspec
import pytest

from actors.runtime.byte_codec import ByteCodec
from actors.session.config import ModelContext, SessionConfig
from actors.session.machine import SessionMachine
from actors.session.state import (
    AnswerSaved,
    Command,
    PromptStored,
    RunClosed,
    RunEnqueued,
    SessionMessage,
    TerminalWritten,
    Wish,
)
from contracts.memory import TitleWanted
from contracts.records import Chat, Message, SessionRecord
from contracts.runs import FinishReason, RunOutcome, Sampling
from contracts.session import RunFinished, SubmitPrompt

CHAT = Chat(chat_id="chat", user_id="user", created_at_ms=1, active_at_ms=1)


def config(*, titles: bool = True) -> SessionConfig:
    model = ModelContext("m", "default", ByteCodec(), 1_000, 200, 200)
    return SessionConfig(models={"m": model}, default_model="m", titles=titles)


def said(position: int, content: str, role: str = "user", parent_id: str | None = None) -> Message:
    made = Message(
        message_id=f"msg_{position}",
        chat_id="chat",
        position=position,
        role="user",
        content=content,
        created_at_ms=1,
        parent_id=parent_id,
    )
    return msgspec.convert({**msgspec.to_builtins(made), "role": role}, Message)


def wishes(
    machine: SessionMachine,
    *,
    title: str = "Hello there",
    content: str = "Hello there",
    reason: FinishReason = "stop",
    text: str = "Hi!",
) -> list[TitleWanted]:
    """Say something, let it be answered, and return the titles that were asked for."""
    submit = SubmitPrompt(
        run_id="run_1",
        chat_id="chat",
        user_id="user",
        prompt_id="p_1",
        answer_id="a_1",
        content=content,
        sampling=Sampling(max_tokens=0),
        submitted_at_ms=1,
        expires_at_ms=10_000,
    )
    finished = RunFinished(
        run_id="run_1",
        chat_id="chat",
        epoch=1,
        next_seq=3,
        text=text,
        outcome=RunOutcome(finish_reason=reason),
        model="m",
        message_id="a_1",
    )
    stored = msgspec.structs.replace(CHAT, title=title, active_run_id="run_1", next_position=2)
    steps: list[SessionMessage] = [
        Command(submit, 1),
        PromptStored("run_1", stored),
        RunEnqueued("run_1"),
        Command(finished, 2),
        RunClosed("run_1", text, 2, 3),
        AnswerSaved("run_1", applied=True),
        TerminalWritten("run_1"),
    ]
    effects = [effect for step in steps for effect in machine.handle(step, 1_000)]
    found = [effect.wish for effect in effects if isinstance(effect, Wish)]
    return [wish for wish in found if isinstance(wish, TitleWanted)]


def fresh(*, titles: bool = True) -> SessionMachine:
    return SessionMachine(config(titles=titles), SessionRecord(chat=CHAT))


def test_first_answer_of_a_chat_asks_for_a_title_instead_of_the_words_of_the_prompt() -> None:
    assert wishes(fresh()) == [
        TitleWanted(
            title_id="run_1-title",
            chat_id="chat",
            user_id="user",
            prompt_id="p_1",
            answer_id="a_1",
            instead_of="Hello there",
            wanted_at_ms=1_000,
        )
    ]


def test_session_without_a_summarizer_asks_for_no_title() -> None:
    assert not wishes(fresh(titles=False))


def test_chat_that_its_user_named_keeps_its_title() -> None:
    assert not wishes(fresh(), title="Mine")


@pytest.mark.parametrize(("reason", "text"), [("cancelled", "Hi!"), ("stop", "")])
def test_answer_that_is_cut_short_or_empty_asks_for_no_title(
    reason: FinishReason, text: str
) -> None:
    assert not wishes(fresh(), reason=reason, text=text)


def test_later_answer_asks_for_no_title() -> None:
    earlier = (said(0, "Hello there"), said(1, "Hi!", "assistant"))
    chat = msgspec.structs.replace(CHAT, title="Hello there", next_position=2)
    machine = SessionMachine(config(), SessionRecord(chat=chat, messages=earlier))
    assert not wishes(machine, content="And now?")

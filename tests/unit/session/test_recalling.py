"""What a session reads before it builds a prompt, and asks for after an answer was sent."""

from collections.abc import Sequence

import msgspec
import pytest

from actors.runtime.byte_codec import ByteCodec
from actors.session.config import ModelContext, SessionConfig
from actors.session.machine import SessionMachine
from actors.session.sqlite_retrieval import SqliteRetrieval
from actors.session.state import (
    AcceptPrompt,
    Acknowledge,
    AnswerSaved,
    Command,
    Effect,
    EnqueueRun,
    MemoryRead,
    PromptStored,
    ReadMemory,
    Reply,
    RunClosed,
    RunEnqueued,
    SessionMessage,
    Settle,
    Settled,
    TerminalWritten,
    Wish,
)
from contracts.memory import FoldWanted
from contracts.records import Attachment, Chat, Message, SessionRecord, Summary
from contracts.runs import LeftOut, RunOutcome, Sampling, Sight
from contracts.session import CancelRun, PromptRejected, RunFinished, SubmitPrompt
from tests.unit.session.test_memory import said, summary_to

CHAT = Chat(chat_id="chat", user_id="user", created_at_ms=1, active_at_ms=1, next_position=20)


def model_config() -> SessionConfig:
    model = ModelContext(
        model="m",
        pool="default",
        codec=ByteCodec(),
        context_length=1_000,
        output_reserve=200,
        max_output=200,
    )
    return SessionConfig(models={"m": model}, default_model="m")


def machine(messages: Sequence[Message] = (), summary: Summary | None = None) -> SessionMachine:
    record = SessionRecord(chat=CHAT, messages=tuple(messages), summary=summary)
    return SessionMachine(model_config(), record, SqliteRetrieval())


def submit(run_id: str, content: str = "and now?") -> Command:
    body = SubmitPrompt(
        run_id=run_id,
        chat_id="chat",
        user_id="user",
        prompt_id=f"p_{run_id}",
        answer_id=f"a_{run_id}",
        content=content,
        sampling=Sampling(max_tokens=0),
        submitted_at_ms=1,
        expires_at_ms=10_000,
    )
    return Command(body, 1)


def told(machine: SessionMachine, *messages: SessionMessage) -> list[Effect]:
    """Return what the machine did at the last of these messages."""
    effects: Sequence[Effect] = ()
    for message in messages:
        effects = machine.handle(message, 1_000)
    return list(effects)


def ended(machine: SessionMachine, run_id: str, first: Sequence[Effect]) -> list[Effect]:
    """Bring a stored prompt to its end, and return what was done after its terminal event."""
    assert [type(effect) for effect in first] == [AcceptPrompt]
    chat = msgspec.structs.replace(CHAT, active_run_id=run_id, next_position=22)
    finished = RunFinished(
        run_id=run_id,
        chat_id="chat",
        epoch=1,
        next_seq=3,
        text="an answer",
        outcome=RunOutcome(finish_reason="stop"),
        model="m",
        message_id=f"a_{run_id}",
    )
    return told(
        machine,
        PromptStored(run_id, chat),
        RunEnqueued(run_id),
        Command(finished, 2),
        RunClosed(run_id, "an answer", 2, 3),
        AnswerSaved(run_id, applied=True),
        TerminalWritten(run_id),
    )


def prompt(effects: Sequence[Effect]) -> str:
    (spec,) = (effect.spec for effect in effects if isinstance(effect, EnqueueRun))
    return ByteCodec().decode(spec.prompt_tokens)


def test_chat_that_is_all_loaded_is_stored_at_once() -> None:
    assert not any(isinstance(e, ReadMemory) for e in told(machine(said(4)), submit("run_1")))


def test_longer_chat_reads_what_is_older_before_its_first_prompt() -> None:
    loaded = said(4, start=12)
    chat = machine(loaded)
    assert told(chat, submit("run_1")) == [ReadMemory("run_1", loaded[0], 3_992)]
    told(chat, MemoryRead("run_1", None, tuple(said(6))))
    stored = PromptStored("run_1", CHAT)
    assert "number 11 and" in prompt(told(chat, stored))


@pytest.mark.parametrize("older", [None, ()])
def test_prompt_does_without_what_history_does_not_tell(
    older: tuple[Message, ...] | None,
) -> None:
    chat = machine(said(4, start=12))
    told(chat, submit("run_1"), MemoryRead("run_1", None, older))
    assert "number 12 and" in prompt(told(chat, PromptStored("run_1", CHAT)))


def test_fold_is_asked_for_after_the_terminal_event_and_the_acknowledgement() -> None:
    chat = machine(said(10))
    effects = ended(chat, "run_1", told(chat, submit("run_1")))
    assert [type(effect) for effect in effects] == [Acknowledge, Wish]
    assert isinstance(effects[1], Wish)
    wish = effects[1].wish
    assert isinstance(wish, FoldWanted)
    assert (wish.fold_id, wish.user_id) == ("run_1-fold", "user")


def test_run_says_what_its_prompt_does_not_hold() -> None:
    def left_out(chat: SessionMachine) -> LeftOut | None:
        told(chat, submit("run_1"))
        (effect,) = (
            e for e in told(chat, PromptStored("run_1", CHAT)) if isinstance(e, EnqueueRun)
        )
        return effect.spec.left_out

    assert left_out(machine(said(2))) is None
    assert left_out(machine(said(20))) == LeftOut(exchanges=17)


def test_short_chat_asks_for_no_fold() -> None:
    chat = machine(said(2))
    effects = ended(chat, "run_1", told(chat, submit("run_1")))
    assert [type(effect) for effect in effects] == [Acknowledge]


def test_next_prompt_reads_the_summary_that_was_asked_for_and_shows_it() -> None:
    path = said(10)
    chat = machine(path)
    ended(chat, "run_1", told(chat, submit("run_1")))
    assert told(chat, submit("run_2")) == [ReadMemory("run_2", None, 3_978)]
    stored = PromptStored("run_2", CHAT)
    text = prompt(told(chat, MemoryRead("run_2", summary_to(path[17])), stored))
    assert "The user likes tea" in text
    assert "number 17 and" not in text


def test_stop_while_memory_is_read_ends_the_run_before_it_is_queued() -> None:
    chat = machine(said(4, start=12))
    told(chat, submit("run_1"))
    cancel = CancelRun(run_id="run_1", chat_id="chat", user_id="user", reply_to="inbox")
    told(chat, Command(cancel, 2), MemoryRead("run_1", None, ()))
    effects = told(chat, PromptStored("run_1", CHAT))
    assert not any(isinstance(effect, EnqueueRun) for effect in effects)
    assert any(isinstance(effect, Reply) for effect in effects)


def test_second_prompt_while_memory_is_read_is_refused() -> None:
    chat = machine(said(4, start=12))
    told(chat, submit("run_1"))
    (settle,) = told(chat, submit("run_2"))
    assert isinstance(settle, Settle)
    (reply,) = told(chat, Settled("run_2", settle.deliveries))
    assert isinstance(reply, Reply)
    assert isinstance(reply.body, PromptRejected)
    assert reply.body.problem.code == "run_active"


def pictured(*messages: Message) -> list[Message]:
    """Prompts among these come with a picture each, which is named after their place."""
    return [
        msgspec.structs.replace(
            message,
            attachments=(
                Attachment(
                    file_id=f"file_{message.position}",
                    name=f"{message.position}.png",
                    media_type="image/png",
                    kind="image",
                    digest="d",
                ),
            ),
        )
        if message.role == "user"
        else message
        for message in messages
    ]


def seeing(run_id: str) -> Command:
    command = submit(run_id)
    assert isinstance(command.body, SubmitPrompt)
    sight = Sight(pictures=1, tokens=10)
    return Command(msgspec.structs.replace(command.body, sight=sight), command.delivery)


def test_picture_that_is_to_be_shown_is_asked_for_and_named_once_it_is_deleted() -> None:
    chat = machine(pictured(*said(2)))
    (asked,) = told(chat, seeing("run_1"))
    assert asked == ReadMemory("run_1", None, 3_996, ("file_2",))
    assert told(chat, MemoryRead("run_1", gone=("file_2",))) == [
        ReadMemory("run_1", None, 0, ("file_0",))
    ]
    (refused,) = told(chat, MemoryRead("run_1"))
    assert isinstance(refused, Settle), "bytes have no mark for a picture"
    told(chat, Settled("run_1", refused.deliveries))
    told(chat, seeing("run_2"))
    (stored,) = told(chat, MemoryRead("run_2", gone=("file_0",)))
    assert isinstance(stored, AcceptPrompt)


def test_pictures_of_older_messages_are_asked_for_once_these_are_read() -> None:
    older, newer = pictured(*said(1)), said(1, start=2)
    chat = machine(newer, Summary(chat_id="chat", position=-1, text="", created_at_ms=0))
    (asked,) = told(chat, seeing("run_1"))
    assert asked == ReadMemory("run_1", newer[0], 3_998)
    assert told(chat, MemoryRead("run_1", None, tuple(older))) == [
        ReadMemory("run_1", None, 0, ("file_0",))
    ]
    (stored,) = told(chat, MemoryRead("run_1", gone=("file_0",)))
    assert isinstance(stored, AcceptPrompt)

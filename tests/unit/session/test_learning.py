"""When a session asks what its message and its older turns mean, and what it makes of it."""

from actors.session.embedded_retrieval import EmbeddedRetrieval, VectorRoom
from actors.session.machine import SessionMachine
from actors.session.retrieval import Meaning, Passage
from actors.session.sqlite_retrieval import SqliteRetrieval
from actors.session.state import (
    AcceptPrompt,
    AnswerSaved,
    Command,
    EmbedQuery,
    EmbedTurns,
    EnqueueRun,
    MemoryRead,
    PromptStored,
    QueryEmbedded,
    RunClosed,
    RunEnqueued,
    TerminalWritten,
    TurnsEmbedded,
)
from contracts.records import Message, SessionRecord
from contracts.runs import RunOutcome
from contracts.session import RunFinished
from tests.unit.session.test_embedded_retrieval import along
from tests.unit.session.test_memory import said
from tests.unit.session.test_recalling import CHAT, ended, model_config, prompt, submit, told

OLDER = 22
"""Turns, most of which don't fit into the window any more."""


def machine(messages: list[Message] | None = None) -> SessionMachine:
    record = SessionRecord(chat=CHAT, messages=tuple(messages or said(OLDER)))
    index = EmbeddedRetrieval(SqliteRetrieval(), VectorRoom(1 << 20))
    return SessionMachine(model_config(), record, index)


def embedded(passages: tuple[Passage, ...]) -> TurnsEmbedded:
    return TurnsEmbedded(tuple((each, along(each.position // 2)) for each in passages))


def taught(chat: SessionMachine) -> None:
    """Bring a first turn to its end, and teach the chat what its older ones mean."""
    queued = told(chat, submit("run_1"), PromptStored("run_1", CHAT), RunEnqueued("run_1"))
    batches = [effect for effect in queued if isinstance(effect, EmbedTurns)]
    while batches:
        more = told(chat, embedded(batches[0].passages))
        batches = [effect for effect in more if isinstance(effect, EmbedTurns)]
    finished = RunFinished(
        run_id="run_1",
        chat_id="chat",
        epoch=1,
        next_seq=3,
        text="an answer",
        outcome=RunOutcome(finish_reason="stop"),
        model="m",
        message_id="a_run_1",
    )
    told(
        chat,
        Command(finished, 2),
        RunClosed("run_1", "an answer", 2, 3),
        AnswerSaved("run_1", applied=True),
        TerminalWritten("run_1"),
    )


def test_older_turns_are_embedded_once_the_run_is_queued_and_a_batch_at_a_time() -> None:
    chat = machine()
    before = told(chat, submit("run_1"))
    assert [type(effect) for effect in before] == [AcceptPrompt]
    queueing = told(chat, PromptStored("run_1", CHAT))
    assert isinstance(queueing[-1], EnqueueRun)
    (asked,) = [e for e in told(chat, RunEnqueued("run_1")) if isinstance(e, EmbedTurns)]
    assert told(chat, RunEnqueued("run_1")) == [], "one batch is in flight"
    more = told(chat, embedded(asked.passages))
    seen = [each.position for each in asked.passages]
    for effect in more:
        assert isinstance(effect, EmbedTurns)
        assert not set(seen) & {each.position for each in effect.passages}


def test_batch_that_nobody_answers_is_asked_for_again_with_the_next_turn() -> None:
    chat = machine()
    told(chat, submit("run_1"), PromptStored("run_1", CHAT), RunEnqueued("run_1"))
    assert told(chat, TurnsEmbedded()) == []
    assert [type(effect) for effect in told(chat, RunEnqueued("run_1"))] == [EmbedTurns]


def test_prompt_asks_for_its_meaning_once_older_turns_have_theirs() -> None:
    chat = machine()
    taught(chat)
    asked = told(chat, submit("run_2", "what?"), MemoryRead("run_2"))
    assert asked == [EmbedQuery("run_2", "what?")]
    (stored,) = told(chat, QueryEmbedded("run_2", along(0)))
    assert isinstance(stored, AcceptPrompt)
    text = prompt(told(chat, PromptStored("run_2", CHAT)))
    assert "Turn 1\n" in text


def test_prompt_whose_meaning_did_not_come_goes_by_its_words() -> None:
    chat = machine()
    taught(chat)
    told(chat, submit("run_2", "what?"), MemoryRead("run_2"), QueryEmbedded("run_2", None))
    assert "Turn 1\n" not in prompt(told(chat, PromptStored("run_2", CHAT)))


def test_meaning_that_comes_for_an_ended_run_changes_nothing() -> None:
    chat = machine()
    assert told(chat, QueryEmbedded("gone", along(0))) == []
    assert told(chat, TurnsEmbedded(((Passage(0, 1, "x", "y"), Meaning("m", bytes(32))),))) == []


def test_chat_that_waits_for_vectors_may_be_forgotten() -> None:
    chat = machine()
    ended(chat, "run_1", told(chat, submit("run_1")))
    assert chat.idle

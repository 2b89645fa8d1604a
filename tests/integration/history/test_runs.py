"""Accepting prompts, finishing runs and rebuilding sessions, on every adapter."""

import asyncio

import msgspec
import pytest

from contracts.errors import HistoryConflict
from contracts.records import Chat, Summary
from tests.integration.history.conftest import Store
from tests.integration.history.records import Turn, converse, new_chat, new_id


async def stored_chat(store: Store) -> Chat:
    chat = new_chat()
    await store.one.create_chat(chat)
    return chat


async def test_prompt_accepted_is_stored_with_its_pending_answer(store: Store) -> None:
    chat = await stored_chat(store)
    turn = Turn(chat, 0, key="k")
    after = await turn.accept(store.one)
    assert after == msgspec.structs.replace(
        chat,
        active_run_id=turn.run.run_id,
        active_at_ms=10_000,
        next_position=2,
        leaf_id=turn.answer.message_id,
    )
    assert await store.two.chat(chat.chat_id) == after
    found = await store.two.messages(chat.chat_id, start=None, limit=5, ascending=True)
    assert found == [turn.prompt, turn.answer]
    assert await store.two.run(chat.chat_id, turn.run.run_id) == turn.run
    assert await store.two.run_by_key(chat.chat_id, "k") == turn.run
    assert await store.two.message(chat.chat_id, turn.answer.message_id) == turn.answer


async def test_prompt_accepted_again_changes_nothing(store: Store) -> None:
    chat = await stored_chat(store)
    first, second = Turn(chat, 0), Turn(chat, 2)
    once = await first.accept(store.one)
    assert await first.accept(store.two) == once
    await first.finish(store.one)
    ended = await first.accept(store.two)
    assert ended == msgspec.structs.replace(once, active_run_id=None)
    assert await store.one.run(chat.chat_id, first.run.run_id) == first.final_run
    later = await second.accept(store.one)
    assert await first.accept(store.two) == later
    found = await store.two.messages(chat.chat_id, start=None, limit=9, ascending=True)
    assert found == [first.prompt, first.final_answer, second.prompt, second.answer]


async def test_prompt_names_a_chat_without_a_title_and_no_other(store: Store) -> None:
    bare, named = await stored_chat(store), msgspec.structs.replace(new_chat(), title="Mine")
    await store.one.create_chat(named)
    for chat, title in ((bare, "Words"), (named, "Mine")):
        turn = Turn(chat, 0)
        assert (await turn.accept(store.one, title="Words")).title == title
        assert (await turn.accept(store.two, title="Other")).title == title
        found = await store.two.chat(chat.chat_id)
        assert found is not None and found.title == title


async def test_prompt_and_a_new_title_at_once_leave_the_title_that_was_given(
    store: Store,
) -> None:
    chat = await stored_chat(store)
    await asyncio.gather(
        Turn(chat, 0).accept(store.one, title="Words"),
        store.two.update_chat(chat.chat_id, title="Mine"),
    )
    found = await store.one.chat(chat.chat_id)
    assert found is not None and (found.title, found.next_position) == ("Mine", 2)


async def test_prompt_while_another_run_is_active_conflicts_and_is_never_seen(
    store: Store,
) -> None:
    chat = await stored_chat(store)
    first, second = Turn(chat, 0), Turn(chat, 2, key="second")
    after = await first.accept(store.one)
    with pytest.raises(HistoryConflict):
        await second.accept(store.two)
    assert await store.one.chat(chat.chat_id) == after
    assert await store.one.message(chat.chat_id, second.prompt.message_id) is None
    assert await store.one.run(chat.chat_id, second.run.run_id) is None
    assert await store.one.run_by_key(chat.chat_id, "second") is None
    await first.finish(store.one)
    assert (await second.accept(store.two)).active_run_id == second.run.run_id


@pytest.mark.parametrize("position", [0, 4])
async def test_prompt_at_a_wrong_position_conflicts(store: Store, position: int) -> None:
    chat = await stored_chat(store)
    (held,) = await converse(store.one, chat, 1)
    with pytest.raises(HistoryConflict):
        await Turn(chat, position).accept(store.one)
    found = await store.two.messages(chat.chat_id, start=None, limit=9, ascending=True)
    assert found == [held.prompt, held.final_answer]


async def test_prompt_in_an_unknown_chat_conflicts(store: Store) -> None:
    chat = new_chat()
    with pytest.raises(HistoryConflict):
        await Turn(chat, 0).accept(store.one)
    assert await store.one.chat(chat.chat_id) is None


async def test_prompts_at_once_from_two_owners_leave_one(store: Store) -> None:
    for _ in range(5):
        chat = await stored_chat(store)
        turns = [Turn(chat, 0) for _ in range(4)]
        outcomes = await asyncio.gather(
            *(turn.accept((store.one, store.two)[n % 2]) for n, turn in enumerate(turns)),
            return_exceptions=True,
        )
        accepted = [t for t, o in zip(turns, outcomes, strict=True) if isinstance(o, Chat)]
        assert all(isinstance(o, Chat | HistoryConflict) for o in outcomes)
        assert len(accepted) == 1
        found = await store.two.messages(chat.chat_id, start=None, limit=9, ascending=True)
        assert found == [accepted[0].prompt, accepted[0].answer]


async def test_prompt_accepted_twice_at_once_is_accepted_for_both(store: Store) -> None:
    for _ in range(5):
        chat = await stored_chat(store)
        turn = Turn(chat, 0)
        first, second = await asyncio.gather(turn.accept(store.one), turn.accept(store.two))
        assert first == second == await store.one.chat(chat.chat_id)


async def test_idempotency_key_belongs_to_one_run_of_a_chat(store: Store) -> None:
    chat, other = await stored_chat(store), await stored_chat(store)
    first, second = Turn(chat, 0, key="k"), Turn(chat, 2)
    for turn in (first, second):
        await turn.accept(store.one)
        await turn.finish(store.one)
    again = Turn(chat, 4, key="k")
    with pytest.raises(HistoryConflict):
        await again.accept(store.two)
    assert await store.two.run_by_key(chat.chat_id, "k") == first.final_run
    assert await store.two.run_by_key(chat.chat_id, "unused") is None
    elsewhere = Turn(other, 0, key="k")
    await elsewhere.accept(store.one)
    assert await store.two.run_by_key(other.chat_id, "k") == elsewhere.run


async def test_idempotency_key_of_the_newest_run_is_taken_too(store: Store) -> None:
    chat = await stored_chat(store)
    first = Turn(chat, 0, key="k")
    await first.accept(store.one)
    await first.finish(store.one)
    with pytest.raises(HistoryConflict):
        await Turn(chat, 2, key="k").accept(store.two)


async def test_run_finished_stores_answer_and_end(store: Store) -> None:
    chat = await stored_chat(store)
    turn = Turn(chat, 0)
    accepted = await turn.accept(store.one)
    assert await turn.finish(store.two)
    assert await store.one.chat(chat.chat_id) == msgspec.structs.replace(
        accepted, active_run_id=None
    )
    found = await store.one.messages(chat.chat_id, start=None, limit=5, ascending=True)
    assert found == [turn.prompt, turn.final_answer]
    assert await store.one.run(chat.chat_id, turn.run.run_id) == turn.final_run


async def test_run_finished_again_changes_nothing(store: Store) -> None:
    chat = await stored_chat(store)
    first, second = Turn(chat, 0), Turn(chat, 2)
    await first.accept(store.one)
    assert await first.finish(store.one)
    zombie = msgspec.structs.replace(first.final_answer, content="something else")
    assert not await store.two.finish_run(chat.chat_id, answer=zombie, run=first.final_run)
    await second.accept(store.one)
    assert not await store.two.finish_run(chat.chat_id, answer=zombie, run=first.final_run)
    found = await store.two.messages(chat.chat_id, start=None, limit=9, ascending=True)
    assert found == [first.prompt, first.final_answer, second.prompt, second.answer]
    assert not await Turn(chat, 2).finish(store.two)
    assert not await Turn(new_chat(), 0).finish(store.two)


async def test_run_finished_twice_at_once_is_finished_once(store: Store) -> None:
    for _ in range(5):
        chat = await stored_chat(store)
        turn = Turn(chat, 0)
        await turn.accept(store.one)
        outcomes = await asyncio.gather(turn.finish(store.one), turn.finish(store.two))
        assert sorted(outcomes) == [False, True]


async def test_run_unknown_is_none(store: Store) -> None:
    chat = await stored_chat(store)
    assert await store.one.run(chat.chat_id, new_id("run")) is None
    assert await store.one.run(new_id("chat"), new_id("run")) is None
    assert await store.one.run_by_key(new_id("chat"), "k") is None


async def test_session_loaded_has_the_newest_of_all(store: Store) -> None:
    chat = await stored_chat(store)
    turns = await converse(store.one, chat, 4)
    last = Turn(chat, 8)
    after = await last.accept(store.one)
    summary = Summary(chat_id=chat.chat_id, position=1, text="pots", created_at_ms=5)
    await store.one.put_summary(summary, replaces=None)
    loaded = await store.two.load_session(chat.chat_id, messages=5, runs=2)
    assert loaded is not None
    assert loaded.chat == after
    assert loaded.messages == (
        turns[2].final_answer,
        turns[3].prompt,
        turns[3].final_answer,
        last.prompt,
        last.answer,
    )
    assert loaded.active_run == last.run
    assert loaded.recent_runs == (turns[3].final_run, turns[2].final_run)
    assert loaded.summary == summary
    await last.finish(store.one)
    ended = await store.two.load_session(chat.chat_id, messages=1, runs=3)
    assert ended is not None
    assert ended.messages == (last.final_answer,)
    assert ended.active_run is None
    assert ended.recent_runs == (last.final_run, turns[3].final_run, turns[2].final_run)


async def test_session_of_an_empty_or_unknown_chat(store: Store) -> None:
    chat = await stored_chat(store)
    loaded = await store.two.load_session(chat.chat_id, messages=5, runs=5)
    assert loaded is not None
    assert (loaded.chat, loaded.messages, loaded.recent_runs) == (chat, (), ())
    assert (loaded.active_run, loaded.summary) == (None, None)
    assert await store.two.load_session(new_id("chat"), messages=5, runs=5) is None


async def test_summary_replaces_the_one_that_it_names(store: Store) -> None:
    chat = await stored_chat(store)

    def summary(position: int, text: str = "so far") -> Summary:
        return Summary(chat_id=chat.chat_id, position=position, text=text, created_at_ms=position)

    with pytest.raises(HistoryConflict):
        await store.one.put_summary(summary(4), replaces=1)
    await store.one.put_summary(summary(4), replaces=None)
    await store.two.put_summary(summary(4), replaces=None)
    with pytest.raises(HistoryConflict):
        await store.one.put_summary(summary(6), replaces=None)
    with pytest.raises(HistoryConflict):
        await store.one.put_summary(summary(6), replaces=2)
    await store.one.put_summary(summary(8), replaces=4)
    with pytest.raises(HistoryConflict):
        await store.two.put_summary(summary(8, "another"), replaces=4)
    loaded = await store.two.load_session(chat.chat_id, messages=1, runs=1)
    assert loaded is not None
    assert loaded.summary == summary(8)


async def test_summary_of_an_unknown_chat_conflicts(store: Store) -> None:
    with pytest.raises(HistoryConflict):
        await store.one.put_summary(
            Summary(chat_id=new_id("chat"), position=1, text="", created_at_ms=1), replaces=None
        )


async def test_ping_of_an_open_store_returns(store: Store) -> None:
    await store.one.ping()
    await store.one.open()
    await store.two.ping()

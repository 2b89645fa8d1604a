"""Alternatives: turns that begin a branch, the path shown, the tree, on every adapter."""

import msgspec
import pytest

from contracts.errors import HistoryConflict
from contracts.records import Attachment, Chat, Message
from tests.integration.history.conftest import Store
from tests.integration.history.records import Turn, converse, new_chat, new_id


async def stored_chat(store: Store) -> Chat:
    chat = new_chat()
    await store.one.create_chat(chat)
    return chat


async def hold(store: Store, turn: Turn, *, branch: bool = False) -> Turn:
    await turn.accept(store.one, branch=branch)
    assert await turn.finish(store.one)
    return turn


async def path_of(store: Store, chat: Chat, leaf_id: str | None = None) -> list[str]:
    shown = await store.two.path(
        chat.chat_id, leaf_id=leaf_id, start=None, limit=100, ascending=True
    )
    return [message.message_id for message in shown]


def ids(*messages: Message) -> list[str]:
    return [message.message_id for message in messages]


async def test_path_of_a_chat_without_branches_is_all_of_it(store: Store) -> None:
    chat = await stored_chat(store)
    turns = await converse(store.one, chat, 3)
    expected = [m for turn in turns for m in (turn.prompt, turn.final_answer)]
    shown = await store.two.path(chat.chat_id, start=None, limit=4, ascending=False)
    assert shown == expected[:1:-1]
    assert await path_of(store, chat) == ids(*expected)
    assert await path_of(store, chat, turns[1].answer.message_id) == ids(*expected[:4])
    assert await path_of(store, chat, new_id("msg")) == []
    assert await path_of(store, new_chat()) == []


async def test_another_answer_is_an_alternative_with_the_same_prompt(store: Store) -> None:
    chat = await stored_chat(store)
    first = await hold(store, Turn(chat, 0))
    second = Turn(chat, 2).to(first.prompt)
    after = await second.accept(store.one, branch=True)
    assert (after.branched, after.leaf_id) == (True, second.answer.message_id)
    assert after.next_position == 3
    assert await second.accept(store.two, branch=True) == after
    assert await path_of(store, chat) == ids(first.prompt, second.answer)
    await second.finish(store.two)
    assert await store.one.message(chat.chat_id, second.answer.message_id) == second.final_answer
    assert await path_of(store, chat, first.answer.message_id) == ids(first.prompt, first.answer)
    loaded = await store.two.load_session(chat.chat_id, messages=9, runs=9)
    assert loaded is not None
    assert list(loaded.messages) == [first.prompt, second.final_answer]
    assert [run.run_id for run in loaded.recent_runs] == [second.run.run_id, first.run.run_id]


async def test_prompt_beside_another_begins_its_own_path(store: Store) -> None:
    chat = await stored_chat(store)
    one = await hold(store, Turn(chat, 0))
    two = await hold(store, Turn(chat, 2).after(one.answer.message_id))
    beside = await hold(store, Turn(chat, 4).after(one.answer.message_id), branch=True)
    root = await hold(store, Turn(chat, 6).after(""), branch=True)
    assert await path_of(store, chat) == ids(root.prompt, root.answer)
    shown = await store.one.update_chat(chat.chat_id, leaf_id=two.answer.message_id)
    assert shown is not None and shown.leaf_id == two.answer.message_id
    assert await path_of(store, chat) == ids(one.prompt, one.answer, two.prompt, two.answer)
    on = await hold(store, Turn(chat, 8).after(two.answer.message_id))
    expected = (one.prompt, one.answer, two.prompt, two.answer, on.prompt, on.answer)
    assert await path_of(store, chat) == ids(*expected)
    assert await path_of(store, chat, beside.answer.message_id) == ids(
        one.prompt, one.answer, beside.prompt, beside.answer
    )
    page = await store.two.path(chat.chat_id, start=3, limit=2, ascending=False)
    assert ids(*page) == ids(two.answer, two.prompt)
    page = await store.two.path(chat.chat_id, start=3, limit=2, ascending=True)
    assert ids(*page) == ids(two.answer, on.prompt)


async def test_prompt_that_follows_what_is_not_shown_conflicts(store: Store) -> None:
    chat = await stored_chat(store)
    one = await hold(store, Turn(chat, 0))
    two = await hold(store, Turn(chat, 2).to(one.prompt), branch=True)
    stale = Turn(chat, 3).after(one.answer.message_id)
    with pytest.raises(HistoryConflict):
        await stale.accept(store.two)
    await hold(store, Turn(chat, 3).after(two.answer.message_id))


async def test_nodes_are_the_messages_without_their_content(store: Store) -> None:
    chat = await stored_chat(store)
    turns = await converse(store.one, chat, 130)
    again = await hold(store, Turn(chat, 260).to(turns[3].prompt), branch=True)
    expected = [m for turn in turns for m in (turn.prompt, turn.final_answer)]
    expected.append(again.final_answer)
    nodes = await store.two.nodes(chat.chat_id)
    assert [(n.message_id, n.position, n.parent_id, n.role, n.status) for n in nodes] == [
        (m.message_id, m.position, m.parent_id, m.role, m.status) for m in expected
    ]
    assert await path_of(store, chat) == ids(*expected[:7], again.answer)
    assert await store.one.nodes(new_id("chat")) == []


async def test_attachments_come_back_as_they_were(store: Store) -> None:
    chat = await stored_chat(store)
    files = (
        Attachment(file_id=new_id("file"), name="a.py", media_type="text/x-python", text="x = 1"),
        Attachment(file_id=new_id("file"), name="b.png", media_type="image/png", kind="image"),
    )
    turn = Turn(chat, 0)
    turn.prompt = msgspec.structs.replace(turn.prompt, attachments=files)
    await hold(store, turn)
    await hold(store, Turn(chat, 2))
    found = await store.two.messages(chat.chat_id, start=0, limit=2, ascending=True)
    assert found == [turn.prompt, turn.final_answer]

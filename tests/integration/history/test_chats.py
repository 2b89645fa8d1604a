"""Chats, their list by activity, and messages by position, on every adapter."""

import asyncio

import msgspec
import pytest

from contracts.errors import HistoryConflict
from contracts.ports.history import ChatCursor
from contracts.records import Chat, Message, Summary
from tests.integration.history.conftest import Store
from tests.integration.history.records import Turn, converse, new_chat, new_id

MONTH_MS = 31 * 24 * 3_600_000


async def list_all(store: Store, user_id: str, limit: int) -> list[Chat]:
    listed: list[Chat] = []
    before: ChatCursor | None = None
    while page := await store.two.list_chats(user_id, before=before, limit=limit):
        assert len(page) <= limit
        listed += page
        before = ChatCursor(page[-1].active_at_ms, page[-1].chat_id)
    return listed


async def test_chat_created_is_found(store: Store) -> None:
    chat = msgspec.structs.replace(new_chat(), title="Töpfe – 陶器", model="m", pinned=True)
    await store.one.create_chat(chat)
    assert await store.two.chat(chat.chat_id) == chat
    assert await store.two.chat(new_id("chat")) is None


async def test_chat_created_again_keeps_what_happened_since(store: Store) -> None:
    chat = new_chat()
    await store.one.create_chat(chat)
    after = await Turn(chat, 0).accept(store.one)
    await store.one.create_chat(chat)
    assert await store.two.chat(chat.chat_id) == after
    assert await list_all(store, chat.user_id, 10) == [after]


async def test_chats_listed_in_pages_are_ordered_by_activity(store: Store) -> None:
    user_id = new_id("user")
    times = [5_000, 1_000, 3_000, 3_000, 3_000, 4 * MONTH_MS, 2 * MONTH_MS, 2_000]
    chats = [new_chat(user_id, at) for at in times]
    for chat in chats:
        await store.one.create_chat(chat)
    await store.one.create_chat(new_chat())
    expected = sorted(chats, key=lambda c: (c.active_at_ms, c.chat_id), reverse=True)
    for limit in (1, 2, 3, 100):
        assert await list_all(store, user_id, limit) == expected


async def test_chat_of_a_new_prompt_moves_to_the_front(store: Store) -> None:
    user_id = new_id("user")
    chats = [new_chat(user_id, 1_000 + n) for n in range(4)]
    for chat in chats:
        await store.one.create_chat(chat)
    moved = await Turn(chats[1], 0, at_ms=3 * MONTH_MS).accept(store.one)
    assert moved.active_at_ms == 3 * MONTH_MS
    assert await list_all(store, user_id, 2) == [moved, chats[3], chats[2], chats[0]]


async def test_chat_active_many_times_is_listed_once(store: Store) -> None:
    chat = new_chat()
    await store.one.create_chat(chat)
    await converse(store.one, chat, 8)
    listed = await list_all(store, chat.user_id, 1)
    assert listed == [await store.one.chat(chat.chat_id)]
    assert listed[0].active_at_ms == 10_014


async def test_chat_updated_changes_what_is_given(store: Store) -> None:
    chat = new_chat()
    await store.one.create_chat(chat)
    titled = await store.one.update_chat(chat.chat_id, title="Pots")
    assert titled == msgspec.structs.replace(chat, title="Pots")
    both = await store.two.update_chat(chat.chat_id, model="m", pinned=True)
    assert both == msgspec.structs.replace(chat, title="Pots", model="m", pinned=True)
    unpinned = await store.two.update_chat(chat.chat_id, pinned=False, title="")
    assert unpinned == msgspec.structs.replace(chat, model="m")
    assert await store.one.update_chat(chat.chat_id) == unpinned
    kept = await store.two.update_chat(chat.chat_id, title="Pans", title_was="Pots")
    assert kept == unpinned
    named = await store.one.update_chat(chat.chat_id, title="Pans", title_was="")
    assert named == msgspec.structs.replace(unpinned, title="Pans")
    ghost = new_id("chat")
    assert await store.one.update_chat(ghost, title="x", title_was="") is None
    assert await list_all(store, chat.user_id, 5) == [named]
    assert await store.one.update_chat(new_id("chat"), title="x") is None


async def test_chat_deleted_leaves_nothing(store: Store) -> None:
    chat, kept = new_chat(), new_chat()
    kept = msgspec.structs.replace(kept, user_id=chat.user_id)
    for each in (chat, kept):
        await store.one.create_chat(each)
    turn = (await converse(store.one, chat, 3))[1]
    await store.one.put_summary(
        Summary(chat_id=chat.chat_id, position=1, text="s", created_at_ms=1), replaces=None
    )
    keyed = Turn(chat, 6, key="k")
    await keyed.accept(store.one)
    await keyed.finish(store.one)
    assert await store.two.delete_chat(chat.chat_id)
    assert await store.one.chat(chat.chat_id) is None
    assert await store.one.messages(chat.chat_id, start=None, limit=9, ascending=True) == []
    assert await store.one.message(chat.chat_id, turn.prompt.message_id) is None
    assert await store.one.run(chat.chat_id, turn.run.run_id) is None
    assert await store.one.run_by_key(chat.chat_id, "k") is None
    assert await store.one.load_session(chat.chat_id, messages=5, runs=5) is None
    assert await store.one.update_chat(chat.chat_id, title="x") is None
    assert await list_all(store, chat.user_id, 5) == [kept]
    assert not await store.one.delete_chat(chat.chat_id)


async def test_chat_with_an_active_run_is_not_deleted(store: Store) -> None:
    chat = new_chat()
    await store.one.create_chat(chat)
    turn = Turn(chat, 0)
    await turn.accept(store.one)
    with pytest.raises(HistoryConflict):
        await store.two.delete_chat(chat.chat_id)
    assert await store.two.message(chat.chat_id, turn.prompt.message_id) == turn.prompt


async def test_delete_and_accept_at_once_have_one_winner(store: Store) -> None:
    for _ in range(5):
        chat = new_chat()
        await store.one.create_chat(chat)
        turn = Turn(chat, 0)
        deleted, accepted = await asyncio.gather(
            store.one.delete_chat(chat.chat_id), turn.accept(store.two), return_exceptions=True
        )
        held = await store.one.messages(chat.chat_id, start=None, limit=5, ascending=True)
        if isinstance(accepted, Chat):
            assert isinstance(deleted, HistoryConflict)
            assert held == [turn.prompt, turn.answer]
        else:
            assert isinstance(accepted, HistoryConflict)
            assert deleted is True
            assert held == []


async def test_messages_of_several_buckets_are_read_in_order(store: Store) -> None:
    chat = new_chat()
    await store.one.create_chat(chat)
    turns = await converse(store.one, chat, 140)
    last = Turn(chat, 280)
    await last.accept(store.one)
    expected: list[Message] = []
    for turn in turns:
        expected += [turn.prompt, turn.final_answer]
    expected += [last.prompt, last.answer]

    async def read(start: int | None, limit: int, *, ascending: bool) -> list[Message]:
        found = await store.two.messages(
            chat.chat_id, start=start, limit=limit, ascending=ascending
        )
        return list(found)

    assert await read(None, 1_000, ascending=True) == expected
    assert await read(None, 1_000, ascending=False) == expected[::-1]
    assert await read(None, 4, ascending=False) == expected[:277:-1]
    assert await read(250, 10, ascending=True) == expected[250:260]
    assert await read(260, 10, ascending=False) == expected[260:250:-1]
    assert await read(279, 10, ascending=True) == expected[279:]
    assert await read(2, 10, ascending=False) == expected[2::-1]
    assert await read(282, 10, ascending=True) == []
    assert await read(9_999, 2, ascending=False) == expected[:279:-1]
    assert await store.two.message(chat.chat_id, expected[3].message_id) == expected[3]
    assert await store.two.message(chat.chat_id, expected[281].message_id) == expected[281]


async def test_message_of_another_chat_is_none(store: Store) -> None:
    chats = [new_chat(), new_chat()]
    for chat in chats:
        await store.one.create_chat(chat)
    turn = (await converse(store.one, chats[0], 2))[0]
    assert await store.one.message(chats[1].chat_id, turn.prompt.message_id) is None
    assert await store.one.run(chats[1].chat_id, turn.run.run_id) is None
    assert await store.one.message(chats[0].chat_id, new_id("msg")) is None


async def test_message_of_any_text_comes_back_as_it_was(store: Store) -> None:
    chat = new_chat()
    await store.one.create_chat(chat)
    turn = Turn(chat, 0)
    text = "zero \x00, quote ', 中文 🏺, line\r\n" + "ж" * 100_000
    turn.prompt = msgspec.structs.replace(turn.prompt, content=text)
    turn.final_answer = msgspec.structs.replace(turn.final_answer, content=text)
    await turn.accept(store.one)
    await turn.finish(store.one)
    await Turn(chat, 2).accept(store.one)
    found = await store.two.messages(chat.chat_id, start=0, limit=2, ascending=True)
    assert found == [turn.prompt, turn.final_answer]

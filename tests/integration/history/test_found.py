"""Search, shares and uploads, on every adapter."""

import pytest

from contracts.errors import HistoryConflict
from contracts.ports.history import FoundCursor, History
from contracts.records import Message, Share, SharedMessage, Upload
from tests.integration.history.conftest import Store
from tests.integration.history.records import Turn, new_chat, new_id


async def said(store: Store, user_id: str, *texts: tuple[str, str]) -> list[Turn]:
    """Hold a chat of these prompts and answers, a second apart."""
    chat = new_chat(user_id)
    await store.one.create_chat(chat)
    turns = []
    for number, (prompt, answer) in enumerate(texts):
        turn = Turn(chat, 2 * number, at_ms=1_000 * (number + 1)).saying(prompt, answer)
        await turn.accept(store.one)
        assert await turn.finish(store.one)
        turns.append(turn)
    return turns


async def found(history: History, user_id: str, *words: str) -> list[str]:
    messages = await history.search(user_id, words, before=None, limit=50)
    return [message.content for message in messages]


async def test_message_is_found_by_its_words_by_its_owner_alone(store: Store) -> None:
    user_id, other = new_id("user"), new_id("user")
    await said(store, user_id, ("Wie brennt man Töpfe?", "In a kiln."), ("Kiln heat?", "1,000 °C"))
    await said(store, other, ("A kiln", "of another"))
    assert await found(store.two, user_id, "kiln") == ["Kiln heat?", "In a kiln."]
    assert await found(store.two, user_id, "topfe", "man") == ["Wie brennt man Töpfe?"]
    assert await found(store.two, user_id, "ki") == ["Kiln heat?", "In a kiln."]
    assert await found(store.two, user_id, "ki", "heat") == []
    assert await found(store.two, user_id, "clay") == []
    assert await found(store.two, user_id) == []
    assert await found(store.two, other, "kiln") == ["A kiln"]


async def test_found_messages_page_newest_first(store: Store) -> None:
    user_id = new_id("user")
    turns = await said(store, user_id, *((f"pot {n}", "pot too") for n in range(5)))
    every: list[Message] = [m for t in turns for m in (t.prompt, t.final_answer)]
    every.sort(key=lambda m: (m.created_at_ms, m.message_id), reverse=True)
    pages: list[Message] = []
    before: FoundCursor | None = None
    while page := await store.two.search(user_id, ["pot"], before=before, limit=3):
        pages += page
        before = FoundCursor(page[-1].created_at_ms, page[-1].message_id)
    assert pages == every


async def test_unfinished_and_deleted_messages_are_not_found(store: Store) -> None:
    user_id = new_id("user")
    chat = new_chat(user_id)
    await store.one.create_chat(chat)
    turn = Turn(chat, 0).saying("asked", "answered")
    await turn.accept(store.one)
    assert await found(store.two, user_id, "asked") == ["asked"]
    assert await found(store.two, user_id, "answered") == []
    await turn.finish(store.two)
    assert await found(store.one, user_id, "answered") == ["answered"]
    await store.one.delete_chat(chat.chat_id)
    assert await found(store.two, user_id, "asked") == []
    assert await found(store.two, user_id, "answered") == []


async def test_words_of_any_writing_are_found(store: Store) -> None:
    user_id = new_id("user")
    text = 'snake_case "quoted" 中文字 ΣΊΣΥΦΟΣ null\x00byte OR NOT NEAR(x)'
    await said(store, user_id, (text, "ok"))
    for words in (["case"], ["中文"], ["文字"], ["σισυφοσ"], ["or", "not"], ["near"], ["byte"]):
        assert await found(store.two, user_id, *words) == [text], words


def new_share(chat_id: str, user_id: str, text: str = "Clay.") -> Share:
    message = SharedMessage(role="assistant", content=text, created_at_ms=5, model="m")
    return Share(
        share_id=new_id("share"),
        chat_id=chat_id,
        user_id=user_id,
        created_at_ms=9,
        title="Töpfe",
        messages=(message,),
    )


async def test_share_is_found_until_it_is_revoked_or_replaced(store: Store) -> None:
    chat = new_chat()
    await store.one.create_chat(chat)
    first = new_share(chat.chat_id, chat.user_id, "ж" * 400_000)
    await store.one.put_share(first)
    assert await store.two.share(first.share_id) == first
    named = await store.two.share_of(chat.chat_id)
    assert named is not None and named.share_id == first.share_id
    second = new_share(chat.chat_id, chat.user_id)
    await store.two.put_share(second)
    assert await store.one.share(first.share_id) is None
    assert await store.one.share(second.share_id) == second
    assert await store.one.delete_share(chat.chat_id)
    assert not await store.one.delete_share(chat.chat_id)
    assert await store.two.share(second.share_id) is None
    assert await store.two.share_of(chat.chat_id) is None


async def test_share_ends_with_its_chat(store: Store) -> None:
    chat = new_chat()
    share = new_share(chat.chat_id, chat.user_id)
    with pytest.raises(HistoryConflict):
        await store.one.put_share(share)
    await store.one.create_chat(chat)
    await store.one.put_share(share)
    await store.two.delete_chat(chat.chat_id)
    assert await store.one.share(share.share_id) is None


def new_upload(user_id: str) -> Upload:
    return Upload(
        file_id=new_id("file"),
        user_id=user_id,
        created_at_ms=5,
        name="pots.pdf",
        media_type="application/pdf",
        kind="pdf",
        size_bytes=1 << 33,
        text_chars=7,
    )


async def test_upload_is_listed_until_it_is_deleted(store: Store) -> None:
    user_id = new_id("user")
    uploads = [new_upload(user_id), new_upload(user_id)]
    for upload in uploads:
        await store.one.create_upload(upload)
        assert await store.two.upload(upload.file_id) == upload
    assert {u.file_id for u in await store.two.list_uploads(user_id)} == {
        u.file_id for u in uploads
    }
    assert await store.two.delete_upload(uploads[0].file_id)
    assert not await store.one.delete_upload(uploads[0].file_id)
    assert await store.one.upload(uploads[0].file_id) is None
    assert await store.one.list_uploads(user_id) == [uploads[1]]


async def test_pinned_chats_are_listed_apart(store: Store) -> None:
    user_id = new_id("user")
    chats = [new_chat(user_id, 1_000 + n) for n in range(6)]
    for chat in chats:
        await store.one.create_chat(chat)
    for chat in (chats[1], chats[4], chats[5]):
        await store.one.update_chat(chat.chat_id, pinned=True)
    await store.one.update_chat(chats[5].chat_id, pinned=False)

    async def listed(*, pinned: bool | None) -> list[str]:
        page = await store.two.list_chats(user_id, before=None, limit=9, pinned=pinned)
        return [chat.chat_id for chat in page]

    assert await listed(pinned=True) == [chats[4].chat_id, chats[1].chat_id]
    assert await listed(pinned=False) == [chats[n].chat_id for n in (5, 3, 2, 0)]
    assert len(await listed(pinned=None)) == 6

"""Search in one's own messages, and shares."""

import pytest

from contracts.events import MessageDelta
from edge.search import snippet_of
from tests.integration.edge.conftest import EdgeStack


async def said(stack: EdgeStack, me: dict[str, str], title: str, *turns: tuple[str, str]) -> str:
    chat_id = await stack.chat(me, title=title)
    for prompt, answer in turns:
        await stack.prompt(me, chat_id, content=prompt)
        run = await stack.peers.begin()
        await run.write(MessageDelta(delta=answer))
        await stack.peers.finish(run)
    return chat_id


async def test_search_finds_ones_own_messages_page_by_page(stack: EdgeStack) -> None:
    me, other = await stack.guest(), await stack.guest()
    chat_id = await said(stack, me, "Pots", *[(f"Kiln number {n}?", "Hot.") for n in range(3)])
    await said(stack, other, "Theirs", ("My kiln", "is secret"))
    found = []
    cursor = ""
    while True:
        path = f"/search?q=KILN+num&limit=2{cursor}"
        page = (await stack.client.get(path, headers=me)).json()
        found += page["data"]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert [hit["snippet"] for hit in found] == [f"Kiln number {n}?" for n in (2, 1, 0)]
    first = found[0]
    assert (first["chatId"], first["title"], first["role"]) == (chat_id, "Pots", "user")
    assert first["ranges"] == [[0, 4], [5, 11]]
    assert (await stack.client.get("/search?q=secret", headers=me)).json()["data"] == []
    stolen = await stack.client.get(f"/search?q=KILN+num{cursor}", headers=other)
    assert stolen.status_code == 400


@pytest.mark.parametrize("query", ["", "%20", "x" * 201])
async def test_search_for_nothing_is_refused(stack: EdgeStack, query: str) -> None:
    me = await stack.guest()
    answer = await stack.client.get(f"/search?q={query}", headers=me)
    assert answer.status_code == 422
    assert (await stack.client.get("/search?q=%21%3F", headers=me)).json()["data"] == []


@pytest.mark.parametrize(
    ("content", "words", "snippet", "ranges"),
    [
        ("Über Töpfe", ("topf",), "Über Töpfe", [(5, 10)]),
        ("a\nb", ("b",), "a b", [(2, 3)]),
        ("中文字", ("中文",), "中文字", [(0, 2)]),
        ("x" * 100 + " pot " + "y" * 300, ("pot",), None, [(1, 4)]),
        ("nothing", ("pot",), "nothing", []),
    ],
)
def test_snippet_shows_where_the_words_stand(
    content: str, words: tuple[str, ...], snippet: str | None, ranges: list[tuple[int, int]]
) -> None:
    shown, found = snippet_of(content, words)
    assert found == ranges
    assert snippet in (None, shown)
    if snippet is None:
        assert shown.startswith("…pot ") and shown.endswith("…") and len(shown) <= 182


async def test_share_is_a_copy_without_its_owner_until_it_is_revoked(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await said(stack, me, "Pots", ("Kiln?", "Hot."))
    path = f"/chats/{chat_id}/share"
    assert (await stack.client.get(path, headers=me)).status_code == 404
    made = await stack.client.post(path, headers=me)
    assert made.status_code == 201
    share = made.json()
    assert (await stack.client.get(path, headers=me)).json() == share
    await said(stack, me, "other", ("later", "words"))
    await stack.prompt(me, chat_id, content="after it was shared")
    await stack.client.patch(f"/chats/{chat_id}", json={"title": "New"}, headers=me)
    read = await stack.client.get(share["url"])
    assert read.status_code == 200
    assert read.json()["title"] == "Pots"
    assert [m["content"] for m in read.json()["data"]] == ["Kiln?", "Hot."]
    user_id = (await stack.client.get("/me", headers=me)).json()["user"]["id"]
    for trace in (user_id, chat_id, "msg_", "run_", "parentId"):
        assert trace not in read.text
    page = await stack.client.get(share["url"], headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    again = (await stack.client.post(path, headers=me)).json()
    assert again["shareId"] != share["shareId"]
    assert (await stack.client.get(share["url"])).status_code == 404
    # The answer that is being written is not part of it.
    said_now = (await stack.client.get(again["url"])).json()["data"]
    assert [m["content"] for m in said_now] == ["Kiln?", "Hot.", "after it was shared"]
    assert (await stack.client.delete(path, headers=me)).status_code == 204
    assert (await stack.client.get(again["url"])).status_code == 404
    assert (await stack.client.delete(path, headers=me)).status_code == 204


async def test_empty_chat_is_not_shared(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    assert (await stack.client.post(f"/chats/{chat_id}/share", headers=me)).status_code == 409


async def test_pinned_chats_are_listed_apart(stack: EdgeStack) -> None:
    me = await stack.guest()
    chats = [await stack.chat(me) for _ in range(3)]
    await stack.client.patch(f"/chats/{chats[1]}", json={"pinned": True}, headers=me)

    async def listed(pinned: str) -> list[str]:
        page = await stack.client.get(f"/chats?pinned={pinned}", headers=me)
        return [chat["chatId"] for chat in page.json()["data"]]

    assert await listed("true") == [chats[1]]
    assert await listed("false") == [chats[2], chats[0]]
    assert (await stack.client.get("/chats?pinned=1", headers=me)).status_code == 422

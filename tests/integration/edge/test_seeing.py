"""Pictures in prompts: which reach the session, and which are refused in words."""

from hashlib import sha256

import pytest
from msgspec.structs import replace

from contracts.runs import Sight
from tests.integration.edge.conftest import EdgeStack
from tests.support.pictures import chequered, plain, png
from tests.support.waiting import until

SIGHT = Sight(pictures=2, tokens=10)


async def seeing(stack: EdgeStack, me: dict[str, str]) -> None:
    """Let the pool's models see, and return when the edge knows."""
    assert stack.peers.status is not None
    stack.peers.status = replace(stack.peers.status, sight=SIGHT)

    async def told() -> bool:
        models = (await stack.client.get("/models", headers=me)).json()["data"]
        return bool(models[0]["abilities"].get("vision"))

    stack.peers.say_status()
    while not await told():
        stack.peers.say_status()


async def uploaded(stack: EdgeStack, me: dict[str, str], data: bytes, name: str = "a.png") -> str:
    answer = await stack.client.post("/uploads", files={"file": (name, data)}, headers=me)
    assert answer.status_code == 201, answer.text
    file_id: str = answer.json()["fileId"]
    return file_id


async def test_models_tell_who_sees(stack: EdgeStack) -> None:
    me = await stack.guest()
    models = (await stack.client.get("/models", headers=me)).json()["data"]
    assert "vision" not in models[0]["abilities"]
    await seeing(stack, me)


async def test_picture_reaches_the_session_with_its_digest(stack: EdgeStack) -> None:
    me = await stack.guest()
    await seeing(stack, me)
    chat_id = await stack.chat(me)
    data = plain()
    file_id = await uploaded(stack, me, data)
    await stack.prompt(me, chat_id, attachments=[file_id])
    submitted = stack.peers.submitted[-1]
    (file,) = submitted.attachments
    assert submitted.sight == SIGHT
    assert (file.file_id, file.kind) == (file_id, "image")
    assert file.digest == sha256(data).hexdigest()
    page = (await stack.client.get(f"/chats/{chat_id}/messages", headers=me)).json()
    assert "digest" not in page["data"][1]["attachments"][0]
    share = await stack.client.post(f"/chats/{chat_id}/share", headers=me)
    assert file.digest not in share.text


@pytest.mark.parametrize(
    ("count", "data", "words"),
    [
        (3, plain(), "has 3 pictures; tiny is shown at most 2"),
        (1, b"\x89PNG\r\n\x1a\n", "whose size can't be read"),
        (1, png(8, 8, lambda _x, _y: (0, 0, 0)), "65535 by 65535 pixels"),
    ],
)
async def test_pictures_that_can_not_be_shown_are_refused_in_words(
    stack: EdgeStack, count: int, data: bytes, words: str
) -> None:
    me = await stack.guest()
    await seeing(stack, me)
    if "65535" in words:
        data = data[:16] + b"\x00\x00\xff\xff" * 2 + data[24:]
    files = [await uploaded(stack, me, data) for _ in range(count)]
    chat_id = await stack.chat(me)
    answer = await stack.client.post(
        f"/chats/{chat_id}/messages",
        json={"content": "hi", "attachments": files},
        headers=me,
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_value")
    assert words in answer.json()["detail"]
    assert stack.peers.submitted == []


async def test_regeneration_tells_the_session_what_its_model_sees(stack: EdgeStack) -> None:
    me = await stack.guest()
    await seeing(stack, me)
    chat_id = await stack.chat(me)
    file_id = await uploaded(stack, me, chequered())
    accepted = await stack.prompt(me, chat_id, attachments=[file_id])
    run = await stack.peers.begin()
    await stack.peers.finish(run)
    path = f"/chats/{chat_id}/messages/{accepted['messageId']}/regenerate"
    answer = await stack.client.post(path, json={}, headers=me)
    assert answer.status_code == 202, answer.text
    await until(lambda: len(stack.peers.submitted) == 2)
    assert stack.peers.submitted[-1].sight == SIGHT

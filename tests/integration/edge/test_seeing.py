"""Pictures in prompts: which reach the session, and which are refused in words."""

import asyncio
import random
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from msgspec.structs import replace

from contracts.events import MessageDelta
from contracts.records import Upload
from contracts.runs import RunOutcome, Sight
from edge.openai_pictures import LENT_NAME
from tests.integration.edge.conftest import EdgeStack, WordCodec
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


def part(data: bytes, **more: str) -> dict[str, Any]:
    url = f"data:image/png;base64,{b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url, **more}}


def asking(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": list(parts)}], **more}


WORDS = {"type": "text", "text": "what is it"}


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's template takes pictures."""
    monkeypatch.setattr(WordCodec, "picture_mark", 777)


@pytest.mark.usefixtures("marked")
async def test_picture_of_an_api_request_is_lent_while_its_runs_last(stack: EdgeStack) -> None:
    me = await stack.guest()
    await seeing(stack, me)
    data = [plain(), chequered()]
    body = asking(part(data[0]), WORDS, part(data[1], detail="auto"), n=2, max_tokens=5)
    request = asyncio.create_task(stack.client.post("/v1/chat/completions", json=body, headers=me))
    await until(lambda: len(stack.peers.specs) == 2)
    for spec in stack.peers.specs:
        assert spec.prompt_tokens == (1, 777, 777, 4, 2, 2)
        assert [picture.at for picture in spec.pictures] == [1, 2]
        assert spec.prompt_length == 6 + 2 * SIGHT.tokens
        for picture, each in zip(spec.pictures, data, strict=True):
            assert picture.digest == sha256(each).hexdigest()
            assert stack.files.stored[picture.name] == each
        run = stack.peers.open(spec.run_id)
        await run.write(MessageDelta(delta="a"), end=RunOutcome(finish_reason="stop"))
    answer = await request
    assert answer.status_code == 200, answer.text
    await until(lambda: not stack.files.stored)
    (user,) = {spec.user_id for spec in stack.peers.specs}
    assert not await stack.history.list_uploads(user)


@pytest.mark.usefixtures("marked")
async def test_client_that_leaves_leaves_no_picture(stack: EdgeStack) -> None:
    me = await stack.guest()
    await seeing(stack, me)
    body = asking(WORDS, part(plain()), stream=True)
    async with stack.client.stream("POST", "/v1/chat/completions", json=body, headers=me):
        await until(lambda: bool(stack.files.stored))
    await until(lambda: not stack.files.stored)


@pytest.mark.usefixtures("marked")
async def test_what_a_dead_edge_left_is_deleted_with_the_next_picture(stack: EdgeStack) -> None:
    me = await stack.guest()
    await seeing(stack, me)
    user_id = (await stack.client.get("/me", headers=me)).json()["user"]["id"]
    for file_id, name in (("file_old", LENT_NAME), ("file_own", "v1")):
        upload = Upload(
            file_id=file_id,
            user_id=user_id,
            created_at_ms=1,
            name=name,
            media_type="image/png",
            kind="image",
            size_bytes=1,
        )
        await stack.history.create_upload(upload)
        await stack.files.put(f"{file_id}.data", b"x")
    body = asking(WORDS, part(plain()), stream=True)
    async with stack.client.stream("POST", "/v1/chat/completions", json=body, headers=me):
        await until(lambda: len(stack.files.stored) == 2)
    await until(lambda: list(stack.files.stored) == ["file_own.data"])


@pytest.mark.usefixtures("marked")
@pytest.mark.parametrize(
    ("parts", "param", "words"),
    [
        (
            [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}],
            "messages[0].content[0].image_url",
            "is not fetched",
        ),
        ([part(plain(), detail="low")], "messages[0].content[0].image_url.detail", "except auto"),
        ([WORDS, part(b"words")], "messages[0].content[1].image_url", "is no picture"),
        (
            [{"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}}],
            "messages[0].content[0].image_url",
            "is not base64",
        ),
        (
            [{"type": "image_url", "image_url": {"url": "data:text/plain,x"}}],
            "messages[0].content[0].image_url",
            "in base64",
        ),
        (
            [{"type": "image_url", "image_url": "data:,"}],
            "messages[0].content[0].image_url",
            "an object",
        ),
        ([part(plain())] * 3, "messages", "at most 2"),
        ([{"type": "input_audio"}], "messages[0].content", "input_audio"),
    ],
)
async def test_pictures_of_the_api_that_can_not_be_shown_are_refused_by_name(
    stack: EdgeStack, parts: list[Any], param: str, words: str
) -> None:
    me = await stack.guest()
    await seeing(stack, me)
    answer = await stack.client.post("/v1/chat/completions", json=asking(*parts), headers=me)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == param
    assert words in error["message"]
    assert not stack.files.stored and not stack.peers.specs


@pytest.mark.usefixtures("marked")
async def test_picture_of_another_role_or_route_is_refused_by_name(stack: EdgeStack) -> None:
    me = await stack.guest()
    await seeing(stack, me)
    system = {"role": "system", "content": [part(plain())]}
    asked = {"role": "user", "content": "hi"}
    body = {"model": "tiny", "messages": [system, asked]}
    answer = await stack.client.post("/v1/chat/completions", json=body, headers=me)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "messages[0].content"
    item = {"type": "input_image", "image_url": part(plain())["image_url"]["url"]}
    body = {"model": "tiny", "input": [{"role": "user", "content": [item]}]}
    answer = await stack.client.post("/v1/responses", json=body, headers=me)
    assert answer.status_code == 400
    assert "send pictures to /v1/chat/completions" in answer.json()["error"]["message"]


@pytest.mark.usefixtures("marked")
async def test_request_may_be_large_only_by_its_pictures(stack: EdgeStack) -> None:
    me = await stack.guest()
    await seeing(stack, me)
    noise = random.Random(1).randbytes(3 * 600 * 600)
    large = png(600, 600, lambda x, y: tuple(noise[3 * (600 * y + x) :][:3]))  # type: ignore[arg-type,return-value]
    body = asking(part(large), {"type": "text", "text": "x" * 1_048_576})
    answer = await stack.client.post("/v1/chat/completions", json=body, headers=me)
    assert answer.status_code == 413, answer.text
    body = asking(part(large), WORDS, stream=True)
    async with stack.client.stream("POST", "/v1/chat/completions", json=body, headers=me) as began:
        assert began.status_code == 200

"""Health, metrics, documents, the page, the socket."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from actors.runtime.token_log import BusTokenLog
from edge.app import create_app
from edge.config import EdgeConfig
from edge.listening import CannotListen
from edge.server import serve
from ops.ports import free_port
from tests.integration.edge.conftest import EdgeStack, WordCodec, serving


@pytest.fixture
def edge_settings() -> dict[str, Any]:
    return {"status_silence_s": 0.5}


async def _readiness(stack: EdgeStack) -> tuple[int, str]:
    answer = await stack.client.get("/readyz")
    return answer.status_code, answer.json().get("detail", "")


async def test_readiness_names_what_is_missing(stack: EdgeStack) -> None:
    assert (await _readiness(stack))[0] == 200
    stack.server.cut(stack.bus)
    status, detail = await _readiness(stack)
    assert status == 503
    assert "message system" in detail
    assert (await stack.client.get("/healthz")).status_code == 200
    stack.server.mend(stack.bus)
    assert stack.peers.status is not None
    stack.peers.status = replace(stack.peers.status, healthy=False)
    stack.peers.say_status()
    assert (await _readiness(stack))[1] == "Not ready: pool default has no ready worker."


async def test_models_say_how_their_pool_stands(stack: EdgeStack) -> None:
    me = await stack.guest()
    listed = (await stack.client.get("/models", headers=me)).json()["data"]
    assert listed[0]["id"] == "tiny"
    assert listed[0]["contextLength"] == 64
    assert listed[0]["engine"] == "sim"
    assert listed[0]["default"]
    assert listed[0]["healthy"]
    assert not listed[0]["demonstration"]
    assert (await stack.client.get("/models")).status_code == 401


async def test_metrics_count_requests_by_route(stack: EdgeStack) -> None:
    await stack.guest()
    text = (await stack.client.get("/metrics")).text
    assert 'parley_edge_requests_total{method="POST",route="/auth/guest",status="201"}' in text
    assert "parley_edge_open_streams" in text


async def test_openapi_describes_every_route_and_body(stack: EdgeStack) -> None:
    document = (await stack.client.get("/openapi.json")).json()
    paths = document["paths"]
    assert "post" in paths["/chats/{chatId}/messages"]
    assert "get" in paths["/chats/{chatId}/runs/{runId}/events"]
    assert "post" in paths["/v1/chat/completions"]
    body = paths["/chats/{chatId}/messages"]["post"]["requestBody"]["content"]["application/json"]
    name = body["schema"]["$ref"].rpartition("/")[2]
    assert document["components"]["schemas"][name]["required"] == ["content"]
    docs = await stack.client.get("/docs")
    assert 'id="at_capacity"' in docs.text


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_document_is_sent_again_only_to_who_has_another(stack: EdgeStack, path: str) -> None:
    first = await stack.client.get(path)
    etag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        again = await stack.client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
    other = await stack.client.get(path, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)


async def test_page_that_is_not_built_says_how(stack: EdgeStack) -> None:
    answer = await stack.client.get("/")
    assert answer.status_code == 200
    assert "make run" in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await stack.client.get("/assets/../../config.py")).status_code == 404


async def test_page_files_are_served_with_types_and_tags(stack: EdgeStack, tmp_path: Path) -> None:
    page = tmp_path / "page"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html>the page")
    (page / "favicon.svg").write_text("<svg/>")
    (page / "assets" / "app-1a2b.js").write_text("1")
    stack.config = _with(stack.config, static_dir=page)
    async with serving(stack, await stack.server.connect("other")) as (_, address):
        index = await stack.client.get(f"{address}/")
        assert "the page" in index.text
        assert index.headers["cache-control"] == "no-cache"
        tag = {"If-None-Match": index.headers["etag"]}
        assert (await stack.client.get(f"{address}/", headers=tag)).status_code == 304
        script = await stack.client.get(f"{address}/assets/app-1a2b.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert "immutable" in script.headers["cache-control"]
        icon = await stack.client.get(f"{address}/favicon.svg")
        assert icon.headers["content-type"] == "image/svg+xml"


def _with(config: EdgeConfig, **changes: Any) -> EdgeConfig:
    names = EdgeConfig.__dataclass_fields__
    return EdgeConfig(**{**{name: getattr(config, name) for name in names}, **changes})


async def test_port_that_is_taken_is_named_in_one_sentence(stack: EdgeStack) -> None:
    taken = stack.edge.bind()
    config = _with(stack.config, port=taken)
    app = create_app(
        config,
        bus=stack.bus,
        log=stack.peers.log,
        history=stack.history,
        files=stack.files,
        codecs={"tiny": WordCodec()},
        clock=stack.peers.clock,
    )
    with pytest.raises(CannotListen, match=f"Port {taken} on 127.0.0.1 is taken"):
        await serve(app, config)


async def test_serving_ends_gracefully_when_cancelled(stack: EdgeStack) -> None:
    config = _with(stack.config, port=free_port())
    bus = await stack.server.connect("other")
    app = create_app(
        config,
        bus=bus,
        log=BusTokenLog(bus, stack.peers.clock),
        history=stack.history,
        files=stack.files,
        codecs={"tiny": WordCodec()},
        clock=stack.peers.clock,
    )
    serving = asyncio.create_task(serve(app, config))
    address = f"http://127.0.0.1:{config.port}"

    async def answers() -> bool:
        try:
            return (await stack.client.get(f"{address}/healthz")).status_code == 200
        except httpx.ConnectError:
            return False

    while not await answers():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert not await answers()


async def test_model_without_a_codec_is_a_configuration_error(stack: EdgeStack) -> None:
    with pytest.raises(ValueError, match="no tokenizer for tiny"):
        create_app(
            stack.config,
            bus=stack.bus,
            log=stack.peers.log,
            history=stack.history,
            files=stack.files,
            codecs={},
            clock=stack.peers.clock,
        )


async def test_pool_that_fell_silent_refuses_prompts_before_storing(stack: EdgeStack) -> None:
    me = await stack.guest()
    chat_id = await stack.chat(me)
    stack.peers.status = None

    while (await stack.client.get("/readyz")).status_code == 200:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    answer = await stack.client.post(
        f"/chats/{chat_id}/messages", json={"content": "hi"}, headers=me
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert stack.peers.submitted == []

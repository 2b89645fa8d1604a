"""Whatever comes in, the answer is a refusal in the documented form, never a crash."""

import json
import random
from typing import Any

import pytest

from tests.integration.edge.conftest import EdgeStack

_CHAT = "chat_" + "0" * 26
_RUN = "run_" + "0" * 26
_POSTS = [
    "/auth/signup",
    "/auth/login",
    "/api-keys",
    "/chats",
    f"/chats/{_CHAT}/messages",
    f"/chats/{_CHAT}/runs/{_RUN}/cancel",
    "/v1/completions",
    "/v1/chat/completions",
]
_NAMES = ["email", "password", "name", "title", "model", "content", "prompt", "messages", "stop"]
_NAMES += ["max_tokens", "maxTokens", "temperature", "seed", "stream", "stream_options", "n", "x"]
_LEAVES: list[Any] = [None, True, -1, 0, 1, 2**63, 1e308, "", "tiny", "\u0000", "é🙂", [], {}]


def _value(random_: random.Random, depth: int = 0) -> Any:
    kind = random_.random()
    if depth > 3 or kind < 0.6:
        return random_.choice(_LEAVES)
    if kind < 0.8:
        return [_value(random_, depth + 1) for _ in range(random_.randrange(4))]
    return {random_.choice(_NAMES): _value(random_, depth + 1) for _ in range(3)}


@pytest.mark.parametrize("seed", range(3))
async def test_random_bodies_are_refused_in_the_documented_form(
    stack: EdgeStack, seed: int
) -> None:
    random_ = random.Random(seed)
    me = {**await stack.guest(), "Content-Type": "application/json"}
    for _ in range(120):
        path = random_.choice(_POSTS)
        body = {random_.choice(_NAMES): _value(random_) for _ in range(random_.randrange(1, 6))}
        data = json.dumps(body).encode()
        if random_.random() < 0.3:
            cut = random_.randrange(len(data))
            data = data[:cut] + bytes([random_.randrange(256)]) + data[cut + 1 :]
        answer = await stack.client.post(path, content=data, headers=me)
        assert answer.status_code < 500, (path, data, answer.text)
        if answer.status_code >= 400:
            document = answer.json()
            code = document["error"]["code"] if path.startswith("/v1") else document["code"]
            assert code, (path, data)

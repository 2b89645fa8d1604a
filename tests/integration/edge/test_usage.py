"""Budgets and places at the edge: asked before anything is stored, told in headers and /usage."""

from typing import Any

import pytest
from msgspec.structs import replace

from contracts.errors import Problem
from contracts.scheduling import Allowance, BudgetView
from edge.config import ModelPool
from tests.integration.edge.conftest import EdgeStack
from tests.support.waiting import until

BUDGET = BudgetView(
    limit=60_000_000,
    remaining=41_000_000,
    refill_per_second=100_000,
    full_in_ms=190_000,
    token_cost=200,
)
LEFT = Allowance(tier="free", concurrency=2, running=1, waiting=3, budget=BUDGET)
SPENT = replace(
    LEFT,
    budget=replace(BUDGET, remaining=-500),
    problem=Problem(
        code="over_budget",
        detail="The budget is spent; try again in 7 s.",
        retry_after_ms=6_100,
    ),
)
FULL = replace(
    LEFT,
    budget=None,
    problem=Problem(
        code="at_capacity",
        detail="All places are taken; try again in 3 s.",
        retry_after_ms=2_500,
    ),
)


@pytest.fixture
def edge_settings() -> dict[str, Any]:
    return {
        "models": (
            ModelPool(model="tiny", pool="default", fallback="small", description="Tiny"),
            ModelPool(model="smaller", pool="small", abilities=("tools", "vision")),
        ),
        "ask_timeout_s": 0.5,
    }


async def status(stack: EdgeStack, **changes: Any) -> None:
    """Let the default pool say how it stands, and return when the edge has heard it."""
    peers = stack.peers
    assert peers.status is not None
    queued = peers.status.queued + 1
    peers.status = replace(peers.status, queued=queued, **changes)
    headers = await stack.guest()

    async def heard() -> bool:
        answer = await stack.client.get("/models", headers=headers)
        return bool(answer.json()["data"][0]["queued"] == queued)

    while not await heard():
        peers.say_status()


async def test_usage_tells_the_schedulers_numbers_for_each_pool(stack: EdgeStack) -> None:
    headers = await stack.guest()
    stack.peers.allowance = LEFT
    answer = await stack.client.get("/usage", headers=headers)
    assert answer.status_code == 200
    body = answer.json()
    assert body["tier"] == "free"
    assert body["concurrency"] == {"limit": 2, "running": 1, "waiting": 3}
    full_at = body["budget"].pop("fullAt")
    assert full_at.endswith("Z")
    assert body["budget"] == {
        "limit": 60_000_000,
        "remaining": 41_000_000,
        "unit": "micro-gpu-seconds",
        "refillPerSecond": 100_000,
    }
    assert [(pool["pool"], pool["model"]) for pool in body["pools"]] == [("default", "tiny")]


async def test_usage_of_a_tier_without_limits_says_so(stack: EdgeStack) -> None:
    headers = await stack.guest()
    stack.peers.allowance = Allowance(tier="free")
    body = (await stack.client.get("/usage", headers=headers)).json()
    assert body["budget"] is None
    assert body["concurrency"] == {"limit": None, "running": 0, "waiting": 0}


async def test_usage_falls_back_to_the_last_answer_and_then_to_503(stack: EdgeStack) -> None:
    headers = await stack.guest()
    silent = await stack.client.get("/usage", headers=headers)
    assert silent.status_code == 503
    assert int(silent.headers["retry-after"]) >= 1
    stack.peers.allowance = LEFT
    first = await stack.client.get("/usage", headers=headers)
    stack.peers.allowance = None
    again = await stack.client.get("/usage", headers=headers)
    assert again.status_code == 200
    assert again.json()["budget"]["remaining"] == first.json()["budget"]["remaining"]


async def test_a_calm_pool_is_not_asked(stack: EdgeStack) -> None:
    headers = await stack.guest()
    await stack.prompt(headers, await stack.chat(headers))
    assert stack.peers.asked == []


async def test_a_prompt_that_is_let_in_carries_what_is_left(stack: EdgeStack) -> None:
    await status(stack, ask=("free",))
    stack.peers.allowance = LEFT
    headers = await stack.guest()
    chat_id = await stack.chat(headers)
    answer = await stack.client.post(
        f"/chats/{chat_id}/messages",
        json={"content": "x" * 40, "maxTokens": 9, "deferrable": True},
        headers=headers,
    )
    assert answer.status_code == 202
    assert answer.headers["ratelimit-policy"] == (
        '"budget";q=60000000;qu="micro-gpu-seconds";w=600, '
        '"concurrency";q=2;qu="concurrent-requests"'
    )
    assert answer.headers["ratelimit"] == '"budget";r=41000000;t=190, "concurrency";r=1'
    (asked,) = stack.peers.asked
    assert (asked.wanted, asked.prompt_tokens, asked.output_tokens) == (True, 10, 9)
    assert asked.deferrable
    await until(lambda: bool(stack.peers.submitted))
    assert stack.peers.submitted[0].deferrable


async def test_a_spent_budget_is_429_with_the_wait_and_nothing_is_stored(stack: EdgeStack) -> None:
    await status(stack, ask=("free",))
    stack.peers.allowance = SPENT
    headers = await stack.guest()
    chat_id = await stack.chat(headers)
    answer = await stack.client.post(
        f"/chats/{chat_id}/messages", json={"content": "hello"}, headers=headers
    )
    assert answer.status_code == 429
    assert answer.json()["code"] == "over_budget"
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["ratelimit"].startswith('"budget";r=0;t=7')
    assert stack.peers.submitted == []
    listed = await stack.client.get(f"/chats/{chat_id}/messages", headers=headers)
    assert listed.json()["data"] == []


async def test_no_place_is_503_with_the_wait(stack: EdgeStack) -> None:
    await status(stack, ask=("free",), admit={"free": False})
    stack.peers.allowance = FULL
    headers = await stack.guest()
    chat_id = await stack.chat(headers)
    answer = await stack.client.post(
        f"/chats/{chat_id}/messages", json={"content": "hello"}, headers=headers
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "at_capacity")
    assert answer.headers["retry-after"] == "3"


async def test_who_was_promised_a_place_gets_it_though_the_broadcast_says_full(
    stack: EdgeStack,
) -> None:
    await status(stack, ask=("free",), admit={"free": False})
    stack.peers.allowance = LEFT
    headers = await stack.guest()
    await stack.prompt(headers, await stack.chat(headers))


async def test_a_scheduler_that_does_not_answer_leaves_the_word_to_its_broadcast(
    stack: EdgeStack,
) -> None:
    headers = await stack.guest()
    chat_id = await stack.chat(headers)
    await status(stack, ask=("free",), admit={"free": False}, retry_after_ms=4_000)
    refused = await stack.client.post(
        f"/chats/{chat_id}/messages", json={"content": "hello"}, headers=headers
    )
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "4")
    await status(stack, ask=("free",), admit={})
    await stack.prompt(headers, chat_id)


async def test_an_api_run_is_refused_and_told_what_is_left_as_that_api_does(
    stack: EdgeStack,
) -> None:
    await status(stack, ask=("free",))
    headers = await stack.guest()
    stack.peers.allowance = SPENT
    body = {"model": "tiny", "prompt": "one two", "max_tokens": 3}
    answer = await stack.client.post("/v1/completions", json=body, headers=headers)
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert answer.headers["x-ratelimit-limit-tokens"] == "300000"
    assert answer.headers["x-ratelimit-remaining-tokens"] == "0"
    assert answer.headers["x-ratelimit-reset-tokens"] == "7s"
    assert answer.headers["x-ratelimit-limit-requests"] == "2"
    assert answer.headers["x-ratelimit-remaining-requests"] == "1"
    assert (stack.peers.asked[-1].prompt_tokens, stack.peers.asked[-1].output_tokens) == (2, 3)
    assert stack.peers.specs == []


async def test_prompts_go_to_the_smaller_model_while_theirs_is_pressed(stack: EdgeStack) -> None:
    await status(stack, level="downgraded", downgrade=("free",), waits_ms={"free": 9_000})
    headers = await stack.guest()
    await stack.prompt(headers, await stack.chat(headers))
    await until(lambda: bool(stack.peers.submitted))
    command = stack.peers.submitted[0]
    assert (command.model, command.degraded) == ("smaller", ("downgraded",))
    models = (await stack.client.get("/models", headers=headers)).json()["data"]
    assert [(m["level"], m["description"], m["abilities"]) for m in models] == [
        ("downgraded", "Tiny", {}),
        (None, None, {"tools": True}),
    ]
    assert [m["health"] for m in models] == ["ready", "ready"]

"""The page while parts of the stack die and come back."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.e2e.person import PATIENCE_MS, Person
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]


async def test_worker_killed_while_writing_the_answer_goes_on(guest: Person, stack: Stack) -> None:
    await guest.asks("Survive this")
    before = await guest.sees_writing(beyond=20)
    await asyncio.to_thread(stack.kill, "gpu", busiest=True)
    final = await guest.sees_the_end()
    assert final.startswith(before[:-1])
    await expect(guest.answer).to_contain_text("Moved to another worker")
    assert (await guest.stored())[-1]["status"] == "complete"
    await guest.page.reload()
    assert await guest.sees_the_end() == final


async def test_edge_killed_while_answering_the_page_joins_again(
    guest: Person, stack: Stack
) -> None:
    await guest.asks("Through another edge")
    before = await guest.sees_writing(beyond=20)
    await asyncio.to_thread(stack.kill, "edge")
    await expect(guest.status).to_contain_text("Reconnecting", timeout=PATIENCE_MS)
    final = await guest.sees_the_end()
    assert final.startswith(before[:-1])
    await guest.page.reload()
    assert await guest.sees_the_end() == final


async def test_stack_gone_the_page_says_so_and_goes_on_when_it_is_back(
    guest: Person, stack: Stack
) -> None:
    await guest.asks("Before")
    await guest.sees_the_end()
    await asyncio.to_thread(stack.stop)
    await guest.asks("During")
    await expect(guest.status).to_contain_text("Reconnecting", timeout=PATIENCE_MS)
    await asyncio.to_thread(stack.start)
    await guest.sees_writing()
    await guest.sees_the_end()
    asked = [m["content"] for m in await guest.stored() if m["role"] == "user"]
    assert asked == ["Before", "During"]


async def test_new_chat_while_the_stack_is_gone_is_refused_in_words_and_can_be_sent_again(
    guest: Person, stack: Stack
) -> None:
    await asyncio.to_thread(stack.stop)
    await guest.asks("Is anyone there?")
    await expect(guest.page.get_by_role("alert")).to_contain_text("can't be reached")
    await expect(guest.field).to_have_value("Is anyone there?")
    await asyncio.to_thread(stack.start)
    await guest.page.get_by_role("button", name="Send again").click()
    await guest.sees_writing()
    await guest.sees_the_end()

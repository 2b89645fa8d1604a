"""The page while parts of the stack die and come back."""

import asyncio
import os
import signal

import pytest
from playwright.async_api import expect

from tests.e2e.person import PATIENCE_MS, Person
from tests.e2e.stack import Stack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.chaos,
    pytest.mark.asyncio(loop_scope="session"),
]


async def test_worker_killed_while_writing_the_answer_goes_on_whole(
    guest: Person, stack: Stack
) -> None:
    await guest.asks("Survive this")
    before = await guest.sees_writing(beyond=20)
    await guest.reads_only_streams()
    await stack.kill_writer()
    await expect(guest.status).to_contain_text("Moved to another worker", timeout=PATIENCE_MS)
    final = await guest.sees_the_end()
    assert final.startswith(before[:-1])
    await expect(guest.answer).to_contain_text("Moved to another worker once")
    answer = (await guest.stored())[-1]
    assert (answer["status"], answer["finishReason"]) == ("complete", "length")
    assert await guest.copies_the_answer() == answer["content"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_edge_restarted_while_answering_the_page_joins_again(
    guest: Person, stack: Stack, how: signal.Signals
) -> None:
    edge = await stack.actor("edge")
    await guest.asks("Through another edge")
    before = await guest.sees_writing(beyond=20)
    await guest.reads_only_streams()
    os.kill(edge, how)
    await expect(guest.status).to_contain_text("Reconnecting", timeout=PATIENCE_MS)
    final = await guest.sees_the_end()
    assert final.startswith(before[:-1])
    assert await guest.copies_the_answer() == await guest.stored_answer()


async def test_stack_gone_the_page_says_so_and_goes_on_when_it_is_back(
    guest: Person, stack: Stack
) -> None:
    await guest.asks_and_stops("Before")
    await asyncio.to_thread(stack.end)
    try:
        await guest.asks("During")
        await expect(guest.status).to_contain_text("Reconnecting", timeout=PATIENCE_MS)
    finally:
        await asyncio.to_thread(stack.start)
    await guest.sees_writing()
    await guest.sees_the_end()
    asked = [m["content"] for m in await guest.stored() if m["role"] == "user"]
    assert asked == ["Before", "During"]


async def test_new_chat_while_the_stack_is_gone_is_refused_in_words_and_can_be_sent_again(
    guest: Person, stack: Stack
) -> None:
    await asyncio.to_thread(stack.end)
    try:
        await guest.asks("Is anyone there?")
        await expect(guest.page.get_by_role("alert")).to_contain_text("can't be reached")
        await expect(guest.field).to_have_value("Is anyone there?")
    finally:
        await asyncio.to_thread(stack.start)
    await guest.page.get_by_role("button", name="Send again").click()
    await guest.sees_writing()
    await guest.sees_the_end()


async def test_settings_that_cannot_be_fetched_say_so_and_open_once_they_can(
    guest: Person,
) -> None:
    page, code = guest.page, "**/assets/settings-*.js"
    await page.route(code, lambda route: route.abort())
    await page.reload()
    await page.get_by_role("button", name="Account:").click()
    await page.get_by_role("button", name="Settings").click()
    await expect(page.get_by_role("alert")).to_contain_text("can't be fetched")
    await page.unroute(code)
    await expect(page.get_by_role("dialog", name="Settings")).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_count(0)

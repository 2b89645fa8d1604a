"""The page's ordinary day: ask, leave, come back, stop."""

import pytest
from playwright.async_api import Browser, BrowserContext, expect

from tests.e2e.person import MESSAGES, PATIENCE_MS, Person
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


async def test_guest_first_question_streams_an_answer_that_is_stored(guest: Person) -> None:
    await guest.asks("Tell me a story")
    early = await guest.sees_writing()
    later = await guest.sees_writing(beyond=len(early) + 40)
    final = await guest.sees_the_end()
    assert later.startswith(early[:-1])
    assert len(final) >= len(later)
    question, answer = await guest.stored()
    assert question["content"] == "Tell me a story"
    assert answer["status"] == "complete"
    await guest.page.reload()
    assert await guest.sees_the_end() == final


async def test_reload_while_answering_joins_and_shows_what_is_stored(guest: Person) -> None:
    await guest.asks("Something long")
    before = await guest.sees_writing(beyond=60)
    await guest.page.reload()
    after = await guest.sees_writing(beyond=len(before))
    await guest.reads_only_streams()
    assert after.startswith(before[:-1])
    final = await guest.sees_the_end()
    assert await guest.copies_the_answer() == await guest.stored_answer()
    await guest.page.unroute(MESSAGES)
    await guest.page.reload()
    assert await guest.sees_the_end() == final
    assert await guest.copies_the_answer() == await guest.stored_answer()


async def test_second_tab_while_answering_shows_what_is_stored(
    guest: Person, context: BrowserContext, stack: Stack
) -> None:
    await guest.asks("For two readers")
    await guest.sees_writing()
    other = await Person.arrives(context, stack.url, f"/#/chat/{guest.chat_id}")
    await other.sees_writing()
    for tab in (guest, other):
        await tab.reads_only_streams()
    assert await other.sees_the_end() == await guest.sees_the_end()
    stored = await guest.stored_answer()
    for tab in (guest, other):
        assert await tab.copies_the_answer() == stored


async def test_tab_left_open_on_the_chat_joins_what_another_tab_starts(
    guest: Person, context: BrowserContext, stack: Stack
) -> None:
    await guest.asks_and_stops("First")
    other = await Person.arrives(context, stack.url, f"/#/chat/{guest.chat_id}")
    await expect(other.answer).to_be_visible(timeout=PATIENCE_MS)
    await guest.asks("Second")
    await other.sees_writing()
    await expect(other.page.get_by_role("article", name="You")).to_have_count(2)
    assert await other.sees_the_end() == await guest.sees_the_end()


@pytest.mark.parametrize("by", ["button", "Escape"])
async def test_stop_while_answering_ends_it_with_no_more_text(guest: Person, by: str) -> None:
    await guest.asks("Stop me")
    await guest.sees_writing(beyond=20)
    if by == "button":
        await guest.stop_button.click()
    else:
        await guest.page.keyboard.press(by)
    shown = await guest.sees_the_end()
    await expect(guest.answer).to_contain_text("Stopped")
    assert (await guest.stored())[-1]["status"] == "cancelled"
    await guest.page.reload()
    assert await guest.sees_the_end() == shown
    await expect(guest.answer).to_contain_text("Stopped")


async def test_question_while_answering_is_kept_and_goes_out_after(guest: Person) -> None:
    await guest.asks("First")
    await guest.sees_writing()
    await guest.asks("Second")
    await expect(guest.status).to_contain_text("Still answering")
    await expect(guest.field).to_have_value("Second")
    await guest.sees_the_end()
    await guest.field.press("Enter")
    await guest.sees_the_end()
    assert [m["content"] for m in await guest.stored() if m["role"] == "user"] == [
        "First",
        "Second",
    ]


async def test_question_while_another_device_asks_is_refused_and_joins(guest: Person) -> None:
    await guest.asks_and_stops("Begin")
    await guest.field.fill("Mine")
    taken = await guest.sends_behind_the_page("Theirs")
    assert taken.status == 202
    await guest.field.press("Enter")
    await expect(guest.page.get_by_role("alert")).to_be_visible()
    await expect(guest.field).to_have_value("Mine")
    await guest.sees_writing()
    await guest.sees_the_end()
    await guest.page.get_by_role("button", name="Send again").click()
    await guest.sees_writing()
    await guest.sees_the_end()
    asked = [m["content"] for m in await guest.stored() if m["role"] == "user"]
    assert asked == ["Begin", "Theirs", "Mine"]


async def test_keyboard_alone_is_enough(context: BrowserContext, stack: Stack) -> None:
    person = await Person.arrives(context, stack.url)
    keyboard = person.page.keyboard
    await expect(person.page.get_by_role("button", name="Try it as a guest")).to_be_visible()
    await keyboard.press("Tab")
    await keyboard.press("Enter")
    await expect(person.field).to_be_focused()
    await keyboard.type("Two lines")
    await keyboard.press("Shift+Enter")
    await keyboard.type("please")
    await keyboard.press("Enter")
    await person.sees_writing()
    await keyboard.press("Escape")
    await person.sees_the_end()
    await expect(person.field).to_be_focused()
    assert (await person.stored())[0]["content"] == "Two lines\nplease"


async def test_account_log_out_and_in_finds_its_chats(
    context: BrowserContext, stack: Stack
) -> None:
    person = await Person.arrives(context, stack.url)
    page = person.page
    await page.get_by_role("button", name="Create an account").click()
    await page.get_by_label("E-mail").fill("reader@example.org")
    await page.get_by_label("Password").fill("a long password")
    await page.get_by_role("button", name="Create an account").click()
    await person.asks_and_stops("Remember this")
    await person.logs_out()
    await page.get_by_label("E-mail").fill("reader@example.org")
    await page.get_by_label("Password").fill("a wrong password")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await page.get_by_label("Password").fill("a long password")
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("link", name="New chat").click()
    await page.get_by_role("link", name="Remember this").click()
    await expect(person.answer).to_be_visible()


async def test_chat_of_another_is_not_there(guest: Person, browser: Browser, stack: Stack) -> None:
    await guest.asks_and_stops("Private")
    elsewhere = await browser.new_context()
    stranger = await Person.arrives(elsewhere, stack.url, f"/#/chat/{guest.chat_id}")
    await stranger.enters_as_guest()
    await expect(stranger.page.get_by_text("This chat is not there")).to_be_visible()
    await elsewhere.close()


async def test_phone_width_nothing_overflows_and_the_list_is_a_drawer(
    browser: Browser, stack: Stack
) -> None:
    phone = await browser.new_context(viewport={"width": 360, "height": 740})
    person = await Person.arrives(phone, stack.url)
    await person.enters_as_guest()
    await person.asks("A question with a fairly long title that can't fit on a phone")
    await person.sees_writing()
    width = await person.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
    link = person.page.get_by_role("link", name="New chat")
    await expect(link).to_be_hidden()
    await person.page.get_by_role("button", name="Chats").click()
    await expect(link).to_be_visible()
    await person.page.keyboard.press("Escape")
    await expect(link).to_be_hidden()
    await expect(person.stop_button).to_be_visible()
    await phone.close()


async def test_chat_is_called_by_its_first_question(guest: Person) -> None:
    await guest.asks("# What is a run?\nIn short.")
    await expect(guest.page.get_by_role("link", name="What is a run?")).to_be_visible()
    await guest.sees_writing()
    await guest.page.reload()
    await expect(guest.page.get_by_role("heading", name="What is a run?")).to_be_visible()


async def test_simulated_engine_is_labelled(guest: Person) -> None:
    await expect(guest.page.get_by_text("simulated engine")).to_be_visible()

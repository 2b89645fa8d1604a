"""What a person does with chats beside asking: versions, search, sharing, files, settings,
accounts."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Route, expect

from tests.e2e.person import MESSAGES, PATIENCE_MS, Person
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

PASSWORD = "a long password"


async def test_answer_again_keeps_the_first_and_switches_between_them(guest: Person) -> None:
    page = guest.page
    await guest.asks_and_stops("Say it twice")
    first = await guest.copies_the_answer()
    await page.get_by_role("button", name="Another answer").click()
    await guest.sees_writing(beyond=20)
    await page.keyboard.press("Escape")
    await guest.sees_the_end()
    versions = page.get_by_role("group", name="Versions of this answer")
    await expect(versions).to_contain_text("2/2")
    await page.get_by_role("button", name="Earlier answer").click()
    await expect(versions).to_contain_text("1/2")
    assert await guest.copies_the_answer() == first
    await page.reload()
    await expect(versions).to_contain_text("1/2")
    assert [m["role"] for m in await guest.stored()] == ["user", "assistant"]


async def test_edited_question_goes_its_own_way_and_the_old_one_is_kept(guest: Person) -> None:
    page = guest.page
    await guest.asks_and_stops("First question")
    await guest.asks_and_stops("Second question")
    await guest.field.press("ArrowUp")
    editor = page.get_by_label("Edit question").and_(page.get_by_role("textbox"))
    await expect(editor).to_be_focused()
    await editor.fill("Second question, better")
    await editor.press("Enter")
    await guest.sees_writing()
    await page.keyboard.press("Escape")
    await guest.sees_the_end()
    questions = page.get_by_role("article", name="You")
    await expect(questions).to_have_count(2)
    await expect(questions.last).to_contain_text("better")
    await page.get_by_role("button", name="Earlier question").click()
    await expect(questions.last).not_to_contain_text("better")
    asked = [m["content"] for m in await guest.stored() if m["role"] == "user"]
    assert asked == ["First question", "Second question"]


async def test_question_just_answered_is_the_one_that_is_edited_however_late_history_tells(
    guest: Person,
) -> None:
    async def late(route: Route) -> None:
        await asyncio.sleep(0.5)
        await route.continue_()

    await guest.asks_and_stops("First question")
    await guest.page.route(MESSAGES, late)
    await guest.asks_and_stops("Second question")
    await guest.field.press("ArrowUp")
    editor = guest.page.get_by_label("Edit question").and_(guest.page.get_by_role("textbox"))
    await expect(editor).to_have_value("Second question")
    await guest.page.unroute(MESSAGES, late)


async def test_stopped_answer_is_continued_on_request(guest: Person) -> None:
    await guest.asks_and_stops("Begin")
    await guest.page.get_by_role("button", name="Continue", exact=True).click()
    await guest.sees_writing()
    await guest.page.keyboard.press("Escape")
    await guest.sees_the_end()
    await expect(guest.page.get_by_role("article", name="You")).to_have_count(2)


async def test_search_finds_a_message_and_leads_to_it(guest: Person) -> None:
    page = guest.page
    await guest.asks_and_stops("The giraffe in the library")
    await page.keyboard.press("Control+Shift+O")
    await expect(page.get_by_role("heading", name="What shall we talk about?")).to_be_visible()
    await page.keyboard.press("Control+k")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.type("giraf")
    found = page.get_by_role("dialog").locator("mark")
    await expect(found.first).to_be_visible(timeout=PATIENCE_MS)
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-sought]")).to_contain_text("giraffe")


async def test_chat_is_renamed_pinned_and_deleted(guest: Person) -> None:
    page = guest.page
    await guest.asks_and_stops("To be renamed")
    more = page.get_by_role("button", name="More about")
    await more.click()
    await page.get_by_role("button", name="Rename", exact=True).click()
    await page.get_by_label("Name", exact=True).fill("A better name")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="A better name")).to_be_visible()
    await more.click()
    await page.get_by_role("button", name="Pin", exact=True).click()
    await expect(page.get_by_role("heading", name="Pinned")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="Pinned")).to_be_visible()
    await more.click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("link", name="A better name")).to_have_count(0)
    await expect(guest.field).to_be_visible()


async def test_shared_chat_is_read_without_login_until_it_is_revoked(
    guest: Person, browser: Browser
) -> None:
    page = guest.page
    await guest.asks_and_stops("For everybody")
    await page.get_by_role("button", name="Share", exact=True).click()
    await page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("Link", exact=True)
    await expect(link).to_have_value(re.compile("/shared/"))
    url = await link.input_value()
    elsewhere = await browser.new_context()
    reader = await elsewhere.new_page()
    await reader.goto(url)
    await expect(reader.get_by_role("article", name="Question")).to_contain_text("For everybody")
    await expect(reader.get_by_role("textbox")).to_have_count(0)
    await page.get_by_role("button", name="Revoke the link").click()
    await expect(page.get_by_role("button", name="Make a link")).to_be_visible()
    await reader.reload()
    await expect(reader.get_by_text("There is no such share")).to_be_visible()
    await elsewhere.close()


async def test_long_text_pasted_goes_out_as_a_file(guest: Person, tmp_path: Path) -> None:
    page = guest.page
    await expect(page.get_by_label("Attach files")).to_be_attached()
    await page.evaluate("text => navigator.clipboard.writeText(text)", "word " * 2_000)
    await guest.field.press("Control+v")
    chips = page.get_by_role("list", name="Attached files")
    await expect(chips).to_contain_text("pasted.txt")
    notes = tmp_path / "notes.md"
    notes.write_text("# Notes\n\nSome of them.\n")
    await page.get_by_label("Attach files").set_input_files(notes)
    await expect(chips).to_contain_text("notes.md")
    await expect(chips).not_to_contain_text("on its way")
    await guest.asks_and_stops("What do they say?")
    sent = page.get_by_role("article", name="You")
    await expect(sent).to_contain_text("pasted.txt")
    await expect(sent).to_contain_text("notes.md")
    names = [file["name"] for file in (await guest.stored())[0]["attachments"]]
    assert names == ["pasted.txt", "notes.md"]


async def test_draft_is_kept_per_chat_and_through_a_reload(guest: Person) -> None:
    page = guest.page
    await guest.asks_and_stops("A chat with a draft")
    await guest.field.fill("Half a thought")
    await page.get_by_role("link", name="New chat").click()
    await expect(guest.field).to_have_value("")
    await guest.field.fill("Another")
    await page.get_by_role("link", name="A chat with a draft").click()
    await expect(guest.field).to_have_value("Half a thought")
    await page.reload()
    await expect(guest.field).to_have_value("Half a thought")


async def test_settings_are_kept_at_the_server(guest: Person) -> None:
    page = guest.page
    await guest.opens_settings()
    await page.get_by_label("What the model should know").fill("Answer in rhymes.")
    await page.get_by_label("A temperature of my own").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Saved")).to_be_visible()
    await page.get_by_label("Dark").check()
    await page.reload()
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
    await guest.opens_settings()
    await expect(page.get_by_label("What the model should know")).to_have_value("Answer in rhymes.")
    await expect(page.get_by_label("A temperature of my own")).to_be_checked()


async def test_guest_becomes_an_account_takes_chats_along_and_deletes_all(
    context: BrowserContext, stack: Stack
) -> None:
    person = await Person.arrives(context, stack.url)
    await person.enters_as_guest()
    page = person.page
    await person.asks_and_stops("Mine, whoever I am")
    await person.opens_settings()
    await page.get_by_label("E-mail").fill("kept@example.org")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Create an account").click()
    await expect(page.get_by_text("You have an account now")).to_be_visible()
    await page.get_by_text("Take all chats along").click()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="As JSON").click()
    exported = await (await download.value).path()
    assert "Mine, whoever I am" in await asyncio.to_thread(exported.read_text)
    await page.get_by_text("Delete the account").click()
    form = page.locator("details[open]", has_text="gone at once")
    await form.get_by_label("Password").fill(PASSWORD)
    await form.get_by_role("button", name="Delete everything").click()
    await expect(page.get_by_role("button", name="Try it as a guest")).to_be_visible()
    await page.get_by_label("E-mail").fill("kept@example.org")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_be_visible()


async def test_full_pool_the_prompt_is_sent_again_by_itself_when_wanted(guest: Person) -> None:
    page = guest.page
    await guest.asks_and_stops("Before the rush")
    refused = {"code": "at_capacity", "title": "At capacity", "detail": "Full.", "status": 503}

    tries = 0

    async def full_once(route: Route) -> None:
        nonlocal tries
        tries += 1
        if tries > 1:
            await route.fallback()
            return
        headers = {"Retry-After": "2", "Content-Type": "application/problem+json"}
        await route.fulfill(status=503, headers=headers, body=json.dumps(refused))

    await page.route("**/messages", full_once)
    await guest.asks("In the rush")
    await expect(page.get_by_role("alert")).to_contain_text("At capacity")
    await page.get_by_label("Send by itself").check()
    await guest.sees_writing()
    await page.keyboard.press("Escape")
    await guest.sees_the_end()
    asked = [m["content"] for m in await guest.stored() if m["role"] == "user"]
    assert asked == ["Before the rush", "In the rush"]


async def test_help_names_the_keys_and_escape_closes_it(guest: Person) -> None:
    await guest.page.keyboard.press("Control+/")
    await expect(guest.page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    await guest.page.keyboard.press("Escape")
    await expect(guest.page.get_by_role("dialog")).to_have_count(0)
    await expect(guest.field).to_be_focused()

"""What people write and bring along in other ways than by typing Latin letters: words from right
to left, words composed in several keys, files dropped, pictures; and what they print."""

import io
from typing import Any, Final

import pytest
from playwright.async_api import BrowserContext, Route, expect
from pypdf import PdfReader

from tests.e2e.person import Person
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhf"
    "DwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
ARABIC: Final = "مرحبا، كيف حالك؟"
MIXED: Final = (
    f"Both ways.\n\n{ARABIC}\n\n- أولا\n- ثانيا\n\n1. first\n2. second\n\n"
    "> اقتباس\n\n```python\nprint(1)\n```\n"
)
DROPS: Final = """([name, type, text]) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type }));
  const place = document.querySelector('[aria-label="Conversation"]');
  const taken = [];
  for (const kind of ["dragover", "drop"]) {
    const event = new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
    place.dispatchEvent(event);
    taken.push(event.defaultPrevented);
  }
  return taken;
}"""


async def shows_shared(person: Person, stack: Stack, *messages: dict[str, str]) -> None:
    """Show a shared chat of these messages."""
    when = "2026-01-01T00:00:00Z"
    data = [{"createdAt": when, **message} for message in messages]
    shared: dict[str, Any] = {"title": ARABIC, "createdAt": when, "data": data}

    async def answer(route: Route) -> None:
        if route.request.resource_type == "fetch":
            await route.fulfill(json=shared)
        else:
            await route.fallback()

    await person.page.route("**/shared/*", answer)
    await person.page.goto(f"{stack.url}/shared/written")
    await expect(person.page.get_by_role("article").first).to_be_visible()


async def test_text_from_right_to_left_runs_so_and_code_does_not(
    guest: Person, stack: Stack
) -> None:
    page = guest.page
    await guest.asks_and_stops(ARABIC)
    bubble = page.locator(".bubble")
    assert await bubble.evaluate("each => getComputedStyle(each).direction") == "rtl"
    assert await page.evaluate("() => getComputedStyle(document.body).direction") == "ltr"
    await shows_shared(guest, stack, {"role": "assistant", "content": MIXED})
    directions: dict[str, list[str]] = await page.evaluate(
        """() => Object.fromEntries(['ul', 'ol', 'blockquote', 'pre', 'h1'].map((tag) =>
          [tag, [...document.querySelectorAll('.shared ' + tag)]
            .map((each) => getComputedStyle(each).direction)]))"""
    )
    assert directions == {
        "ul": ["rtl"],
        "ol": ["ltr"],
        "blockquote": ["rtl"],
        "pre": ["ltr"],
        "h1": ["rtl"],
    }
    # A paragraph starts at the side where its own words start.
    ends: list[list[float]] = await page.evaluate(
        """() => [...document.querySelectorAll('.markdown > p')].map((each) => {
          const range = document.createRange();
          range.selectNodeContents(each);
          const words = range.getBoundingClientRect(), box = each.getBoundingClientRect();
          return [words.left - box.left, box.right - words.right];
        })"""
    )
    (left, right), (right_left, right_right) = ends
    assert left < 2 < right
    assert right_right < 2 < right_left


async def test_word_that_is_being_composed_is_neither_sent_nor_stopped(guest: Person) -> None:
    page = guest.page
    keys = await page.context.new_cdp_session(page)

    async def composes(text: str) -> None:
        at = {"selectionStart": len(text), "selectionEnd": len(text)}
        await keys.send("Input.imeSetComposition", {"text": text, **at})

    async def presses(key: str) -> None:
        # As an input method passes keys on that it takes for itself: code 229, and no text.
        for kind in ("rawKeyDown", "keyUp"):
            code = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": 229}
            await keys.send("Input.dispatchKeyEvent", code)

    await guest.field.focus()
    await composes("にほ")
    await presses("Enter")
    await expect(page.get_by_role("article")).to_have_count(0)
    await composes("日本")
    await keys.send("Input.insertText", {"text": "日本"})
    await expect(guest.field).to_have_value("日本")
    await page.keyboard.press("Enter")
    await guest.sees_writing()
    await composes("つぎ")
    await presses("Escape")
    await guest.sees_writing(beyond=60)
    await expect(guest.stop_button).to_be_visible()
    await keys.send("Input.insertText", {"text": "次"})
    await page.keyboard.press("Escape")
    await guest.sees_the_end()
    assert (await guest.stored())[0]["content"] == "日本"


async def test_file_dropped_anywhere_is_attached_and_the_page_stays(guest: Person) -> None:
    page = guest.page
    await expect(page.get_by_label("Attach files")).to_be_attached()
    assert await page.evaluate(DROPS, ["notes.md", "text/markdown", "IyBOb3Rlcw=="]) == [True, True]
    chips = page.get_by_role("list", name="Attached files")
    await expect(chips).to_contain_text("notes.md")
    await expect(chips).not_to_contain_text("on its way")
    await expect(guest.field).to_be_focused()
    await guest.asks_and_stops("What is dropped?")
    await expect(page.get_by_role("article", name="You")).to_contain_text("notes.md")
    await page.keyboard.press("Control+/")
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert await page.evaluate(DROPS, ["more.md", "text/markdown", "IyBNb3Jl"]) == [True, True]
    await page.keyboard.press("Escape")
    await expect(chips).not_to_contain_text("more.md")


async def test_picture_is_shown_and_said_to_be_unseen_before_it_is_sent(guest: Person) -> None:
    page = guest.page
    await expect(page.get_by_label("Attach files")).to_be_attached()
    await page.evaluate(DROPS, ["dot.png", "image/png", PNG])
    chip = page.get_by_role("list", name="Attached files").get_by_role("listitem")
    await expect(chip).to_contain_text("sees no pictures")
    picture = chip.locator("img")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("each => each.decode().then(() => each.naturalWidth)") == 1
    await guest.asks("What is on it?")
    await expect(guest.status).to_contain_text("leave out dot.png to send")
    await expect(guest.field).to_have_value("What is on it?")
    await expect(page.get_by_role("article")).to_have_count(0)
    await page.get_by_role("button", name="Leave out dot.png").click()
    await guest.asks_and_stops("What is on it?")


async def test_printed_chat_has_all_that_is_shown_and_nothing_to_press(
    context: BrowserContext, stack: Stack
) -> None:
    person = await Person.arrives(context, stack.url)
    await person.enters_as_guest()
    long = "\n".join(f"line {number} of a long question" for number in range(60))
    await person.asks_and_stops(long)
    for number in range(9):
        await person.asks_and_stops(f"Question number {number}")
    await person.field.fill("a draft that nobody prints")
    text = await printed(person)
    for number in range(9):
        assert f"Question number {number}" in text
    assert "line 59 of a long question" in text
    for absent in ("New chat", "Share", "Show all", "a draft", "Copy", "Guest", "Send"):
        assert absent not in text, absent
    assert "Stopped" in text


async def test_chat_that_is_not_all_loaded_is_printed_whole_by_its_key(guest: Person) -> None:
    page = guest.page
    await guest.asks_and_stops("Question number 1000")
    for number in range(1001, 1061):
        reply = await guest.sends_behind_the_page(f"Question number {number}", max_tokens=1)
        assert reply.status == 200, await reply.text()
    await page.add_init_script(
        "window.print = () => { document.documentElement.dataset.paper = 'yes'; };"
    )
    await page.reload()
    await expect(page.get_by_text("Question number 1060")).to_be_visible()
    await expect(page.locator(".earlier")).to_be_attached()
    text = await printed(guest)
    assert "Ctrl P prints them all" in text and "Question number 1001" not in text
    await page.keyboard.press("Control+p")
    await expect(page.locator("html[data-paper]")).to_be_attached()
    text = await printed(guest)
    assert "Ctrl P prints them all" not in text
    assert all(f"Question number {number}" in text for number in range(1000, 1061))


async def printed(person: Person) -> str:
    """Return the words of the page on paper, all sheets."""
    sheets = PdfReader(io.BytesIO(await person.page.pdf(format="A4"))).pages
    assert len(sheets) > 1
    return "\n".join(sheet.extract_text() for sheet in sheets)

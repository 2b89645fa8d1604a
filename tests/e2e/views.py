"""A walk through every view of the page, for tests that look at all of them."""

from collections.abc import Awaitable, Callable

from playwright.async_api import Page, expect

from tests.e2e.person import Person

Look = Callable[[str], Awaitable[None]]

MARKDOWN = """# A heading

Some *words*, a [link](https://example.org) and `code`.

```python
def add(a: int, b: int) -> int:
    return a + b  # and no more
```

| Left | Right |
|---|---|
| 1 | 2 |

\\[
x = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a}
\\]

- [x] done
- [ ] to do
"""


async def visit_every_view(person: Person, question: str, look: Look) -> None:
    """Arrive, enter, ask `question`, open all that can be opened, and `look` at each by its name;
    the last is the chat as others see it."""
    page = person.page
    await expect(page.get_by_role("button", name="Try it as a guest")).to_be_visible()
    await look("welcome")
    await person.enters_as_guest()
    await look("empty chat")
    await person.asks(question)
    await person.sees_writing(beyond=40)
    await look("answering")
    await page.keyboard.press("Escape")
    await person.sees_the_end()
    await look("stopped")
    await person.field.press("ArrowUp")
    await look("editing")
    await page.keyboard.press("Escape")
    await opens_the_list(page)
    await look("list of chats")
    await page.get_by_role("button", name="More about").click()
    await look("menu of a chat")
    await _look_at_dialogs(page, look)
    await page.get_by_role("button", name="Model:").click()
    await look("models")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Share", exact=True).click()
    await page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("Link", exact=True)
    await expect(link).to_be_visible()
    await look("share")
    shared = await link.input_value()
    await page.keyboard.press("Escape")
    await opens_the_list(page)
    await person.opens_settings()
    await expect(page.get_by_role("button", name="Save")).to_be_visible()
    await look("settings")
    await page.goto(shared)
    await expect(page.get_by_role("article").first).to_be_visible()
    await look("shared chat")


async def opens_the_list(page: Page) -> None:
    """Make the list of chats visible where it is a drawer."""
    account = page.get_by_role("button", name="Account:")
    if not await account.is_visible():
        await page.get_by_role("button", name="Chats", exact=True).click()
    await expect(account).to_be_in_viewport()


async def _look_at_dialogs(page: Page, look: Look) -> None:
    """Open and close what an open chat's menu and the keyboard offer, and look at each."""

    async def look_and_close(view: str) -> None:
        await expect(page.get_by_role("dialog")).to_be_visible()
        await look(view)
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)

    more = page.get_by_role("button", name="More about")
    for name in ("Rename", "Delete"):
        await page.get_by_role("button", name=name, exact=True).click()
        await look_and_close(name)
        await more.click()
    await page.keyboard.press("Escape")
    for keys in ("Control+k", "Control+/"):
        await page.keyboard.press(keys)
        await look_and_close(keys)
    if await page.locator(".veil").count():
        await page.keyboard.press("Escape")
        await expect(page.locator(".veil")).to_have_count(0)

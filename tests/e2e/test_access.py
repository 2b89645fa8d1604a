"""The page for everyone: axe finds nothing on any view, in light and in dark, and what axe can't
see holds too."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.person import Person
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

AXE: Final = Path(__file__).parents[2] / "edge/web/node_modules/axe-core/axe.min.js"
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
MARKDOWN: Final = """# A heading

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


async def violations(page: Page) -> list[str]:
    """Return what axe finds wrong, each with its first place."""
    if not await page.evaluate("() => 'axe' in window"):
        await page.evaluate(AXE.read_text() + ";window.axe = axe;")
    found: dict[str, Any] = await page.evaluate(
        "rules => axe.run(document, { runOnly: rules, resultTypes: ['violations'] })", RULES
    )
    return [
        f"{each['id']}: {each['help']} at {each['nodes'][0]['html'][:160]}"
        for each in found["violations"]
    ]


async def look_at_dialogs(page: Page, look: Callable[[str], Awaitable[None]]) -> None:
    """Open and close what an open chat's menu and the keyboard offer, and look at each."""

    async def look_and_close(view: str) -> None:
        await expect(page.get_by_role("dialog")).to_be_visible()
        await look(view)
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)

    for name in ("Rename", "Delete"):
        await page.get_by_role("button", name=name, exact=True).click()
        await look_and_close(name)
        await page.get_by_role("button", name="More about").click()
    await page.keyboard.press("Escape")
    for keys in ("Control+k", "Control+/"):
        await page.keyboard.press(keys)
        await look_and_close(keys)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_has_no_violation(
    browser: Browser, stack: Stack, scheme: Literal["light", "dark"]
) -> None:
    profile = await browser.new_context(color_scheme=scheme, reduced_motion="reduce")
    person = await Person.arrives(profile, stack.url)
    page = person.page
    wrong: dict[str, list[str]] = {}

    async def look(view: str) -> None:
        if found := await violations(page):
            wrong[view] = found

    await expect(page.get_by_role("button", name="Try it as a guest")).to_be_visible()
    await look("welcome")
    await person.enters_as_guest()
    await look("empty chat")
    await person.asks(MARKDOWN)
    await person.sees_writing(beyond=40)
    await look("answering")
    await page.keyboard.press("Escape")
    await person.sees_the_end()
    await look("stopped")
    await person.field.press("ArrowUp")
    await look("editing")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="More about").click()
    await look("menu of a chat")
    await look_at_dialogs(page, look)
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
    await person.opens_settings()
    await expect(page.get_by_role("button", name="Save")).to_be_visible()
    await look("settings")
    await page.goto(shared)
    await expect(page.get_by_role("article").first).to_be_visible()
    await look("shared chat")
    await profile.close()
    assert wrong == {}


async def test_answer_is_drawn_as_code_table_mathematics_and_safe_links(
    guest: Person, stack: Stack
) -> None:
    page = guest.page
    shared = {"title": "Drawn", "createdAt": "2026-01-01T00:00:00Z", "data": []}
    data = [{"role": "assistant", "content": MARKDOWN, "createdAt": shared["createdAt"]}]
    evil = "[a](javascript:alert(1)) ![b](https://example.org/x.png) <img src=x onerror=alert(1)>"
    data.append({**data[0], "content": evil})
    await page.route(
        "**/shared/*",
        lambda route: (
            route.fulfill(json={**shared, "data": data})
            if route.request.resource_type == "fetch"
            else route.fallback()
        ),
    )
    await page.goto(f"{stack.url}/shared/drawn")
    answer = page.get_by_role("article").first
    await expect(answer.get_by_role("table")).to_be_visible()
    await expect(answer.locator("math")).to_be_visible()
    await expect(answer.get_by_role("button", name="Copy")).to_be_visible()
    await page.wait_for_function("() => CSS.highlights.size > 0")
    link = answer.get_by_role("link", name="link")
    assert await link.get_attribute("rel") == "noopener noreferrer nofollow"
    other = page.get_by_role("article").last
    await expect(other.locator("img")).to_have_count(0)
    for each in await other.get_by_role("link").all():
        assert str(await each.get_attribute("href")).startswith("https://")


async def test_twice_the_zoom_on_a_small_window_nothing_overflows(
    browser: Browser, stack: Stack
) -> None:
    # 1280 × 800 at 200 % leaves the page 640 × 400.
    profile = await browser.new_context(viewport={"width": 640, "height": 400})
    person = await Person.arrives(profile, stack.url)
    await person.enters_as_guest()
    await person.asks_and_stops("averylongwordwithoutanyspace" * 20)
    assert await person.page.evaluate("() => document.documentElement.scrollWidth") <= 640
    frame = await person.page.get_by_role("region", name="Conversation").bounding_box()
    assert frame is not None
    assert frame["height"] > 120
    await profile.close()


async def test_transcript_is_not_a_live_region_and_the_status_is(guest: Person) -> None:
    await guest.asks("Say nothing aloud")
    await guest.sees_writing()
    live = await guest.page.evaluate(
        "() => [...document.querySelectorAll('[aria-live], [role=status], [role=log]')]"
        ".filter(e => e.closest('.transcript')).length"
    )
    assert live == 0
    await expect(guest.status).to_contain_text("Writing")
    await guest.page.keyboard.press("Escape")
    await guest.sees_the_end()
    await expect(guest.status).to_contain_text("Stopped")

"""The page for everyone: axe finds nothing on any view, in light and in dark, and what axe can't
see holds too."""

from pathlib import Path
from typing import Any, Final, Literal

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.person import Person
from tests.e2e.stack import Stack
from tests.e2e.views import MARKDOWN, visit_every_view

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

AXE: Final = Path(__file__).parents[2] / "edge/web/node_modules/axe-core/axe.min.js"
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Whatever may be read, pressed or written in, on the page or in an open dialog, and sticks out.
STICKS_OUT: Final = """() => ['button', 'a[href]', 'input', 'textarea', 'h1', 'h2', 'p', 'li']
  .flatMap((kind) => [...document.querySelectorAll(kind)])
  .filter((each) => each.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
  .filter((each) => !each.closest('.unseen, .skip, .code, .table, .math'))
  .map((each) => [each, each.getBoundingClientRect()])
  .filter(([, box]) => box.width > 1 && (box.left < -1 || box.right > innerWidth + 1))
  .map(([each, box]) => `${each.outerHTML.slice(0, 80)} at ${box.left} to ${box.right}`)
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

    await visit_every_view(person, MARKDOWN, look)
    await profile.close()
    assert wrong == {}


@pytest.mark.parametrize(
    ("width", "height"),
    # A phone; a laptop at 200 %; WCAG's reflow (1.4.10), a laptop at 400 %.
    [(360, 740), (640, 400), (320, 256)],
)
async def test_every_view_fits_a_narrow_window(
    browser: Browser, stack: Stack, width: int, height: int
) -> None:
    profile = await browser.new_context(
        viewport={"width": width, "height": height}, reduced_motion="reduce"
    )
    person = await Person.arrives(profile, stack.url)
    page = person.page
    wrong: dict[str, list[str]] = {}

    async def look(view: str) -> None:
        found: list[str] = await page.evaluate(STICKS_OUT)
        wide: int = await page.evaluate("() => document.documentElement.scrollWidth")
        if found or wide > width:
            wrong[view] = [f"{wide} wide", *found]

    await visit_every_view(person, f"{MARKDOWN}\n{'averylongword' * 20}", look)
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

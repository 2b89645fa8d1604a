"""The answer, whatever happens to the page that reads it: every event of an answer is once the
last one before a reload, the stop comes at any moment, the network goes and comes back."""

import asyncio
import json

import pytest
from playwright.async_api import BrowserContext, Page, Route, expect

from tests.e2e.person import PATIENCE_MS, Person
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

TOKENS = 12
STOPS_MS = (0, 20, 50, 100, 150, 200, 300)

# Lets a page's event streams through up to event `last`, then keeps them open and silent.
HOLDS = """last => {
  const plain = window.fetch;
  window.fetch = async (...request) => {
    const response = await plain(...request);
    if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return response;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    const held = new ReadableStream({
      async pull(out) {
        for (;;) {
          const cut = rest.indexOf("\\n\\n");
          if (cut >= 0) {
            const event = rest.slice(0, cut + 2);
            rest = rest.slice(cut + 2);
            const id = Number(/^id: ?(\\d+)/m.exec(event)?.[1] ?? 0);
            if (id > last) { window.held = id; return new Promise(() => undefined); }
            out.enqueue(new TextEncoder().encode(event));
            return;
          }
          // The page ends the connection itself once it has the run's end.
          const { done, value } = await reader.read().catch(() => ({ done: true }));
          if (done) { window.held = -1; out.close(); return; }
          rest += value;
        }
      },
    });
    return new Response(held, response);
  };
}"""


async def answers_shortly(page: Page) -> None:
    """From now on prompts of the page ask for an answer of few tokens."""

    async def shortened(route: Route) -> None:
        if route.request.method != "POST":
            await route.fallback()
        else:
            body = {**json.loads(route.request.post_data or "{}"), "maxTokens": TOKENS}
            await route.continue_(post_data=json.dumps(body))

    await page.route("**/messages", shortened)


async def test_reload_after_every_event_of_an_answer_shows_what_is_stored(guest: Person) -> None:
    page = guest.page
    await answers_shortly(page)
    await guest.asks("A short answer")
    await guest.sees_the_end()
    last, ended = 0, False
    while not ended:
        last += 1
        await page.evaluate("held = 0")
        await page.evaluate(HOLDS, last)
        await guest.asks(f"Held after event {last}")
        await page.wait_for_function("() => held !== 0", timeout=PATIENCE_MS)
        ended = await page.evaluate("held") == -1
        await page.reload()
        await guest.sees_the_end()
        assert await guest.copies_the_answer() == await guest.stored_answer()
    assert last > 3


@pytest.mark.parametrize("after_ms", STOPS_MS)
async def test_stop_soon_after_sending_ends_it_with_no_more_text(
    guest: Person, after_ms: int
) -> None:
    await guest.asks_and_stops("Begin")
    await guest.asks("Stop at once")
    await asyncio.sleep(after_ms / 1000)
    await guest.page.keyboard.press("Escape")
    shown = await guest.sees_the_end()
    await expect(guest.answer).to_contain_text("Stopped")
    assert (await guest.stored())[-1]["status"] == "cancelled"
    await guest.page.reload()
    await expect(guest.answer).to_contain_text("Stopped")
    assert await guest.sees_the_end() == shown


async def test_stop_while_the_chat_is_made_gives_the_question_back(guest: Person) -> None:
    await guest.page.route("**/chats", _late)
    await guest.asks("Not yet")
    await guest.stop_button.click()
    await expect(guest.page.get_by_role("alert")).to_contain_text("Stopped before it was sent")
    await expect(guest.field).to_have_value("Not yet")
    await guest.page.unroute("**/chats", _late)
    await guest.page.get_by_role("button", name="Send again").click()
    await guest.sees_writing()


async def _late(route: Route) -> None:
    await asyncio.sleep(0.5)
    await route.fallback()


async def test_network_cut_while_answering_the_page_says_so_and_joins_when_it_is_back(
    guest: Person, context: BrowserContext
) -> None:
    await guest.asks("Through a tunnel")
    before = await guest.sees_writing(beyond=20)
    await context.set_offline(True)
    await expect(guest.status).to_contain_text("You are offline")
    await asyncio.sleep(1)
    await context.set_offline(False)
    final = await guest.sees_the_end()
    assert final.startswith(before[:-1])
    assert await guest.copies_the_answer() == await guest.stored_answer()


async def test_question_asked_offline_is_sent_once_when_the_network_is_back(
    guest: Person, context: BrowserContext
) -> None:
    await guest.asks_and_stops("Online")
    await context.set_offline(True)
    await guest.asks("Offline")
    await expect(guest.status).to_contain_text("sent when you are back")
    await context.set_offline(False)
    await guest.sees_writing()
    await guest.page.keyboard.press("Escape")
    await guest.sees_the_end()
    asked = [m["content"] for m in await guest.stored() if m["role"] == "user"]
    assert asked == ["Online", "Offline"]


async def test_reader_who_scrolled_up_is_not_moved(guest: Person) -> None:
    page = guest.page
    await guest.asks_and_stops("Above\n" * 40)
    await guest.asks("Below")
    await guest.sees_writing()
    place = page.get_by_role("region", name="Conversation")
    top = await page.get_by_role("article", name="You").last.bounding_box()
    frame = await place.bounding_box()
    assert top is not None
    assert frame is not None
    assert top["y"] - frame["y"] < 40
    await place.evaluate("element => { element.scrollTop = 0; }")
    await expect(page.get_by_role("button", name="New text below")).to_be_visible()
    await guest.sees_writing(beyond=120)
    assert await place.evaluate("element => element.scrollTop") == 0
    await page.get_by_role("button", name="New text below").click()
    await expect(page.get_by_role("button", name="New text below")).to_have_count(0)


async def test_three_tabs_on_one_answer_show_the_same(
    guest: Person, context: BrowserContext, stack: Stack
) -> None:
    await guest.asks("For three")
    await guest.sees_writing()
    others = [
        await Person.arrives(context, stack.url, f"/#/chat/{guest.chat_id}") for _ in range(2)
    ]
    texts = {await tab.sees_the_end() for tab in (guest, *others)}
    assert len(texts) == 1

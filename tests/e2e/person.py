"""Someone at the page: what people do there, and what they see."""

import re
from typing import Any

from playwright.async_api import APIResponse, BrowserContext, Locator, Page, expect

PATIENCE_MS = 30_000
MESSAGES = re.compile(r"/messages\?")
ANSWERED = """() => {
  const questions = document.querySelectorAll('article[aria-label="You"]');
  const answers = [...document.querySelectorAll('article[aria-label="Answer"]')];
  const open = answers.some((each) => ["live", "pending"].includes(each.dataset.status));
  return questions.length > 0 && answers.length === questions.length && !open;
}"""
WEB = {"X-Parley-Client": "web"}


class Person:
    """One browser tab. Everything is found as people find it: by role, label and words."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = url

    @classmethod
    async def arrives(cls, context: BrowserContext, url: str, place: str = "/") -> "Person":
        """Open the page in a new tab, at `place` of the site."""
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(url + place)
        return cls(page, url)

    async def enters_as_guest(self) -> None:
        """Take the quick way in."""
        await self.page.get_by_role("button", name="Try it as a guest").click()
        await expect(self.field).to_be_visible(timeout=PATIENCE_MS)

    async def logs_out(self) -> None:
        """Leave by the menu of the account."""
        await self.page.get_by_role("button", name="Account:").click()
        await self.page.get_by_role("button", name="Log out").click()

    async def opens_settings(self) -> None:
        """Open the settings by the menu of the account."""
        await self.page.get_by_role("button", name="Account:").click()
        await self.page.get_by_role("button", name="Settings").click()
        await expect(self.page.get_by_role("dialog", name="Settings")).to_be_visible()

    @property
    def field(self) -> Locator:
        """Where a message is written."""
        return self.page.get_by_label("Message", exact=True)

    @property
    def answer(self) -> Locator:
        """The newest answer."""
        return self.page.get_by_role("article", name="Answer").last

    @property
    def text(self) -> Locator:
        """The newest answer's text alone."""
        return self.answer.locator(".markdown")

    @property
    def status(self) -> Locator:
        """The line that says what is going on."""
        return self.page.get_by_role("status")

    @property
    def stop_button(self) -> Locator:
        """The button that ends the answer."""
        return self.page.get_by_role("button", name="Stop (Esc)")

    @property
    def send_button(self) -> Locator:
        """The button that sends; there is none while an answer is written."""
        return self.page.get_by_role("button", name="Send", exact=True)

    async def asks(self, question: str) -> None:
        """Send a message with the keyboard."""
        await self.field.fill(question)
        await self.field.press("Enter")

    async def asks_and_stops(self, question: str) -> None:
        """Have a turn that takes little time."""
        await self.asks(question)
        await self.sees_writing()
        await self.page.keyboard.press("Escape")
        await self.sees_the_end()

    async def sees_writing(self, beyond: int = 0) -> str:
        """Wait until the answer in flight has more than `beyond` characters; return them."""
        await expect(self.stop_button).to_be_visible(timeout=PATIENCE_MS)
        longer = re.compile(rf"[\s\S]{{{beyond + 1},}}")
        await expect(self.text).to_have_text(longer, timeout=PATIENCE_MS)
        return await self.text.text_content() or ""

    async def sees_the_end(self) -> str:
        """Wait until every question has its answer and nothing is written any more; return
        the newest answer's text."""
        await self.page.wait_for_function(ANSWERED, timeout=PATIENCE_MS)
        await expect(self.send_button).to_be_visible(timeout=PATIENCE_MS)
        return await self.text.text_content() or ""

    async def reads_only_streams(self) -> None:
        """From now on the page gets no stored messages: all that it shows of an answer came to
        it as events."""
        await self.page.route(MESSAGES, lambda route: route.abort())

    async def copies_the_answer(self) -> str:
        """Return the newest answer byte for byte, as the page's own button copies it."""
        await self.page.bring_to_front()
        button = self.answer.get_by_role("button", name="Copy answer")
        await button.click()
        await expect(self.answer.get_by_role("button", name="Copied", exact=True)).to_be_visible()
        copied: str = await self.page.evaluate("navigator.clipboard.readText()")
        return copied

    async def stored_answer(self) -> str:
        """Return the newest answer's text as history has it."""
        newest = (await self.stored())[-1]
        assert newest["role"] == "assistant"
        return str(newest["content"])

    async def stored(self) -> list[dict[str, Any]]:
        """Return the open chat's messages as history has them, oldest first."""
        path = f"/chats/{self.chat_id}/messages?order=asc&limit=100"
        messages: list[dict[str, Any]] = (await self._got(path))["data"]
        return messages

    async def sends_behind_the_page(self, content: str, *, max_tokens: int = 0) -> APIResponse:
        """Send a message in the open chat as another device would; with `max_tokens` return when
        it has its answer of so many."""
        path = f"{self._url}/chats/{self.chat_id}/messages"
        if not max_tokens:
            return await self.page.request.post(path, data={"content": content}, headers=WEB)
        body = {"content": content, "maxTokens": max_tokens}
        streamed = {**WEB, "Accept": "text/event-stream"}
        return await self.page.request.post(path, data=body, headers=streamed)

    @property
    def chat_id(self) -> str:
        """The open chat, from the address."""
        return self.page.url.rpartition("#/chat/")[2]

    async def _got(self, path: str) -> Any:
        answer = await self.page.request.get(self._url + path, headers=WEB)
        assert answer.ok, await answer.text()
        return await answer.json()

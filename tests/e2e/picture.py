"""Takes the README's pictures of the page: `python -m tests.e2e.picture http://127.0.0.1:8000 DIR`.

Three files: a laptop, a phone, and a wide screen in the dark. Needs a running stack with the small
model and the machine's Chromium. The network of the last answer is slowed to the pace of a large
model, so that it can be seen being written.
"""

import asyncio
import sys
from pathlib import Path
from typing import Final, Literal

from playwright.async_api import ViewportSize, async_playwright, expect

from tests.e2e.conftest import FLAGS
from tests.e2e.person import Person
from tests.e2e.stack import chromium

Scheme = Literal["light", "dark"]
EARLIER: Final = ("How do I start Parley?", "What is a run?")
QUESTIONS: Final = (
    "What is Parley?",
    "What happens when I close the tab?",
    "What happens when a worker dies?",
)
VIEWS: Final[tuple[tuple[str, ViewportSize, Scheme, float], ...]] = (
    ("picture.png", ViewportSize(width=1280, height=800), "light", 1.5),
    ("picture-phone.png", ViewportSize(width=390, height=844), "light", 1.5),
    ("picture-wide.png", ViewportSize(width=1920, height=1080), "dark", 0.75),
)
WRITTEN: Final = 60
SLOWLY: Final = """() => {
  const plain = window.fetch;
  const pause = () => new Promise((done) => setTimeout(done, 50));
  window.fetch = async (...request) => {
    const response = await plain(...request);
    if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return response;
    const slow = new TransformStream({
      async transform(bytes, out) {
        for (let at = 0; at < bytes.length; at += 32) {
          out.enqueue(bytes.slice(at, at + 32));
          await pause();
        }
      },
    });
    return new Response(response.body.pipeThrough(slow), response);
  };
}"""


async def take(url: str, folder: Path) -> None:
    """Hold the conversation, and take the pictures in the middle of its last answer."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for name, viewport, scheme, scale in VIEWS:
            context = await browser.new_context(
                viewport=viewport, device_scale_factor=scale, color_scheme=scheme
            )
            person = await Person.arrives(context, url)
            await person.enters_as_guest()
            for question in EARLIER:
                await person.asks(question)
                await person.sees_the_end()
                await person.page.keyboard.press("Control+Shift+O")
                await expect(person.page.locator(".empty")).to_be_visible()
            await person.page.mouse.move(0, 0)
            *first, last = QUESTIONS
            for question in first:
                await person.asks(question)
                await person.sees_the_end()
            await person.page.evaluate(SLOWLY)
            await person.asks(last)
            await person.sees_writing(beyond=WRITTEN)
            await person.page.screenshot(path=folder / name)
            await context.close()
        await browser.close()


if __name__ == "__main__":
    asyncio.run(take(sys.argv[1], Path(sys.argv[2])))

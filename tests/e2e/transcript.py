"""Talks to the small model on the page as a new user might; what it says is written as it comes:
`python -m tests.e2e.transcript http://127.0.0.1:8000 TRANSCRIPT.md PICTURE.png`.

Writes what was said, and a picture of the end. Needs a running stack with the small model and the
machine's Chromium.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from playwright.async_api import ViewportSize, async_playwright

from tests.e2e.conftest import FLAGS
from tests.e2e.person import Person
from tests.e2e.stack import chromium

TYPED: Final = (
    "Hi there!",
    "My name is Marlow and I live in Utrecht.",
    "The code of my bike is 4417.",
    "What is Parley?",
    "What happens to my answer if I close this tab?",
    "How much is 17 + 25?",
    "Can you spell garden?",
    "Tell me a short story about a fox and a lamp.",
    "Who won the football game yesterday?",
    "Actually, the code of my bike is 9052.",
    "What is my name?",
    "Where do I live?",
    "What is the code of my bike?",
    "Thank you, bye!",
)
HEADING: Final = """# A conversation with parley-small

Typed into the page as a new user might, with the defaults of `make run`
(`python -m tests.e2e.transcript`); [a picture of its end](transcript.png)."""
SETTLED_S: Final = 1.0
VIEW: Final = ViewportSize(width=1280, height=800)


async def talk(url: str) -> tuple[list[str], bytes]:
    """Hold the conversation; return the answers and the picture."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        context = await browser.new_context(viewport=VIEW, device_scale_factor=1.5)
        person = await Person.arrives(context, url)
        await person.enters_as_guest()
        answers = []
        for line in TYPED:
            await person.asks(line)
            answers.append(await person.sees_the_end())
        await person.page.mouse.move(VIEW["width"] * 0.6, VIEW["height"] * 0.4)
        await person.page.mouse.wheel(0, -VIEW["height"] * 0.6)
        await asyncio.sleep(SETTLED_S)
        picture = await person.page.screenshot()
        await browser.close()
        return answers, picture


def written(answers: Sequence[str]) -> str:
    """Return the conversation as Markdown."""
    turns = (
        f"**You:** {said}\n\n**Parley:** {' '.join(answer.split())}"
        for said, answer in zip(TYPED, answers, strict=True)
    )
    return "\n\n".join((HEADING, *turns)) + "\n"


if __name__ == "__main__":
    answered, shown = asyncio.run(talk(sys.argv[1]))
    Path(sys.argv[2]).write_text(written(answered))
    Path(sys.argv[3]).write_bytes(shown)

"""A stack of real processes around a simulated engine, and a real browser.

One browser and one event loop serve all tests; each test has a profile of its own.
"""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright

from tests.e2e.person import Person
from tests.e2e.stack import Stack, chromium

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Slow enough to act in the middle of an answer, which takes some 6 s, and never shorter.
ENGINE = [
    *("--engine", "sim", "--engine-arg", "step_ms=20", "--engine-arg", "eos_every=0"),
    *("--max-output-tokens", "300"),
]


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The stack, with two workers so that an answer can move."""
    if not (ROOT / "edge" / "static" / "index.html").is_file():
        pytest.skip("the page is not built: npm ci && npm run build in edge/web")
    with tempfile.TemporaryDirectory(prefix="parley-e2e-") as home:
        running = Stack(Path(home), *ENGINE, "--gpus", "2")
        running.start()
        try:
            yield running
        finally:
            running.end()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The machine's Chromium, without a window."""
    program = chromium()
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser profile; a script error on any page of it fails the test."""
    profile = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    errors: list[str] = []
    profile.on("weberror", lambda error: errors.append(str(error.error)))
    yield profile
    await profile.close()
    assert not errors, errors


@pytest_asyncio.fixture(loop_scope="session")
async def guest(context: BrowserContext, stack: Stack) -> Person:
    """Someone who has just come in as a guest."""
    person = await Person.arrives(context, stack.url)
    await person.enters_as_guest()
    return person

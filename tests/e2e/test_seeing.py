"""The page with a model that sees: a picture is attached, sent, and shown with its question."""

import tempfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, expect

from tests.e2e.person import Person
from tests.e2e.stack import Stack
from tests.e2e.test_writing import DROPS
from tests.support.pictures import chequered
from tests.support.random_sight import random_idefics

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def seeing() -> Iterator[Stack]:
    """A stack whose model's template takes pictures."""
    if not (ROOT / "edge" / "static" / "index.html").is_file():
        pytest.skip("the page is not built: npm ci && npm run build in edge/web")
    words = ("--engine", "sim", "--engine-arg", "step_ms=5", "--max-output-tokens", "40")
    with tempfile.TemporaryDirectory(prefix="parley-e2e-") as home:
        running = Stack(Path(home), *words, "--model", str(random_idefics()))
        running.start()
        try:
            yield running
        finally:
            running.end()


async def test_picture_is_sent_to_a_model_that_sees_and_stays_with_its_question(
    context: BrowserContext, seeing: Stack
) -> None:
    person = await Person.arrives(context, seeing.url)
    await person.enters_as_guest()
    page = person.page
    await expect(page.get_by_label("Attach files")).to_be_attached()
    data = b64encode(chequered()).decode()
    await page.evaluate(DROPS, ["squares.png", "image/png", data])
    chips = page.get_by_role("list", name="Attached files")
    await expect(chips).to_contain_text("squares.png")
    await expect(chips).not_to_contain_text("on its way")
    await expect(chips).not_to_contain_text("sees no pictures")
    await person.asks("What is on it?")
    await person.sees_the_end()
    question = page.get_by_role("article", name="You")
    picture = question.locator("img")
    assert await picture.evaluate("each => each.decode().then(() => each.naturalWidth)") == 24
    (answer, *_) = [each for each in await person.stored() if each["role"] == "assistant"]
    assert answer["status"] == "complete"
    assert answer["usage"]["promptTokens"] > 64

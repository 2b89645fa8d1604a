"""What goes wrong once in many times: the same acts again, at other moments each round.

`PARLEY_E2E_ROUNDS` says how many rounds (one unless told), `PARLEY_E2E_SEED` where their moments
come from; a round that fails names its own seed.
"""

import asyncio
import os
import random
import signal

import pytest
from playwright.async_api import BrowserContext, expect

from tests.e2e.person import PATIENCE_MS, Person
from tests.e2e.stack import Stack

ROUNDS = int(os.environ.get("PARLEY_E2E_ROUNDS", "1"))
FIRST = int(os.environ.get("PARLEY_E2E_SEED", "1"))

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("seed", range(FIRST, FIRST + ROUNDS)),
]


async def ends_as_stored(*readers: Person) -> None:
    """Wait for the end, and see that each reader has what history has."""
    for reader in readers:
        await reader.sees_the_end()
        assert await reader.copies_the_answer() == await reader.stored_answer()


async def test_stop_at_any_moment_ends_it_with_no_more_text(guest: Person, seed: int) -> None:
    chance = random.Random(seed)
    await guest.asks_and_stops("Begin")
    for _ in range(3):
        await guest.asks("Stop at once")
        await asyncio.sleep(chance.uniform(0, 0.3))
        await guest.page.keyboard.press("Escape")
        shown = await guest.sees_the_end()
        assert (await guest.stored())[-1]["status"] == "cancelled"
        await guest.page.reload()
        assert await guest.sees_the_end() == shown


async def test_network_cut_again_and_again_while_two_read_shows_what_is_stored(
    guest: Person, context: BrowserContext, stack: Stack, seed: int
) -> None:
    chance = random.Random(seed)
    await guest.asks("Through tunnels")
    await guest.sees_writing()
    other = await Person.arrives(context, stack.url, f"/#/chat/{guest.chat_id}")
    await other.sees_writing()
    for _ in range(3):
        await context.set_offline(True)
        await asyncio.sleep(chance.uniform(0, 0.6))
        await context.set_offline(False)
        await asyncio.sleep(chance.uniform(0, 0.6))
    await ends_as_stored(guest, other)


async def test_reload_at_any_moment_and_again_while_it_loads_shows_what_is_stored(
    guest: Person, seed: int
) -> None:
    chance = random.Random(seed)
    await guest.asks("Reloaded")
    await guest.sees_writing()
    for _ in range(3):
        await asyncio.sleep(chance.uniform(0, 0.5))
        await guest.page.reload(wait_until=chance.choice(("commit", "domcontentloaded", "load")))
    await ends_as_stored(guest)


async def test_question_sent_at_any_moment_of_an_answer_goes_out_once(
    guest: Person, context: BrowserContext, stack: Stack, seed: int
) -> None:
    chance = random.Random(seed)
    await guest.asks_and_stops("Begin")
    other = await Person.arrives(context, stack.url, f"/#/chat/{guest.chat_id}")
    await expect(other.send_button).to_be_visible(timeout=PATIENCE_MS)
    await guest.asks("One")
    await asyncio.sleep(chance.uniform(0, 0.3))
    await other.asks("Two")
    await asyncio.sleep(chance.uniform(0, 0.3))
    await guest.sees_the_end()
    asked = [each["content"] for each in await guest.stored() if each["role"] == "user"]
    assert asked == ["Begin", "One"]
    await expect(other.field).to_have_value("Two")
    await other.sees_the_end()
    await other.field.press("Enter")
    await other.sees_writing()
    await other.page.keyboard.press("Escape")
    await other.sees_the_end()
    asked = [each["content"] for each in await guest.stored() if each["role"] == "user"]
    assert asked == ["Begin", "One", "Two"]


@pytest.mark.chaos
async def test_edge_killed_at_any_moment_under_two_readers_shows_what_is_stored(
    guest: Person, context: BrowserContext, stack: Stack, seed: int
) -> None:
    chance = random.Random(seed)
    edge = await stack.actor("edge")
    await guest.asks("Through another edge")
    await guest.sees_writing()
    other = await Person.arrives(context, stack.url, f"/#/chat/{guest.chat_id}")
    await other.sees_writing()
    await asyncio.sleep(chance.uniform(0, 2.0))
    os.kill(edge, chance.choice((signal.SIGKILL, signal.SIGTERM)))
    await ends_as_stored(guest, other)

"""A chat whose older turns are found by what they mean; the embedder is simulated."""

import asyncio

from prometheus_client import REGISTRY

from actors.session.embedding import MISSES_MAX
from tests.integration.memory.conftest import REST_MS, Place
from tests.integration.memory.test_folding import FILLER, tell
from tests.support.waiting import until

QUOTE = "Turn 1\nUser: My parrot is called Koko\n"
UNHEARD = "kokoparrot?"
"""No word of it was said; pieces of it were, which is what the simulated embedder goes by."""


def learned() -> float:
    return REGISTRY.get_sample_value("parley_session_turns_embedded_total") or 0.0


def asked(how: str) -> float:
    name = "parley_session_queries_embedded_total"
    return REGISTRY.get_sample_value(name, {"how": how}) or 0.0


async def long_chat(place: Place) -> str:
    """Tell of a parrot, and then so much else that it leaves the window."""
    chat_id = await place.chat()
    await place.turn(chat_id, "My parrot is called Koko")
    await tell(place, chat_id, 0, 22)
    return chat_id


async def test_older_turn_is_found_by_its_meaning_also_after_an_activation(place: Place) -> None:
    await place.embedder()
    host = await place.session(embeds=True)
    before = learned()
    chat_id = await long_chat(place)
    await until(lambda: learned() >= before + 5)
    assert QUOTE in place.scribe.prompt(await place.turn(chat_id, UNHEARD))
    await host.stop()
    await place.session(embeds=True)
    before = learned()
    assert QUOTE not in place.scribe.prompt(await place.turn(chat_id, UNHEARD))
    await until(lambda: learned() >= before + 5)
    assert QUOTE in place.scribe.prompt(await place.turn(chat_id, UNHEARD))


async def test_chat_without_an_embedding_worker_goes_by_words(place: Place) -> None:
    await place.session(embeds=True)
    chat_id = await long_chat(place)
    assert QUOTE not in place.scribe.prompt(await place.turn(chat_id, UNHEARD))
    assert QUOTE in place.scribe.prompt(await place.turn(chat_id, "what is my parrot called?"))


async def test_worker_that_dies_leaves_words_and_its_successor_is_found(place: Place) -> None:
    worker = await place.embedder()
    await place.session(embeds=True)
    before = learned()
    chat_id = await long_chat(place)
    await until(lambda: learned() >= before + 5)
    await place.kill(worker)
    missed = asked("no answer")
    for _ in range(MISSES_MAX):
        assert QUOTE not in place.scribe.prompt(await place.turn(chat_id, UNHEARD))
    assert asked("no answer") == missed + MISSES_MAX
    rested = asked("not asked")
    await place.turn(chat_id, f"and now? {FILLER}")
    assert asked("not asked") == rested + 1
    await place.embedder()
    found = asked("found")
    while asked("found") == found:
        await asyncio.sleep(REST_MS / 1000)
        await place.turn(chat_id, f"and then? {FILLER}")
    assert QUOTE in place.scribe.prompt(await place.turn(chat_id, UNHEARD))


async def test_host_told_to_end_does_not_wait_for_a_worker_that_hangs(place: Place) -> None:
    await place.embedder(stall_after=1, drain_ms=0)
    host = await place.session(embeds=True)
    await long_chat(place)
    async with asyncio.timeout(5):
        await host.stop()
        await place.ended(host)

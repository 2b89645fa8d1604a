"""What a chat is called: by its first prompt, then by the model, in the background."""

import asyncio

from contracts.codec import encode
from contracts.memory import TitleWanted
from contracts.runs import RunSpec
from contracts.subjects import fold_wishes
from tests.integration.memory.conftest import Place
from tests.support.waiting import PATIENCE_S, until


def name_it(spec: RunSpec, prompt: str) -> str:
    """Answer in a chat; else give a title of the first word that was said."""
    if spec.chat_id is not None:
        return "A long answer."
    assert "Write a title" in prompt
    return f"About {prompt.partition('User: ')[2].split()[0]}."


async def title(place: Place, chat_id: str) -> str:
    chat = await place.history.chat(chat_id)
    assert chat is not None
    return chat.title


async def titled(place: Place, chat_id: str, expected: str) -> None:
    """Return once the chat is called so."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await title(place, chat_id) == expected:
                return
            await asyncio.sleep(0.01)


async def test_chat_gets_its_title_from_the_model_after_its_first_answer(place: Place) -> None:
    place.say = name_it
    await place.session(titles=True)
    await place.summarizer()
    chat_id = await place.chat()
    place.scribe.open.clear()
    await place.turn(chat_id, "Lisbon is where I go")
    assert await title(place, chat_id) == "Lisbon is where I go"
    place.scribe.open.set()
    await titled(place, chat_id, "About Lisbon")
    await place.turn(chat_id, "Thanks")
    (run,) = place.scribe.folds
    assert (run.tier, run.user_id, run.pool) == ("background", "user", "fast")


async def test_title_that_is_none_leaves_the_words_of_the_prompt(place: Place) -> None:
    place.say = lambda spec, _: "ok" if spec.chat_id else "I will.\nNot do that."
    await place.session(titles=True)
    host = await place.summarizer()
    chat_id = await place.chat()
    await place.turn(chat_id, "Hello there")
    await until(lambda: place.scribe.folds and not place.pending_folds(host))
    assert await title(place, chat_id) == "Hello there"


async def test_title_given_by_the_user_meanwhile_stays(place: Place) -> None:
    place.say = name_it
    await place.session(titles=True)
    host = await place.summarizer()
    chat_id = await place.chat()
    place.scribe.open.clear()
    await place.turn(chat_id, "Lisbon is where I go")
    await until(lambda: place.scribe.folds)
    await place.history.update_chat(chat_id, title="Mine")
    place.scribe.open.set()
    await until(lambda: not place.pending_folds(host))
    assert await title(place, chat_id) == "Mine"


async def test_wish_of_a_chat_that_is_not_there_or_another_users_is_dropped(place: Place) -> None:
    host = await place.summarizer()
    chat_id = await place.chat()
    bus = await place.connect()
    for user_id, wanted in (("user", "chat_gone"), ("somebody", chat_id)):
        wish = TitleWanted(
            title_id=f"{wanted}-title",
            chat_id=wanted,
            user_id=user_id,
            prompt_id="p",
            answer_id="a",
            instead_of="",
        )
        await bus.append(fold_wishes(wanted), encode(wish))
    await place.session(titles=True)
    place.say = name_it
    other = await place.chat()
    await place.turn(other, "Oslo is next")
    await titled(place, other, "About Oslo")
    await until(lambda: not place.pending_folds(host))
    assert len(place.scribe.folds) == 1
    await bus.close()


async def test_summarizer_killed_at_work_leaves_the_title_to_the_next(place: Place) -> None:
    place.say = name_it
    await place.session(titles=True)
    host = await place.summarizer()
    chat_id = await place.chat()
    place.scribe.open.clear()
    await place.turn(chat_id, "Lisbon is where I go")
    await until(lambda: place.scribe.folds)
    await place.kill(host)
    place.scribe.open.set()
    await place.summarizer()
    await titled(place, chat_id, "About Lisbon")
    assert len(place.scribe.folds) == 1

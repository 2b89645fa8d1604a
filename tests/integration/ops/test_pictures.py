"""Pictures in the whole stack: each role its own process and its own NATS user, simulated
engines, and a model whose template takes pictures."""

from base64 import b64encode
from collections.abc import Iterator

import pytest

from ops.chaos.stack import RunningStack
from tests.support.guest import Guest
from tests.support.pictures import chequered, plain
from tests.support.random_sight import NAME, random_idefics

pytestmark = [pytest.mark.nats, pytest.mark.timeout(240)]

SIMULATED = ("--engine", "sim", "--engine-arg", "step_ms=8", "--engine-arg", "eos_every=0")
TOKENS = 900


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    words = ("--gpus", "2", "--model", str(random_idefics()), "--pictures", "2")
    running = RunningStack(tmp_path_factory.mktemp("home"), *SIMULATED, *words)
    try:
        yield running.start()
    finally:
        assert running.end() == 0, running.said


def shown(guest: Guest, data: bytes, tokens: int = 40) -> str:
    """Return what the model says of a picture."""
    file_id = guest.upload("a.png", data)
    answer = guest.follow(guest.prompt("What is it?", tokens, files=[file_id]))
    assert answer.end["type"] == "run.completed", answer.end
    return answer.text


def test_model_says_that_it_sees_and_says_of_each_picture_something_else(guest: Guest) -> None:
    (model,) = guest.get("/models").json()["data"]
    assert model["abilities"] == {"vision": True}
    red = shown(guest, plain())
    assert shown(guest, plain()) == red
    assert shown(guest, chequered()) != red


def test_picture_stands_in_the_turns_that_follow(guest: Guest) -> None:
    said = []
    for data in (plain(), chequered()):
        file_id = guest.upload("a.png", data)
        first = guest.follow(guest.prompt("Look", 1, files=[file_id]))
        later = guest.follow(guest.prompt("And what was it?", 40, first.chat_id))
        said.append(later.text)
    assert said[0] != said[1]


def test_openai_client_shows_pictures_where_they_stand(guest: Guest) -> None:
    def said(*parts: bytes | str) -> str:
        content = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {
                "type": "image_url",
                "image_url": {"url": f"data:image/png;base64,{b64encode(part).decode()}"},
            }
            for part in parts
        ]
        messages = [{"role": "user", "content": content}]
        body = {"model": NAME, "messages": messages, "temperature": 0, "max_tokens": 20}
        reply = guest.post("/v1/chat/completions", body)
        assert reply.status_code == 200, reply.text
        assert reply.json()["usage"]["prompt_tokens"] > 2 * 64
        text: str = reply.json()["choices"][0]["message"]["content"]
        return text

    one = said("This", plain(), "and this", chequered())
    assert said("This", plain(), "and this", chequered()) == one
    assert said("This", chequered(), "and this", plain()) != one
    assert said("This", "and this", plain(), chequered()) != one


def test_deleted_picture_is_no_longer_shown_and_the_chat_goes_on(guest: Guest) -> None:
    file_id = guest.upload("a.png", plain())
    first = guest.follow(guest.prompt("Look", 1, files=[file_id]))
    assert guest.delete(f"/uploads/{file_id}").status_code == 204
    later = guest.follow(guest.prompt("And what was it?", 20, first.chat_id))
    assert later.end["type"] == "run.completed", later.end


@pytest.mark.chaos
def test_answer_to_a_picture_survives_the_death_of_its_worker(
    stack: RunningStack, guest: Guest
) -> None:
    undisturbed = shown(guest, chequered(), TOKENS)
    prompt = guest.prompt("What is it?", TOKENS, files=[guest.upload("b.png", chequered())])
    answer = guest.follow(prompt, 20, lambda: stack.kill("gpu"))
    assert answer.end["type"] == "run.completed"
    assert "run.recovered" in answer.kinds
    assert answer.text == undisturbed
    assert guest.stored(answer)["content"] == undisturbed

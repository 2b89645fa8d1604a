"""How an answer is drawn, from what a request says and what is usual for its model."""

from contracts.records import UserSettings
from contracts.runs import Sampling
from edge.openai_requests import ChatRequest, parse
from edge.prompts import NewPrompt

USUAL = Sampling(max_tokens=0, temperature=0.2, top_p=0.9, top_k=40, repetition_penalty=1.1)


def test_prompt_that_says_nothing_is_drawn_as_usual() -> None:
    assert NewPrompt(content="hi").sampling(USUAL, UserSettings()) == USUAL


def test_prompt_that_says_how_is_drawn_so() -> None:
    prompt = NewPrompt(content="hi", max_tokens=9, temperature=0.0, seed=3, stop="END")
    sampling = prompt.sampling(USUAL, UserSettings(temperature=1.5))
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.0, 0.9, 9)
    assert (sampling.seed, sampling.stop) == (3, ("END",))


def test_api_request_that_says_nothing_is_drawn_as_usual() -> None:
    body = parse(
        b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}', ChatRequest, "chat"
    )
    sampling = body.sampling(5, USUAL)
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.2, 0.9, 40)
    assert (sampling.repetition_penalty, sampling.max_tokens) == (1.1, 5)


def test_api_request_that_says_how_is_drawn_so() -> None:
    said = b'"temperature": 0, "top_k": -1, "top_p": 1, "repetition_penalty": 1, "min_p": 0.1'
    body = parse(
        b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], ' + said + b"}",
        ChatRequest,
        "chat",
    )
    sampling = body.sampling(5, USUAL)
    assert (sampling.temperature, sampling.top_k, sampling.top_p) == (0.0, 0, 1.0)
    assert (sampling.repetition_penalty, sampling.min_p) == (1.0, 0.1)

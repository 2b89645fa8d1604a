"""The table of parameters: what it says is what requests get, and what the page says."""

from pathlib import Path

import msgspec
import pytest

from contracts.errors import STATUS, Problem
from edge.bodies import decode_json
from edge.openai_errors import openai_error, openai_headers, status_of
from edge.openai_parameters import KINDS, PARAMETERS, VERDICTS, Kind, document
from edge.openai_requests import ChatRequest, CompletionRequest, EmbeddingRequest, parse
from edge.problems import InvalidRequest
from edge.responses_requests import ResponseRequest

PAGE = Path(__file__).parents[3] / "edge" / "OPENAI.md"
SHAPES: dict[Kind, type[msgspec.Struct]] = {
    "chat": ChatRequest,
    "completion": CompletionRequest,
    "response": ResponseRequest,
    "embedding": EmbeddingRequest,
}


def test_page_says_what_the_table_says() -> None:
    """Repair with: python -m edge.openai_parameters > edge/OPENAI.md"""
    assert PAGE.read_text("utf-8") == document()


@pytest.mark.parametrize("kind", KINDS)
def test_supported_parameters_are_those_that_are_read(kind: Kind) -> None:
    supported = {name for name, verdict in VERDICTS[kind].items() if verdict.does == "supported"}
    assert supported == set(SHAPES[kind].__struct_fields__)


def test_parameter_stands_once_for_each_route() -> None:
    for kind in KINDS:
        named = [
            each.name
            for each in PARAMETERS
            if kind in each.supported + each.neutral + each.label + each.refused
        ]
        assert len(named) == len(set(named))


def bare(kind: Kind) -> dict[str, object]:
    needed: dict[Kind, dict[str, object]] = {
        "chat": {"messages": [{"role": "user", "content": "hi"}]},
        "completion": {"prompt": "hi"},
        "response": {"input": "hi"},
        "embedding": {"input": "hi"},
    }
    return {"model": "m", **needed[kind]}


@pytest.mark.parametrize("kind", KINDS)
def test_every_other_parameter_gets_what_the_table_says(kind: Kind) -> None:
    for name, verdict in VERDICTS[kind].items():
        if verdict.does == "supported":
            continue
        odd = {**bare(kind), name: {"odd": [1]}}
        if verdict.does == "label":
            parse(msgspec.json.encode(odd), SHAPES[kind], kind)
            continue
        with pytest.raises(InvalidRequest, match=name):
            parse(msgspec.json.encode(odd), SHAPES[kind], kind)
        for value in (None, *verdict.values):
            data = msgspec.json.encode({**bare(kind), name: value})
            assert decode_json(data, dict)
            parse(data, SHAPES[kind], kind)
    with pytest.raises(InvalidRequest, match="made_up"):
        parse(msgspec.json.encode({**bare(kind), "made_up": 1}), SHAPES[kind], kind)


def test_every_error_has_a_status_that_the_sdk_knows() -> None:
    for code in STATUS:
        problem = Problem(code=code, detail="why")
        body = openai_error(problem)["error"]
        assert set(body) == {"message", "type", "param", "code"}
        status = status_of(problem)
        assert status in (400, 401, 403, 404, 405, 406, 409, 413, 429, 500, 503)
        retry = openai_headers(problem)["x-should-retry"]
        assert retry == ("true" if status in (409, 429) or status >= 500 else "false") or (
            code in ("cannot_resume", "conflict")
        )


def test_a_long_wait_is_not_retried() -> None:
    problem = Problem(code="over_budget", detail="spent", retry_after_ms=90_000)
    headers = openai_headers(problem)
    assert headers["x-should-retry"] == "false"
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("90", "90000")

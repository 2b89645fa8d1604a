"""OpenAI's bodies: chunks, choices, likelihoods, calls."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.byte_codec import EOS, ByteCodec
from contracts.errors import Problem
from contracts.runs import RunOutcome, TokenLogprob, Usage
from edge.openai_chunks import AnswerEncoder, ApiKind, Choice, Logprobs, total
from edge.tool_calls import CallReader, WrittenCall

RUN = "run_" + "0" * 26
STOPPED = RunOutcome(finish_reason="stop", usage=Usage(prompt_tokens=1))
TEXTS = st.lists(st.text(min_size=1), min_size=1, max_size=4)


def encoder(
    kind: ApiKind, *choices: Choice, wanted: bool = False, usage: bool = False
) -> AnswerEncoder:
    logprobs = Logprobs(kind, ByteCodec(), wanted=wanted, ends=True)
    return AnswerEncoder(
        kind,
        choices or (Choice(0, RUN),),
        logprobs,
        model="m",
        created_s=1,
        choices_a_prompt=len(choices) or 1,
        include_usage=usage,
    )


def chunks(data: bytes) -> list[dict[str, Any]]:
    blocks = data.decode()[:-2].split("\n\n")
    assert blocks[-1] == "data: [DONE]"
    return [json.loads(block.removeprefix("data: ")) for block in blocks[:-1]]


@given(TEXTS, st.booleans(), st.booleans())
def test_chunks_of_any_text_are_json(texts: list[str], chat: bool, usage: bool) -> None:
    encodable = [text.encode("utf-8", "replace").decode() for text in texts]
    answer = encoder("chat" if chat else "completion", usage=usage)
    data = b"".join(answer.piece(0, text, ()) for text in encodable)
    data += answer.end(0, STOPPED) + answer.close([STOPPED.usage])
    found = chunks(data)
    choices = [chunk["choices"][0] for chunk in found if chunk["choices"]]
    seen = [c["delta"].get("content") if chat else c["text"] for c in choices]
    assert [text for text in seen if text] == encodable
    assert {choice["finish_reason"] for choice in choices[:-1]} == {None}
    assert choices[-1]["finish_reason"] == "stop"
    assert (found[-1].get("usage") or {}).get("total_tokens") == (1 if usage else None)
    if chat:
        assert choices[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}


def test_choices_each_begin_and_end_once() -> None:
    answer = encoder("chat", Choice(0, RUN), Choice(1, RUN))
    data = answer.piece(1, "b", ()) + answer.piece(0, "a", ()) + answer.piece(1, "B", ())
    data += answer.end(0, STOPPED) + answer.end(1, STOPPED) + answer.close([])
    told = [(c["choices"][0]["index"], c["choices"][0]) for c in chunks(data)]
    for index, text in ((0, "a"), (1, "bB")):
        mine = [choice for place, choice in told if place == index]
        assert mine[0]["delta"]["role"] == "assistant"
        assert "".join(choice["delta"].get("content", "") for choice in mine) == text
        assert [choice["finish_reason"] for choice in mine if choice["finish_reason"]] == ["stop"]


def test_usage_counts_a_prompt_once_however_many_choices() -> None:
    usages = [Usage(prompt_tokens=p, completion_tokens=2) for p in (5, 5, 7, 7)]
    assert total(usages, 2) == Usage(prompt_tokens=12, completion_tokens=8)


def test_likelihoods_tell_bytes_and_leave_the_end_out() -> None:
    euro = "€".encode()
    told = [(euro[0], TokenLogprob(-0.5, ((euro[0], -0.5), (65, -1.5)))), (EOS, TokenLogprob(0.0))]
    chat = encoder("chat", wanted=True)
    chat.keep(0, "", told)
    content = chat.whole([STOPPED])["choices"][0]["logprobs"]["content"]
    assert content == [
        {
            "token": "\ufffd",
            "logprob": -0.5,
            "bytes": [euro[0]],
            "top_logprobs": [
                {"token": "\ufffd", "logprob": -0.5, "bytes": [euro[0]]},
                {"token": "A", "logprob": -1.5, "bytes": [65]},
            ],
        }
    ]


def test_likelihoods_of_completions_tell_offsets() -> None:
    answer = encoder("completion", wanted=True)
    data = answer.piece(
        0, "ab", [(97, TokenLogprob(-1.0)), (98, TokenLogprob(-2.0, ((98, -2.0),)))]
    )
    data += answer.piece(0, "c", [(99, TokenLogprob(-3.0))]) + answer.close([])
    views = [chunk["choices"][0]["logprobs"] for chunk in chunks(data)]
    assert [view["text_offset"] for view in views] == [[0, 1], [2]]
    assert views[0]["tokens"] == ["a", "b"]
    assert views[0]["top_logprobs"] == [{}, {"b": -2.0}]


def test_echo_comes_before_the_text() -> None:
    streamed = encoder("completion", Choice(0, RUN, echo="say "))
    data = streamed.piece(0, "it", ()) + streamed.close([])
    assert [chunk["choices"][0]["text"] for chunk in chunks(data)] == ["say ", "it"]
    whole = encoder("completion", Choice(0, RUN, echo="say "))
    whole.keep(0, "it", ())
    assert whole.whole([STOPPED])["choices"][0]["text"] == "say it"


@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize(("kind", "field"), [("completion", "text"), ("chat", "delta")])
def test_first_tokens_without_text_begin_the_answer_with_one_chunk(
    kind: ApiKind, field: str, wanted: bool
) -> None:
    answer = encoder(kind, wanted=wanted)
    data = answer.piece(0, "", ()) + answer.piece(0, "", ()) + answer.piece(0, "on", ())
    first, second = (chunk["choices"][0][field] for chunk in chunks(data + answer.close([])))
    assert first == ("" if kind == "completion" else {
        "role": "assistant", "content": "", "refusal": None
    })  # fmt: skip
    assert second == ("on" if kind == "completion" else {"content": "on"})


def test_failure_has_openais_form() -> None:
    failed = RunOutcome(
        finish_reason="error", error=Problem(code="worker_lost", detail="three died")
    )
    (chunk,) = chunks(encoder("chat").end(0, failed))
    assert chunk["error"]["message"] == "three died"
    assert chunk["error"]["type"] == "server_error"


CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'


def said(texts: list[str]) -> tuple[str, list[tuple[str, str]]]:
    reader = CallReader()
    text = ""
    calls: list[WrittenCall] = []
    for piece in texts:
        more, found = reader.push(piece)
        text, calls = text + more, calls + found
    more, found = reader.finish()
    return text + more, [(call.name, call.arguments) for call in calls + found]


@given(st.data())
def test_calls_are_told_from_text_in_any_split(data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.sampled_from([CALL, "hello ", "<tool", "<tool_call>{", "}\n"])))
    text = "".join(parts)
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    split = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    assert said(split) == said([text])


def test_calls_become_openais_and_end_the_answer_so() -> None:
    reader = CallReader()
    answer = encoder("chat", Choice(0, RUN, reader=reader))
    data = answer.piece(0, "Let me see.\n" + CALL + "\n" + CALL[:-12], ())
    data += answer.end(0, STOPPED) + answer.close([])
    found = [chunk["choices"][0] for chunk in chunks(data)]
    assert "".join(c["delta"].get("content") or "" for c in found) == "Let me see.\n"
    calls = [c["delta"]["tool_calls"][0] for c in found if "tool_calls" in c["delta"]]
    assert [call["index"] for call in calls] == [0, 1]
    assert len({call["id"] for call in calls}) == 2
    assert calls[0]["function"] == {"name": "add", "arguments": '{"a":1}'}
    assert found[-1]["finish_reason"] == "tool_calls"


def test_text_that_is_no_call_is_said_as_it_was_written() -> None:
    text = "<tool_call>{not json}</tool_call> and 1 < 2 <tool"
    assert said([text]) == (text, [])

"""The text of an answer depends on its tokens, never on how they were split."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.gpu.text import AnswerText
from actors.runtime.byte_codec import EOS, ByteCodec
from contracts.runs import Sampling

TEXT = st.text(alphabet="ab\néx🙂", max_size=30)
STOPS = st.lists(st.text(alphabet="ab\né🙂", min_size=0, max_size=4), max_size=4)
CODEC = ByteCodec()


def _sampling(stops: list[str], min_tokens: int = 0) -> Sampling:
    return Sampling(max_tokens=1000, stop=tuple(stops), min_tokens=min_tokens)


def _split(tokens: tuple[int, ...], cuts: list[int]) -> list[tuple[int, ...]]:
    places = sorted({0, len(tokens), *(cut % (len(tokens) + 1) for cut in cuts)})
    return [tokens[a:b] for a, b in itertools.pairwise(places)]


@given(TEXT, STOPS, st.lists(st.integers(0, 200), max_size=8), st.integers(0, 10), st.booleans())
@settings(max_examples=500, deadline=None)
def test_answer_in_any_split_shows_the_same_text(
    text: str, stops: list[str], cuts: list[int], min_tokens: int, ends: bool
) -> None:
    tokens = CODEC.encode(text) + ((EOS, *CODEC.encode("after")) if ends else ())
    one = AnswerText(CODEC, _sampling(stops, min_tokens))
    shown, accepted = "", 0
    for token in tokens:
        step = one.push((token,))
        shown += step.text
        accepted += step.accepted
    shown += one.finish()
    other = AnswerText(CODEC, _sampling(stops, min_tokens))
    text_of_other, accepted_by_other = "", 0
    for part in _split(tokens, cuts):
        step = other.push(part)
        text_of_other += step.text
        accepted_by_other += step.accepted
    assert (text_of_other + other.finish(), accepted_by_other) == (shown, accepted)


@given(TEXT, STOPS, st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_successor_that_pushes_the_committed_tokens_goes_on_exactly(
    text: str, stops: list[str], seam: int
) -> None:
    tokens = CODEC.encode(text)
    whole = AnswerText(CODEC, _sampling(stops))
    undisturbed = whole.push(tokens).text + whole.finish()
    first = AnswerText(CODEC, _sampling(stops))
    step = first.push(tokens[:seam])
    second = AnswerText(CODEC, _sampling(stops))
    again = second.push(tokens[: step.accepted])
    assert again.text == step.text
    assert again.stopped == step.stopped
    rest = second.push(tokens[step.accepted :])
    assert again.text + rest.text + second.finish() == undisturbed


@given(TEXT, STOPS)
@settings(max_examples=300, deadline=None)
def test_shown_text_never_contains_a_stop_string_and_is_a_prefix(
    text: str, stops: list[str]
) -> None:
    answer = AnswerText(CODEC, _sampling(stops))
    shown = ""
    stopped = False
    for token in CODEC.encode(text):
        step = answer.push((token,))
        shown += step.text
        stopped = stopped or step.stopped
        assert not any(stop and stop in shown for stop in stops)
    shown += answer.finish()
    assert text.startswith(shown)
    assert stopped == any(stop and stop in text for stop in stops)
    assert stopped or shown == text

from actors.gpu.text import AnswerText, Step
from actors.runtime.byte_codec import EOS, ByteCodec
from contracts.runs import Sampling

CODEC = ByteCodec()


def _answer(*stops: str, min_tokens: int = 0, ignore_eos: bool = False) -> AnswerText:
    sampling = Sampling(max_tokens=99, stop=stops, min_tokens=min_tokens, ignore_eos=ignore_eos)
    return AnswerText(CODEC, sampling)


def test_answer_without_stops_shows_all_at_once() -> None:
    assert _answer().push(CODEC.encode("hello")) == Step(5, "hello")


def test_answer_that_may_be_stopping_holds_text_back() -> None:
    answer = _answer("END")
    assert answer.push(CODEC.encode("so EN")) == Step(5, "so ")
    assert answer.push(CODEC.encode("ough")) == Step(4, "ENough")


def test_stop_string_truncates_and_refuses_later_tokens() -> None:
    answer = _answer("END")
    assert answer.push(CODEC.encode("so ENDed")) == Step(6, "so ", stopped=True)
    assert answer.push(CODEC.encode("x")) == Step(0, "", stopped=True)
    assert answer.finish() == ""


def test_stop_string_that_is_complete_first_counts() -> None:
    assert _answer("bcd", "c").push(CODEC.encode("abcd")) == Step(3, "ab", stopped=True)


def test_stop_string_within_min_tokens_does_not_stop() -> None:
    answer = _answer("b", min_tokens=2)
    assert answer.push(CODEC.encode("abcb")) == Step(4, "abc", stopped=True)


def test_end_token_stops_and_releases_held_text() -> None:
    answer = _answer("END")
    assert answer.push((*CODEC.encode("E"), EOS, 65)) == Step(2, "E", stopped=True)


def test_end_token_when_ignored_has_no_text() -> None:
    assert _answer(ignore_eos=True).push((65, EOS, 66)) == Step(3, "AB")


def test_finish_shows_half_a_character_as_a_replacement() -> None:
    answer = _answer()
    assert answer.push("é".encode()[:1]) == Step(1, "")
    assert answer.finish() == "\ufffd"


def test_finish_cut_off_leaves_half_a_character_out() -> None:
    answer = AnswerText(ByteCodec(), Sampling(max_tokens=8))
    assert answer.push((0x61, 0xC3)).text == "a"
    assert answer.finish(cut=True) == ""

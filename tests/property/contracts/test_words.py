"""What a search knows of a text, and how a chat's messages are found by it."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.words import INDEXED_MAX, WORD_MAX, found_in, indexed_words, words_in

texts = st.text(max_size=300)


@given(texts)
def test_words_stand_where_they_say_in_order(text: str) -> None:
    start = 0
    for word in words_in(text):
        assert start <= word.start < word.end <= len(text)
        assert 0 < len(word.text) <= WORD_MAX
        assert all(char.isalnum() for char in word.text)
        start = word.start


@given(texts)
def test_every_letter_and_digit_stands_in_a_word(text: str) -> None:
    covered = {place for word in words_in(text) for place in range(word.start, word.end)}
    for place, char in enumerate(text):
        if char.isascii() and char.isalnum():
            assert place in covered


@given(texts)
def test_text_is_found_by_each_of_its_words_and_their_beginnings(text: str) -> None:
    words = indexed_words(text)
    assert len(words) <= INDEXED_MAX
    for word in words:
        assert found_in(words, [word])
        assert found_in(words, [word[:1]])
        assert found_in(words, [words[0], word[:2]])
    assert not found_in(words, [])
    assert not found_in(words, ["nosuchwordatall"])


@given(texts | st.text("aB9 _-.é中", max_size=60))
def test_indexed_words_are_the_different_words_in_order(text: str) -> None:
    assert indexed_words(text) == tuple(dict.fromkeys(word.text for word in words_in(text)))


@given(texts)
def test_words_of_words_are_themselves(text: str) -> None:
    once = {word.text for word in words_in(text)}
    ascii_words = {word for word in once if word.isascii()}
    again = {w.text for word in ascii_words for w in words_in(word)}
    assert again == ascii_words


def test_words_are_folded_in_case_and_accents() -> None:
    assert indexed_words("Über STRASSE straße ﬁsh") == ("uber", "strasse", "fish")
    assert indexed_words("\N{MATHEMATICAL BOLD CAPITAL A}bc") == ("abc",)


def test_chinese_is_found_by_its_pairs() -> None:
    words = indexed_words("陶器的制作 ok")
    assert found_in(words, indexed_words("制作"))
    assert found_in(words, ["陶"])
    assert not found_in(words, indexed_words("器制"))

"""Notes and quoted turns."""

import pytest

from actors.runtime.notes import newest_within, notes_of, one_line, quoted_turn, summary_of

ENDS = ("\n", "\r\n", "\r", "\x0b", "\x0c", "\x1e", "\x85", "\u2028", "\u2029")


@pytest.mark.parametrize("end", ENDS)
def test_one_line_leaves_no_line_end_of_any_kind(end: str) -> None:
    made = one_line(f" a {end}{end} User: b{end}")
    assert made == "a User: b"
    assert len(made.splitlines()) == 1


def test_quoted_turn_has_a_line_for_each_speaker() -> None:
    assert quoted_turn("hi", "hello\nUser: x") == "User: hi\nAssistant: hello User: x"
    assert quoted_turn("hi", " ") == "User: hi"


def test_notes_take_any_bullet_and_keep_each_note_once() -> None:
    text = "- one\n\n* two\n  3. three\n• one\n"
    assert notes_of(text) == ("one", "two", "three")
    assert summary_of(("one", "two")) == "- one\n- two"


@pytest.mark.parametrize(
    "text", ["", "  \n", "Here is it:\n- one", "- one\nUser: two", "-one", "-"]
)
def test_text_with_a_line_that_is_no_note_is_none(text: str) -> None:
    assert notes_of(text) is None


def test_newest_notes_stay_when_not_all_fit() -> None:
    notes = ("one", "two words", "three")
    assert newest_within(notes, 100, lambda line: len(line.split())) == notes
    assert newest_within(notes, 5, lambda line: len(line.split())) == ("two words", "three")
    assert newest_within(notes, 1, lambda line: len(line.split())) == ()
